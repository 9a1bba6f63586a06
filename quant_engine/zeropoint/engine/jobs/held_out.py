"""Which samples serve for what: for ranges, for choosing between candidates, for verifying.

Of all calibration batches those with the smallest SHA-256 are kept, 64 samples or a little more, so
that order does not choose. From 32 samples on, one in eight is held out, at most 32 of them, those
with the smallest SHA-256: they choose no range and no candidate, and verify alone. Candidates are
compared on the others that are kept, which gave ranges, too.

With fewer samples ranges need all of them. Half of those that are kept, at most 8, then verify, and
candidates are compared on the others: the verifying ones took part in ranges, and in no choice
beyond that. One batch alone has to serve for everything.

Where the user gives batches for verification alone, these are used, none is held out, and
candidates are compared on calibration batches; where there are no such, as with dynamic
quantization, on half of what was given.

Statistics of what may be held out are counted apart until that is settled: see `RetainedBatches` on
how few these are. Batches with NaN or infinities among their inputs are kept only where all have
some.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from zeropoint.engine.observe import CountedApart
from zeropoint.engine.samples import Front, Retained, RetainedBatches
from zeropoint.engine.settings import Batch

LEAST_SAMPLES: Final = 32
"""Fewer calibration samples than this are all needed for ranges."""

_ONE_IN: Final = 8
_MOST: Final = 32
_MOST_SEEN: Final = 8  # to verify with where ranges saw them
_MOST_COPIES: Final = 4  # one in so many: of a batch that was sent many times
_MOST_NUMBERS: Final = 64

_Kept: TypeAlias = tuple[Retained[CountedApart], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What came of the batches of a job.

    Attributes:
        batches: Those to verify with.
        choosing: Those to compare candidates on; the same where there is one alone.
        held_out: Whether those to verify with took no part in choosing ranges.
        counted: Statistics that join the others.
        last: Those of the last few, in the order of digests: they join, too, unless held out.
        left_out: Calibration batches that are held out, copies counted.
    """

    batches: _Kept
    choosing: _Kept = ()
    held_out: bool
    counted: tuple[CountedApart, ...] = ()
    last: tuple[CountedApart, ...] = ()
    left_out: int = 0

    @property
    def independent(self) -> bool:
        """Whether those to verify with are others than those to compare candidates on."""
        return {each.digest for each in self.batches}.isdisjoint(
            each.digest for each in self.choosing
        )


class VerificationBatches:
    """Picks the batches to choose and to verify with, as they come."""

    def __init__(
        self,
        samples: int,
        max_bytes: int,
        folder: Path,
        *,
        merge: Callable[[CountedApart, CountedApart], None],
        apart: int,
        calibrates: bool,
    ) -> None:
        """Start with none.

        Args:
            samples: Samples wanted.
            max_bytes: Budget for them.
            folder: Where to write them.
            merge: Adds statistics that were counted apart to those of a copy of the batch.
            apart: Of how many batches statistics can be counted apart.
            calibrates: Whether batches choose ranges.
        """
        self._apart = apart
        self._calibrates = calibrates
        self._given: RetainedBatches[CountedApart] = RetainedBatches(
            samples, max_bytes, folder / "given"
        )
        self._finite: RetainedBatches[CountedApart] = RetainedBatches(
            samples,
            max_bytes,
            folder / "retained",
            front=Front(samples=_MOST, batches=apart),
            join=lambda held, copy: merge(copy, held),
        )
        self._others: RetainedBatches[CountedApart] = RetainedBatches(
            samples, max_bytes, folder / "non-finite"
        )
        self._samples = 0
        self._non_finite: list[int] = []

    def wants_apart(self, batch: Batch) -> bool:
        """Whether the statistics of a calibration batch are to be counted apart; any thread."""
        return self._finite.is_in_front(batch) and has_finite_inputs(batch)

    def give(self, batch: Batch, number: int, samples: int) -> None:
        """Take a batch that is for verification alone."""
        self._given.offer(batch, number, samples=samples)

    def offer(
        self, batch: Batch, number: int, samples: int, counted: CountedApart | None
    ) -> Sequence[CountedApart]:
        """Take a batch that was counted; return statistics that may join the others."""
        self._samples += samples
        if counted is not None or has_finite_inputs(batch):
            self._others.clear()
            return self._finite.offer(batch, number, counted, samples=samples)
        if len(self._non_finite) < _MOST_NUMBERS:
            self._non_finite.append(number)
        if not self._finite.entries:
            self._others.offer(batch, number, samples=samples)
        return ()

    @property
    def non_finite(self) -> tuple[int, ...]:
        """Numbers of the batches with NaN or infinities, where not all have some; the first 64."""
        return tuple(self._non_finite) if self._finite.entries else ()

    def choose(self) -> Chosen:
        """Settle it, once all have come."""
        kept, given = self._finite.entries, self._given.entries
        held = 0 if given else self._held_out(kept)
        last = held or _most(kept, self._samples // 2)
        verifying, choosing = self._parts(given, kept or self._others.entries, held)
        return Chosen(
            batches=verifying,
            choosing=choosing,
            held_out=bool(held or given) or not self._calibrates,
            counted=_along(kept[last:]),
            last=_along(kept[:last]),
            left_out=sum(each.batches for each in _along(kept[:held])),
        )

    def _parts(self, given: _Kept, kept: _Kept, held: int) -> tuple[_Kept, _Kept]:
        """Return what verifies, and what candidates are compared on."""
        if given and kept:
            return given, kept
        kept = given or kept
        if len(kept) < 2:
            return kept, kept
        if not held:
            most = _MOST_SEEN if self._calibrates else _MOST
            wanted = min(most, (_samples(kept) + 1) // 2)
            held = min(_least(kept, wanted), len(kept) - 1)
        return kept[:held], kept[held:]

    def _held_out(self, kept: _Kept) -> int:
        """Return how many of the first batches are held out."""
        if self._samples < LEAST_SAMPLES:
            return 0
        wanted = _least(kept, min(_MOST, self._samples // _ONE_IN))
        most = _most(kept, self._samples // _MOST_COPIES)
        return max(0, min(wanted, most, len(kept) - 1))


def has_finite_inputs(batch: Batch) -> bool:
    """Whether there is no NaN and no infinity among the floats of a batch."""
    floats = (array for array in batch.values() if np.issubdtype(array.dtype, np.floating))
    return all(np.isfinite(array).all() for array in floats)


def _least(kept: _Kept, samples: int) -> int:
    """Return how many of the first batches hold so many samples; all where they do not."""
    return next((n for n in range(len(kept)) if _samples(kept[:n]) >= samples), len(kept))


def _most(kept: _Kept, samples: int) -> int:
    """Return of how many of the first batches statistics are apart, and of at most so many samples.

    Copies are counted.
    """
    total = 0
    for index, each in enumerate(kept):
        total += each.samples * sum(counted.batches for counted in each.along)
        if not each.along or total > samples:
            return index
    return len(kept)


def _samples(kept: _Kept) -> int:
    return sum(each.samples for each in kept)


def _along(kept: _Kept) -> tuple[CountedApart, ...]:
    return tuple(counted for each in kept for counted in each.along)
