"""Which batches a result is verified with, and that they took no part in choosing ranges.

Of all calibration batches those with the smallest SHA-256 are kept, so that order does not choose.
Their statistics are counted apart until it is settled whether they are held out. With 32 batches or
more, one in eight is, at most 8: ranges then come from the others alone. With less, ranges need
every batch, and verification says that it saw the same ones. Where the user gives batches for
verification alone, these are used and none is held out.

Batches with NaN or infinities among their inputs are kept only where all have some.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from zeropoint.engine.observe import CountedApart
from zeropoint.engine.samples import Retained, RetainedBatches
from zeropoint.engine.settings import Batch

LEAST_BATCHES: Final = 32
"""Fewer calibration batches than this are all needed for ranges."""

_ONE_IN: Final = 8
_MOST: Final = 8
_MOST_COPIES: Final = 4  # one in so many: of a batch that was sent many times
_MOST_NUMBERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What came of the batches of a job.

    Attributes:
        batches: Those to verify with.
        held_out: Whether they took no part in choosing ranges.
        counted: Statistics that join the others.
        last: Those of the last few, in the order of digests: they join, too, unless held out.
        left_out: Calibration batches that are held out, copies counted.
    """

    batches: tuple[Retained[CountedApart], ...]
    held_out: bool
    counted: tuple[CountedApart, ...] = ()
    last: tuple[CountedApart, ...] = ()
    left_out: int = 0


class VerificationBatches:
    """Chooses the batches that a result is verified with, as they come."""

    def __init__(
        self,
        count: int,
        max_bytes: int,
        *,
        merge: Callable[[CountedApart, CountedApart], None] | None,
        calibrates: bool,
    ) -> None:
        """Start with none.

        Args:
            count: Batches kept at most.
            max_bytes: Budget for them.
            merge: Adds statistics that were counted apart to those of a copy of the batch; None
                where they cannot be counted apart.
            calibrates: Whether batches choose ranges.
        """
        self._apart = merge is not None
        self._calibrates = calibrates
        self._given: RetainedBatches[CountedApart] = RetainedBatches(count, max_bytes)
        self._finite: RetainedBatches[CountedApart] = RetainedBatches(
            count, max_bytes, None if merge is None else lambda held, copy: merge(copy, held)
        )
        self._others: RetainedBatches[CountedApart] = RetainedBatches(count, max_bytes)
        self._non_finite: list[int] = []

    def wants_apart(self, batch: Batch) -> bool:
        """Whether the statistics of a calibration batch are to be counted apart; any thread."""
        return self._apart and self._finite.may_keep(batch) and has_finite_inputs(batch)

    def give(self, batch: Batch, number: int) -> None:
        """Take a batch that is for verification alone."""
        self._given.offer(batch, number)

    def offer(
        self, batch: Batch, number: int, counted: CountedApart | None
    ) -> Sequence[CountedApart]:
        """Take a batch that was counted; return statistics that may join the others."""
        if counted is not None or has_finite_inputs(batch):
            self._others = RetainedBatches(0, 0)
            return self._finite.offer(batch, number, counted)
        if len(self._non_finite) < _MOST_NUMBERS:
            self._non_finite.append(number)
        self._others.offer(batch, number)
        return ()

    @property
    def non_finite(self) -> tuple[int, ...]:
        """Numbers of the batches with NaN or infinities, where not all have some; the first 64."""
        return tuple(self._non_finite) if self._finite.entries else ()

    def choose(self, batches: int) -> Chosen:
        """Settle it.

        Args:
            batches: Calibration batches that were counted.
        """
        kept, given = self._finite.entries, self._given.entries
        held = _held_out(kept, batches) if self._apart and not given else 0
        enough = batches >= 2 * _times(kept)
        last = held or (len(kept) if enough else len(kept) // 2)
        return Chosen(
            batches=given or kept[: held or None] or self._others.entries,
            held_out=bool(held or given) or not self._calibrates,
            counted=_along(kept[last:]),
            last=_along(kept[:last]),
            left_out=_times(kept[:held]),
        )


def has_finite_inputs(batch: Batch) -> bool:
    """Whether there is no NaN and no infinity among the floats of a batch."""
    floats = (array for array in batch.values() if np.issubdtype(array.dtype, np.floating))
    return all(np.isfinite(array).all() for array in floats)


def _held_out(kept: Sequence[Retained[CountedApart]], batches: int) -> int:
    if batches < LEAST_BATCHES:
        return 0
    most = min(_MOST, batches // _ONE_IN, len(kept))
    apart = next((index for index, each in enumerate(kept) if not each.along), len(kept))
    copies = batches // _MOST_COPIES
    counts = range(min(most, apart) + 1)
    return max(count for count in counts if _times(kept[:count]) <= copies)


def _along(kept: Sequence[Retained[CountedApart]]) -> tuple[CountedApart, ...]:
    return tuple(counted for each in kept for counted in each.along)


def _times(kept: Sequence[Retained[CountedApart]]) -> int:
    return sum(counted.batches for counted in _along(kept))
