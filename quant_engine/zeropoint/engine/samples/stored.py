"""Batches and arrays on disk."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.samples.text import decode_text, encode_text
from zeropoint.engine.settings import Batch

_TEXT: Final = np.dtype(np.object_).str


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
            file.write(bytes_of(array))
            stored.append(entry)
    return tuple(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A batch on disk.

    Attributes:
        arrays: Its arrays by input name.
        number: That under which the user knows it; 0 where it was made up.
        samples: How many it holds.
    """

    arrays: Mapping[str, StoredArray]
    number: int = 0
    samples: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, those of text as they are stored."""
        arrays = self.arrays.values()
        return sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in arrays)

    def load(self) -> dict[str, NDArray[np.generic]]:
        """Read the inputs by name."""
        return {name: array.load() for name, array in self.arrays.items()}


def store_batch(batch: Batch, path: Path, number: int = 0, samples: int = 1) -> StoredBatch:
    """Write a batch to a file; see `StoredBatch` on its number and samples."""
    stored = dict(zip(batch, store_arrays(batch.values(), path), strict=True))
    return StoredBatch(arrays=stored, number=number, samples=samples)


def bytes_of(array: NDArray[np.generic]) -> bytes | memoryview:
    """Return the values of an array, row by row; those of text as they are stored."""
    if array.dtype.kind == "O":
        return encode_text(array.astype(np.object_, copy=False))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def bytes_of_batch(batch: Batch) -> int:
    """Return how many bytes the values of a batch take."""
    arrays = batch.values()
    return sum(len(bytes_of(a)) if a.dtype.kind == "O" else a.nbytes for a in arrays)
