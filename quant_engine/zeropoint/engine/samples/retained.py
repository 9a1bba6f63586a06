"""Samples that are kept to verify the result with, chosen by content and not by order.

The rule, over the set of all distinct batches offered: leave out those larger than the budget, put
the others in the order of the SHA-256 of their content, and keep from the front while there are at
most `count` of them and their bytes fit into the budget. Where every batch is larger than the
budget, the one with the smallest SHA-256 is kept.

It can be followed while batches stream in: a new batch only moves others back, so whatever falls
out once never comes back, and neither does anything behind it.
"""

import hashlib
import json
import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.samples.text import TEXT_KINDS, as_text, decode_text, encode_text
from zeropoint.engine.settings import Batch

_TEXT = np.dtype(np.object_).str
_digest_of = attrgetter("digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """An array on disk, as plain bytes.

    Not as an .npy file: numpy reads the head of one with `ast`, which in CPython 3.11 fails now and
    then where two threads do so at once.

    Attributes:
        path: The file.
        dtype: Its type, as `numpy.dtype.str` has it; "|O" for text.
        shape: Its shape.
        offset: Where in the file it begins.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int = 0

    def load(self) -> NDArray[np.generic]:
        """Read the array."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            if self.dtype == _TEXT:
                return decode_text(memoryview(file.read()), self.shape)[0]
            flat = np.fromfile(file, np.dtype(self.dtype), count=math.prod(self.shape))
        return flat.reshape(self.shape)


def store_arrays(arrays: Iterable[NDArray[np.generic]], path: Path) -> tuple[StoredArray, ...]:
    """Write arrays to one file."""
    stored = []
    with path.open("wb") as file:
        for array in arrays:
            entry = StoredArray(
                path=path, dtype=array.dtype.str, shape=array.shape, offset=file.tell()
            )
            file.write(_bytes_of(array))
            stored.append(entry)
    return tuple(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A batch on disk.

    Attributes:
        arrays: Its arrays by input name.
        number: That under which the user knows it; 0 where it was made up.
    """

    arrays: Mapping[str, StoredArray]
    number: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, those of text as they are stored."""
        arrays = self.arrays.values()
        return sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in arrays)

    def load(self) -> dict[str, NDArray[np.generic]]:
        """Read the inputs by name."""
        return {name: array.load() for name, array in self.arrays.items()}


def store_batch(batch: Batch, path: Path, number: int = 0) -> StoredBatch:
    """Write a batch to a file."""
    stored = store_arrays(batch.values(), path)
    return StoredBatch(arrays=dict(zip(batch, stored, strict=True)), number=number)


def _bytes_of(array: NDArray[np.generic]) -> bytes | memoryview:
    if array.dtype.kind == "O":
        return encode_text(array.astype(np.object_, copy=False))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def bytes_of_batch(batch: Batch) -> int:
    """Return how many bytes the values of a batch take."""
    arrays = batch.values()
    return sum(len(_bytes_of(a)) if a.dtype.kind == "O" else a.nbytes for a in arrays)


class DigestedBatch(dict[str, NDArray[np.generic]]):
    """A batch that comes with the digest of its content, as over a wire where it was checked.

    Attributes:
        digest: SHA-256 that depends on names, types, shapes and values, and on nothing else.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]], digest: bytes) -> None:
        """Take the arrays as they are."""
        super().__init__(arrays)
        self.digest = digest


def content_digest(batch: Batch) -> bytes:
    """Return the SHA-256 of a batch: names, types, shapes and values, in the order of names.

    One that the batch comes with is taken.
    """
    if isinstance(batch, DigestedBatch):
        return batch.digest
    sha256 = hashlib.sha256()
    for name in sorted(batch):
        array = np.asarray(batch[name])
        if array.dtype.kind in TEXT_KINDS:
            array = as_text(array)
        header = json.dumps([name, array.dtype.name, array.shape]).encode()
        sha256.update(len(header).to_bytes(8, "little") + header)
        sha256.update(_bytes_of(array.astype(array.dtype.newbyteorder("<"), copy=False)))
    return sha256.digest()


@dataclass(frozen=True, slots=True)
class _Kept:
    digest: bytes
    nbytes: int
    number: int
    batch: dict[str, NDArray[np.generic]] = field(repr=False)


class RetainedBatches:
    """Keeps a few of the batches that it is offered, in memory.

    It never holds more than the budget, or one batch where that is larger.
    """

    def __init__(self, count: int, max_bytes: int) -> None:
        """Start with nothing, to keep at most `count` batches of `max_bytes` together."""
        self._count = count
        self._max_bytes = max_bytes
        self._kept: list[_Kept] = []
        self._oversized: _Kept | None = None
        self._barrier: bytes | None = None

    def offer(self, batch: Batch, number: int = 0) -> None:
        """Keep a copy of `batch` if the rule says so; a batch offered again changes nothing.

        Args:
            batch: Arrays by name.
            number: That under which the user knows it.
        """
        if self._count < 1:
            return
        digest = content_digest(batch)
        nbytes = bytes_of_batch(batch)
        if nbytes > self._max_bytes:
            self._offer_oversized(_Kept(digest, nbytes, number, dict(batch)))
        elif not self._is_behind_barrier(digest) and not self._has(digest):
            self._make_room(digest, nbytes)
            if not self._is_behind_barrier(digest):
                insort(
                    self._kept, _copy(_Kept(digest, nbytes, number, dict(batch))), key=_digest_of
                )

    @property
    def batches(self) -> tuple[dict[str, NDArray[np.generic]], ...]:
        """The batches kept, in the order of their digests."""
        return tuple(kept.batch for kept in self._held())

    @property
    def nbytes(self) -> int:
        """Bytes of the values kept."""
        return sum(kept.nbytes for kept in self._held())

    def store(self, folder: Path) -> tuple[StoredBatch, ...]:
        """Write the batches kept to files in `folder`, in the order of their digests."""
        return tuple(
            store_batch(kept.batch, folder / f"retained-{index}.batch", kept.number)
            for index, kept in enumerate(self._held())
        )

    def _held(self) -> list[_Kept]:
        return [self._oversized] if self._oversized is not None else self._kept

    def _offer_oversized(self, offered: _Kept) -> None:
        if self._kept:
            return
        if self._oversized is None or offered.digest < self._oversized.digest:
            self._oversized = None
            self._oversized = _copy(offered)

    def _is_behind_barrier(self, digest: bytes) -> bool:
        return self._barrier is not None and digest >= self._barrier

    def _has(self, digest: bytes) -> bool:
        index = bisect_left(self._kept, digest, key=_digest_of)
        return index < len(self._kept) and self._kept[index].digest == digest

    def _make_room(self, digest: bytes, nbytes: int) -> None:
        """Drop what the newcomer pushes out; put the barrier before the newcomer if it is out."""
        self._oversized = None
        position = bisect_left(self._kept, digest, key=_digest_of)
        order = [(kept.digest, kept.nbytes) for kept in self._kept]
        order.insert(position, (digest, nbytes))
        total = 0
        for index, (candidate, size) in enumerate(order):
            total += size
            if index >= self._count or total > self._max_bytes:
                self._barrier = candidate
                break
        self._kept = [kept for kept in self._kept if not self._is_behind_barrier(kept.digest)]


def _copy(kept: _Kept) -> _Kept:
    return replace(kept, batch={name: np.array(array) for name, array in kept.batch.items()})
