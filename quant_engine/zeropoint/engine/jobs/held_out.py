"""Which samples serve for what: for ranges, for choosing between candidates, for verifying.

Of all calibration batches those with the smallest SHA-256 are kept, 64 samples or a little more, so
that order does not choose. From 32 samples on, about one in eight is held out, at most 32 of them,
those with the smallest SHA-256: they choose no range and no candidate, and verify alone. How many
these are is up to their digests: as many as begin with so many zero bits, see `digest_bands`.
Candidates are compared on the others that are kept, which gave ranges, too.

With fewer samples ranges need all of them. Half of those that are kept, at most 8, then verify, and
candidates are compared on the others: the verifying ones took part in ranges, and in no choice
beyond that. One batch alone has to serve for everything.

Where the user gives batches for verification alone, these are used, none is held out, and
candidates are compared on calibration batches; where there are no such, as with dynamic
quantization, on half of what was given.

Where a model has a state, samples are batches in a row, the first 64 that came: order matters then,
by definition. The first half is to choose with, the second one to verify with; both gave ranges,
unless they were given for verification alone.

Batches with NaN or infinities among their inputs are kept only where all have some.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from zeropoint.engine.jobs.digest_bands import DigestBands, Upper, band_of
from zeropoint.engine.samples import Retained, RetainedBatches, Window, content_digest
from zeropoint.engine.settings import Batch

LEAST_SAMPLES: Final = 32
"""Fewer calibration samples than this are all needed for ranges."""

_ONE_IN: Final = 8
_MOST: Final = 32
_MOST_SEEN: Final = 8  # to verify with where ranges saw them
_MOST_LEFT_OUT: Final = 4  # one in so many, copies counted
_MOST_NUMBERS: Final = 64

_Kept: TypeAlias = tuple[Retained, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What came of the batches of a job.

    Attributes:
        batches: Those to verify with.
        choosing: Those to compare candidates on; the same where there is one alone.
        independent: Whether those to verify with are others than those to compare candidates on.
        held_out: Whether those to verify with took no part in choosing ranges.
        joining: Bands with lower numbers join all others; None: all. What is left is that of the
            last few batches, by their digests: they join, too, unless held out.
        last_batches: How many these are, copies counted.
        left_out: Calibration batches that are held out, copies counted.
    """

    batches: _Kept
    choosing: _Kept = ()
    independent: bool = False
    held_out: bool
    joining: int | None = None
    last_batches: int = 0
    left_out: int = 0


class VerificationBatches:
    """Picks the batches to choose and to verify with, as they come."""

    def __init__(
        self,
        samples: int,
        max_bytes: int,
        folder: Path,
        *,
        counts_apart: bool,
        calibrates: bool,
        in_order: bool = False,
    ) -> None:
        """Start with none.

        Args:
            samples: Samples wanted.
            max_bytes: Budget for them.
            folder: Where to write them.
            counts_apart: Whether statistics of some batches can be counted apart.
            calibrates: Whether batches choose ranges.
            in_order: Whether batches are a sequence.
        """
        self._in_order = in_order
        most = samples if in_order else 0
        self._window = Window(most, max_bytes, folder / "window")
        self._given_window = Window(most, max_bytes, folder / "given-window")
        self._calibrates = calibrates
        self._given = RetainedBatches(samples, max_bytes, folder / "given")
        self._finite = RetainedBatches(samples, max_bytes, folder / "retained")
        self._others = RetainedBatches(samples, max_bytes, folder / "non-finite")
        self._bands = DigestBands(_MOST) if counts_apart else None
        self._samples = 0
        self._non_finite: list[int] = []

    def band_of(self, batch: Batch, samples: int) -> int | None:
        """Return the band in which to count a calibration batch; None: in none. Any thread."""
        band = band_of(content_digest(batch), samples)
        if self._bands is None or band < self._bands.least or not self._finite.may_keep(batch):
            return None
        return band if has_finite_inputs(batch) else None

    def give(self, batch: Batch, number: int, samples: int) -> None:
        """Take a batch that is for verification alone."""
        self._given_window.offer(batch, number, samples)
        self._given.offer(batch, number, samples)

    def offer(self, batch: Batch, number: int, samples: int) -> int:
        """Take a batch that was counted; bands with lower numbers than returned may join others."""
        self._samples += samples
        self._window.offer(batch, number, samples)
        if has_finite_inputs(batch):
            self._others.clear()
            may_keep = self._finite.may_keep(batch)
            self._finite.offer(batch, number, samples)
            if self._bands is not None and may_keep:
                self._bands.add(content_digest(batch), samples)
            return self._bands.least if self._bands is not None else 0
        if len(self._non_finite) < _MOST_NUMBERS:
            self._non_finite.append(number)
        if not self._finite.entries:
            self._others.offer(batch, number, samples)
        return 0

    @property
    def non_finite(self) -> tuple[int, ...]:
        """Numbers of the batches with NaN or infinities, where not all have some; the first 64."""
        return tuple(self._non_finite) if self._finite.entries else ()

    def choose(self) -> Chosen:
        """Settle it, once all have come."""
        kept, given = self._finite.entries, self._given.entries
        uppers = self._bands.uppers() if self._bands is not None else ()
        uppers = tuple(each for each in uppers if each.distinct < len(kept))
        held = None if given or self._in_order else self._held_out(uppers)
        last = held or next((each for each in uppers if 2 * each.samples <= self._samples), None)
        if self._in_order:
            verifying, choosing = self._rows(self._given_window.entries, self._window.entries)
        else:
            verifying, choosing = self._parts(
                given, kept or self._others.entries, held.distinct if held else 0
            )
        return Chosen(
            batches=verifying,
            choosing=choosing,
            independent=self._are_others(verifying, choosing),
            held_out=bool(held or given) or not self._calibrates,
            joining=last.first if last else None,
            last_batches=last.batches if last else 0,
            left_out=held.batches if held else 0,
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

    def _rows(self, given: _Kept, kept: _Kept) -> tuple[_Kept, _Kept]:
        """Return what verifies, and what candidates are compared on, each batches in a row."""
        if given and kept:
            return given, kept
        row = given or kept
        if len(row) < 2:
            return row, row
        return row[len(row) // 2 :], row[: len(row) // 2]

    def _are_others(self, verifying: _Kept, choosing: _Kept) -> bool:
        if self._in_order:  # silence may come twice
            return bool(verifying) and verifying != choosing
        digests = [{each.digest for each in side} for side in (verifying, choosing)]
        return bool(verifying) and digests[0].isdisjoint(digests[1])

    def _held_out(self, uppers: tuple[Upper, ...]) -> Upper | None:
        """Return what is held out: as near to one in eight as can be."""
        wanted = min(_MOST, self._samples / _ONE_IN)
        allowed = [each for each in uppers if _MOST_LEFT_OUT * each.samples <= self._samples]
        if self._samples < LEAST_SAMPLES or not allowed:
            return None
        return min(allowed, key=lambda each: abs(each.samples - wanted))


def has_finite_inputs(batch: Batch) -> bool:
    """Whether there is no NaN and no infinity among the floats of a batch."""
    floats = (array for array in batch.values() if np.issubdtype(array.dtype, np.floating))
    return all(np.isfinite(array).all() for array in floats)


def _least(kept: _Kept, samples: int) -> int:
    """Return how many of the first batches hold so many samples; all where they do not."""
    return next((n for n in range(len(kept)) if _samples(kept[:n]) >= samples), len(kept))


def _samples(kept: _Kept) -> int:
    return sum(each.samples for each in kept)
