"""Batches that are kept to choose and to verify with, picked by content and not by order.

The rule, over the set of all distinct batches offered: leave out those larger than the budget, put
the others in the order of the SHA-256 of their content, and keep from the front while those before
hold fewer samples than wanted, or are fewer than two, and the bytes of all fit into the budget.
Where every batch is larger than the budget, the one with the smallest SHA-256 is kept.

It can be followed while batches stream in: a new batch only moves others back, so whatever falls
out once never comes back, and neither does anything behind it.

What comes along with a batch, such as its statistics, is larger than the batch itself now and then,
and needed of few. It is kept of the front alone: of the first four batches, and of those whose
SHA-256 begins with two zero bits, one in four. Who asks before making it makes little in vain: of
100 batches some 30 are in the front, at least for a while; without that rule, of 32 wanted, some 70
were.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.samples.digests import content_digest
from zeropoint.engine.samples.stored import StoredBatch, bytes_of_batch, store_batch
from zeropoint.engine.settings import Batch

T = TypeVar("T")

_LEAST_BATCHES: Final = 2  # one to choose with, one to verify with
_ALWAYS_IN_FRONT: Final = 4
_IN_FRONT: Final = b"\x3f" + b"\xff" * 31  # the last digest of one in four
_LAST: Final = b"\xff" * 32

_digest_of = attrgetter("digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained(Generic[T]):
    """A batch that is kept.

    Attributes:
        digest: SHA-256 of its content.
        nbytes: Bytes of its values.
        stored: Its arrays on disk, its number and how many samples it holds.
        along: What came along with it, each time that it was offered, or that joined.
    """

    digest: bytes
    nbytes: int
    stored: StoredBatch
    along: list[T] = field(default_factory=list, repr=False)

    @property
    def samples(self) -> int:
        """How many samples it holds."""
        return self.stored.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How much may come along.

    Attributes:
        samples: What comes along with a batch is kept while those before hold fewer samples.
        batches: And while those before are fewer.
    """

    samples: int = 0
    batches: int = 0


class RetainedBatches(Generic[T]):
    """Keeps some of the batches that it is offered, on disk, with what comes along with the first.

    It never holds more than the budget, or one batch where that is larger.
    """

    def __init__(
        self,
        samples: int,
        max_bytes: int,
        folder: Path,
        *,
        front: Front | None = None,
        join: Callable[[T, T], None] | None = None,
    ) -> None:
        """Start with nothing.

        Args:
            samples: Samples wanted; 0: no batch is kept.
            max_bytes: Budget for the values of all batches.
            folder: Where to write them; made when the first comes.
            front: Of which batches what comes along is kept; None: of none.
            join: Adds what comes along with a copy of a batch to what came with the batch, so that
                no more than that is kept.
        """
        self._join = join
        self._samples = samples
        self._max_bytes = max_bytes
        self._folder = folder
        self._front = front or Front()
        self._kept: list[Retained[T]] = []
        self._oversized: Retained[T] | None = None
        self._barrier: bytes | None = None
        self._last_in_front = _LAST if self._front.samples and self._front.batches else b""

    def may_keep(self, batch: Batch) -> bool:
        """Whether a batch would be kept if it were offered now; else it never will be.

        For any thread.
        """
        fits = self._samples > 0 and bytes_of_batch(batch) <= self._max_bytes
        return fits and not self._is_behind_barrier(content_digest(batch))

    def is_in_front(self, batch: Batch) -> bool:
        """Whether what comes along with a batch would be kept now; else it never will be.

        For any thread.
        """
        return content_digest(batch) <= self._last_in_front and self.may_keep(batch)

    def offer(
        self, batch: Batch, number: int = 0, along: T | None = None, *, samples: int = 1
    ) -> list[T]:
        """Keep a copy of `batch` if the rule says so; a batch offered again is kept once.

        Args:
            batch: Arrays by name.
            number: That under which the user knows it.
            along: What comes along with it.
            samples: How many it holds.

        Returns:
            What came along with batches and will not be kept.
        """
        come = [] if along is None else [along]
        digest, nbytes = content_digest(batch), bytes_of_batch(batch)
        if self._samples < 1:
            return come
        if nbytes > self._max_bytes:
            self._offer_oversized(batch, number, samples)
            return come
        if self._is_behind_barrier(digest):
            return come
        known = self._known(digest)
        if known is not None:
            self._stay(known.along, come)
            return self._behind_front()
        let_go = self._make_room(digest, nbytes, samples)
        if self._is_behind_barrier(digest):
            return [*let_go, *come]
        stored = self._store(digest, batch, number, samples)
        insort(
            self._kept,
            Retained(digest=digest, nbytes=nbytes, stored=stored, along=come),
            key=_digest_of,
        )
        return [*let_go, *self._behind_front()]

    @property
    def entries(self) -> tuple[Retained[T], ...]:
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
        digest, known = content_digest(batch), self._oversized
        if self._kept or (known is not None and known.digest <= digest):
            return
        self._remove(self.entries)
        self._oversized = Retained(
            digest=digest,
            nbytes=bytes_of_batch(batch),
            stored=self._store(digest, batch, number, samples),
        )

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

    def _make_room(self, digest: bytes, nbytes: int, samples: int) -> list[T]:
        """Drop what the newcomer pushes out; put the barrier before the newcomer if it is out.

        Returns:
            What came along with the dropped.
        """
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
        return [along for kept in dropped for along in kept.along]

    def _behind_front(self) -> list[T]:
        """Settle where the front ends now; return what came along with those behind."""
        front, before, last = self._front, 0, self._last_in_front
        if len(self._kept) >= _ALWAYS_IN_FRONT:
            last = min(last, max(_IN_FRONT, self._kept[_ALWAYS_IN_FRONT - 1].digest))
        for index, kept in enumerate(self._kept):
            before += kept.samples
            if before >= front.samples or index + 1 >= front.batches:
                last = min(last, kept.digest)
                break
        self._last_in_front = last
        let_go: list[T] = []
        for kept in self._kept[bisect_left(self._kept, last, key=_digest_of) :]:
            if kept.digest > last:
                let_go += kept.along
                kept.along.clear()
        return let_go

    def _store(self, digest: bytes, batch: Batch, number: int, samples: int) -> StoredBatch:
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{digest.hex()}.batch"
        return store_batch(batch, path, number, samples)

    def _remove(self, dropped: tuple[Retained[T], ...] | list[Retained[T]]) -> None:
        for kept in dropped:
            (self._folder / f"{kept.digest.hex()}.batch").unlink(missing_ok=True)
