"""Batches that are kept to choose and to verify with, picked by content and not by order.

The rule, over the set of all distinct batches offered: leave out those larger than the budget, put
the others in the order of the SHA-256 of their content, and keep from the front while those before
hold fewer samples than wanted, or are fewer than two, and the bytes of all fit into the budget.
Where every batch is larger than the budget, the one with the smallest SHA-256 is kept.

It can be followed while batches stream in: a new batch only moves others back, so whatever falls
out once never comes back, and neither does anything behind it.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.samples.digests import content_digest
from zeropoint.engine.samples.stored import StoredBatch, bytes_of_batch, store_batch
from zeropoint.engine.settings import Batch

_LEAST_BATCHES: Final = 2  # one to choose with, one to verify with

_digest_of = attrgetter("digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """A batch that is kept.

    Attributes:
        digest: SHA-256 of its content.
        nbytes: Bytes of its values.
        stored: Its arrays on disk, its number and how many samples it holds.
    """

    digest: bytes
    nbytes: int
    stored: StoredBatch

    @property
    def samples(self) -> int:
        """How many samples it holds."""
        return self.stored.samples


class RetainedBatches:
    """Keeps some of the batches that it is offered, on disk.

    It never holds more than the budget, or one batch where that is larger.
    """

    def __init__(self, samples: int, max_bytes: int, folder: Path) -> None:
        """Start with nothing.

        Args:
            samples: Samples wanted; 0: no batch is kept.
            max_bytes: Budget for the values of all batches.
            folder: Where to write them; made when the first comes.
        """
        self._samples = samples
        self._max_bytes = max_bytes
        self._folder = folder
        self._kept: list[Retained] = []
        self._oversized: Retained | None = None
        self._barrier: bytes | None = None

    def may_keep(self, batch: Batch) -> bool:
        """Whether a batch would be kept if it were offered now; else it never will be.

        For any thread.
        """
        fits = self._samples > 0 and bytes_of_batch(batch) <= self._max_bytes
        return fits and not self._is_behind_barrier(content_digest(batch))

    def offer(self, batch: Batch, number: int = 0, samples: int = 1) -> None:
        """Keep a copy of `batch` if the rule says so; a batch offered again is kept once.

        Args:
            batch: Arrays by name.
            number: That under which the user knows it.
            samples: How many it holds.
        """
        digest, nbytes = content_digest(batch), bytes_of_batch(batch)
        if self._samples < 1:
            return
        if nbytes > self._max_bytes:
            self._offer_oversized(batch, number, samples)
            return
        if self._is_behind_barrier(digest) or self._is_known(digest):
            return
        self._make_room(digest, nbytes, samples)
        if not self._is_behind_barrier(digest):
            insort(self._kept, self._store(batch, number, samples), key=_digest_of)

    @property
    def entries(self) -> tuple[Retained, ...]:
        """The batches kept, in the order of their digests."""
        return tuple([self._oversized] if self._oversized is not None else self._kept)

    @property
    def batches(self) -> tuple[dict[str, NDArray[np.generic]], ...]:
        """Their arrays by input name, read from disk."""
        return tuple(kept.stored.load() for kept in self.entries)

    @property
    def nbytes(self) -> int:
        """Bytes of the values kept."""
        return sum(kept.nbytes for kept in self.entries)

    def clear(self) -> None:
        """Forget all that is kept."""
        self._remove(self.entries)
        self._kept, self._oversized = [], None

    def _offer_oversized(self, batch: Batch, number: int, samples: int) -> None:
        known = self._oversized
        if self._kept or (known is not None and known.digest <= content_digest(batch)):
            return
        self._remove(self.entries)
        self._oversized = self._store(batch, number, samples)

    def _is_behind_barrier(self, digest: bytes) -> bool:
        return self._barrier is not None and digest >= self._barrier

    def _is_known(self, digest: bytes) -> bool:
        index = bisect_left(self._kept, digest, key=_digest_of)
        return index < len(self._kept) and self._kept[index].digest == digest

    def _make_room(self, digest: bytes, nbytes: int, samples: int) -> None:
        """Drop what the newcomer pushes out; put the barrier before the newcomer if it is out."""
        if self._oversized is not None:
            self.clear()
        position = bisect_left(self._kept, digest, key=_digest_of)
        order = [(kept.digest, kept.nbytes, kept.samples) for kept in self._kept]
        order.insert(position, (digest, nbytes, samples))
        total = before = 0
        for index, (candidate, size, held) in enumerate(order):
            total += size
            enough = before >= self._samples and index >= _LEAST_BATCHES
            if enough or total > self._max_bytes:
                self._barrier = candidate
                break
            before += held
        dropped = [kept for kept in self._kept if self._is_behind_barrier(kept.digest)]
        self._kept = self._kept[: len(self._kept) - len(dropped)]
        self._remove(dropped)

    def _store(self, batch: Batch, number: int, samples: int) -> Retained:
        digest = content_digest(batch)
        self._folder.mkdir(exist_ok=True)
        stored = store_batch(batch, self._path(digest), number, samples)
        return Retained(digest=digest, nbytes=bytes_of_batch(batch), stored=stored)

    def _remove(self, dropped: Iterable[Retained]) -> None:
        for kept in dropped:
            self._path(kept.digest).unlink(missing_ok=True)

    def _path(self, digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}.batch"
