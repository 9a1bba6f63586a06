"""How far ranges still move while data streams: when more data will change little."""

import time
from collections.abc import Callable, Mapping

from zeropoint.engine.numbers.ranges import Range, choose_range
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.progress import Convergence
from zeropoint.sketch import Sketch

_TOLERANCE = 0.01
_EVERY = 8
_MOST_OF_THE_TIME = 0.05


def moved_by(
    options: StaticOptions, before: Mapping[str, Sketch], after: Mapping[str, Sketch], batches: int
) -> Convergence | None:
    """Return how many ranges some batches moved; None where there is nothing to compare.

    Args:
        options: Name the range method and its parameters.
        before: Statistics without these batches.
        after: Those of the same tensors with them.
        batches: How many they are.
    """
    ranges = _choose(options, before), _choose(options, after)
    if not all(ranges):
        return None
    moving = sum(_moved(ranges[0].get(name), now) for name, now in ranges[1].items())
    return Convergence(moving_share=moving / len(ranges[1]), batches=batches)


class ConvergenceMeter:
    """Compares the ranges of now with those of some batches ago, as often as time allows.

    A comparison comes every 8 batches, or later where the one before took more than 5 % of the
    time that calibration has spent since.
    """

    def __init__(self, options: StaticOptions) -> None:
        """Start with nothing; `options` name the range method and its parameters."""
        self._options = options
        self._ranges: Mapping[str, Range] = {}
        self._batches = 0
        self._seconds = 0.0
        self._cost = 0.0
        self._latest: Convergence | None = None

    def after(
        self, batches: int, seconds: float, sketches: Callable[[], Mapping[str, Sketch]]
    ) -> Convergence | None:
        """Compare, if that is due, and return the latest comparison; None before the first.

        Args:
            batches: Batches counted so far.
            seconds: Time spent on them.
            sketches: Gives the statistics of the planned tensors; called only where needed.
        """
        since = seconds - self._seconds
        if batches - self._batches >= _EVERY and self._cost <= _MOST_OF_THE_TIME * since:
            begin = time.perf_counter()
            self._compare(batches, sketches())
            self._cost = time.perf_counter() - begin
            self._seconds = seconds
        return self._latest

    def _compare(self, batches: int, sketches: Mapping[str, Sketch]) -> None:
        before, self._ranges = self._ranges, _choose(self._options, sketches)
        if before and self._ranges:
            moving = sum(_moved(before.get(name), now) for name, now in self._ranges.items())
            self._latest = Convergence(
                moving_share=moving / len(self._ranges), batches=batches - self._batches
            )
        self._batches = batches


def _choose(options: StaticOptions, sketches: Mapping[str, Sketch]) -> dict[str, Range]:
    return {
        name: choose_range(sketch, options, tensor=name)
        for name, sketch in sketches.items()
        if sketch.finite
    }


def _moved(before: Range | None, now: Range) -> bool:
    """Whether an end moved by more than 1 % of the width; a range that was not there did."""
    if before is None:
        return True
    shift = max(abs(now.low - before.low), abs(now.high - before.high))
    return shift > _TOLERANCE * (now.high - now.low)
