"""Batches in a row, as a model with a state wants them: here order matters, by definition."""

from pathlib import Path
from typing import Final

from zeropoint.engine.samples.digests import content_digest
from zeropoint.engine.samples.retained import Retained
from zeropoint.engine.samples.stored import bytes_of_batch, store_batch
from zeropoint.engine.settings import Batch

_ENOUGH: Final = 8  # to end where a number is missing, instead of beginning anew


class Window:
    """Keeps the first batches in a row, on disk."""

    def __init__(self, batches: int, max_bytes: int, folder: Path) -> None:
        """Start with none.

        Args:
            batches: Batches kept at most.
            max_bytes: Budget for their values.
            folder: Where to write them; made when the first comes.
        """
        self._most = batches
        self._max_bytes = max_bytes
        self._folder = folder
        self._kept: list[Retained] = []
        self._is_closed = batches < 1

    def offer(self, batch: Batch, number: int, samples: int) -> None:
        """Take a batch, in the order of numbers; those that were rejected are missing."""
        if self._is_closed:
            return
        if self._kept and number != self._kept[-1].stored.number + 1:
            if len(self._kept) >= _ENOUGH:
                self._is_closed = True
                return
            self._clear()
        nbytes = bytes_of_batch(batch)
        if sum(kept.nbytes for kept in self._kept) + nbytes > self._max_bytes:
            self._is_closed = True
            return
        self._folder.mkdir(exist_ok=True)
        stored = store_batch(batch, self._folder / f"{number}.batch", number, samples)
        self._kept.append(Retained(digest=content_digest(batch), nbytes=nbytes, stored=stored))
        self._is_closed = len(self._kept) >= self._most

    @property
    def entries(self) -> tuple[Retained, ...]:
        """The batches kept, in their order."""
        return tuple(self._kept)

    def _clear(self) -> None:
        for kept in self._kept:
            for array in kept.stored.arrays.values():
                array.path.unlink(missing_ok=True)
        self._kept.clear()
