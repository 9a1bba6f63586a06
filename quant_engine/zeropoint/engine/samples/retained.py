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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.samples.text import TEXT_KINDS, as_text, decode_text, encode_text
from zeropoint.engine.settings import Batch

T = TypeVar("T")

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


def digested(batch: Batch) -> DigestedBatch:
    """Return a batch with its digest, which is then computed no more."""
    return DigestedBatch(batch, content_digest(batch))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained(Generic[T]):
    """A batch that is kept.

    Attributes:
        digest: SHA-256 of its content.
        nbytes: Bytes of its values.
        number: That under which the user knows it.
        batch: Its arrays by input name, copies.
        along: What came along with it, each time that it was offered, or that joined.
    """

    digest: bytes
    nbytes: int
    number: int
    batch: dict[str, NDArray[np.generic]] = field(repr=False)
    along: list[T] = field(default_factory=list, repr=False)


class RetainedBatches(Generic[T]):
    """Keeps a few of the batches that it is offered, in memory, with what comes along with them.

    It never holds more than the budget, or one batch where that is larger.
    """

    def __init__(
        self, count: int, max_bytes: int, join: Callable[[T, T], None] | None = None
    ) -> None:
        """Start with nothing.

        Args:
            count: Batches kept at most.
            max_bytes: Budget for them together.
            join: Adds what comes along with a copy of a batch to what came with the batch, so that
                no more than that is kept.
        """
        self._join = join
        self._count = count
        self._max_bytes = max_bytes
        self._kept: list[Retained[T]] = []
        self._oversized: Retained[T] | None = None
        self._barrier: bytes | None = None

    def may_keep(self, batch: Batch) -> bool:
        """Whether a batch would be kept if it were offered now; else it never will be.

        For any thread.
        """
        fits = self._count > 0 and bytes_of_batch(batch) <= self._max_bytes
        return fits and not self._is_behind_barrier(content_digest(batch))

    def offer(self, batch: Batch, number: int = 0, along: T | None = None) -> list[T]:
        """Keep a copy of `batch` if the rule says so; a batch offered again is kept once.

        Args:
            batch: Arrays by name.
            number: That under which the user knows it.
            along: What comes along with it.

        Returns:
            What came along with the batches that will not be kept.
        """
        come = [] if along is None else [along]
        offered = Retained(
            digest=content_digest(batch),
            nbytes=bytes_of_batch(batch),
            number=number,
            batch=dict(batch),
            along=come,
        )
        if self._count < 1:
            return come
        if offered.nbytes > self._max_bytes:
            self._offer_oversized(offered)
            return come
        if self._is_behind_barrier(offered.digest):
            return come
        known = self._known(offered.digest)
        if known is not None:
            self._stay(known.along, come)
            return []
        let_go = self._make_room(offered.digest, offered.nbytes)
        if self._is_behind_barrier(offered.digest):
            return [*let_go, *come]
        insort(self._kept, _copy(offered), key=_digest_of)
        return let_go

    @property
    def entries(self) -> tuple[Retained[T], ...]:
        """The batches kept, in the order of their digests."""
        return tuple(self._held())

    @property
    def batches(self) -> tuple[dict[str, NDArray[np.generic]], ...]:
        """The batches kept, in the order of their digests."""
        return tuple(kept.batch for kept in self._held())

    @property
    def nbytes(self) -> int:
        """Bytes of the values kept."""
        return sum(kept.nbytes for kept in self._held())

    def _held(self) -> list[Retained[T]]:
        return [self._oversized] if self._oversized is not None else self._kept

    def _offer_oversized(self, offered: Retained[T]) -> None:
        if self._kept:
            return
        if self._oversized is None or offered.digest < self._oversized.digest:
            self._oversized = None
            self._oversized = replace(_copy(offered), along=[])

    def _is_behind_barrier(self, digest: bytes) -> bool:
        return self._barrier is not None and digest >= self._barrier

    def _known(self, digest: bytes) -> Retained[T] | None:
        index = bisect_left(self._kept, digest, key=_digest_of)
        found = self._kept[index] if index < len(self._kept) else None
        return found if found is not None and found.digest == digest else None

    def _stay(self, along: list[T], come: list[T]) -> None:
        if self._join is None or not along:
            along.extend(come)
            return
        for each in come:
            self._join(along[0], each)

    def _make_room(self, digest: bytes, nbytes: int) -> list[T]:
        """Drop what the newcomer pushes out; put the barrier before the newcomer if it is out.

        Returns:
            What came along with the dropped.
        """
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
        dropped = [kept for kept in self._kept if self._is_behind_barrier(kept.digest)]
        self._kept = self._kept[: len(self._kept) - len(dropped)]
        return [along for kept in dropped for along in kept.along]


def store_retained(entries: Iterable[Retained[T]], folder: Path) -> tuple[StoredBatch, ...]:
    """Write batches that were kept to files in `folder`, in their order."""
    return tuple(
        store_batch(kept.batch, folder / f"retained-{index}.batch", kept.number)
        for index, kept in enumerate(entries)
    )


def _copy(kept: Retained[T]) -> Retained[T]:
    return replace(kept, batch={name: np.array(array) for name, array in kept.batch.items()})
