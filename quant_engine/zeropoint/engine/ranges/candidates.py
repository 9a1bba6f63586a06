"""Ranges to choose from, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.options import StaticOptions
from zeropoint.engine.qparams import CodeGrids, activation_grids
from zeropoint.engine.ranges.interval import Range
from zeropoint.engine.ranges.statistics import Statistics


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Ranges.

    Attributes:
        low: float64[n], lower ends.
        high: float64[n], upper ends.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, ranges: Sequence[Range]) -> "Candidates":
        """Return given ranges."""
        ends = np.array([(one.low, one.high) for one in ranges], dtype=np.float64)
        return cls(ends[:, 0], ends[:, 1])

    @classmethod
    def around_zero(
        cls, ends: NDArray[np.float64], statistics: Statistics, options: StaticOptions
    ) -> "Candidates":
        """Return (-t, t) for each end t, cut off at the extremes unless it is to stay symmetric."""
        if options.calibration_range_symmetric:
            return cls(-ends, ends)
        low, high = statistics.minimum, statistics.maximum
        return cls(np.clip(-ends, low, high), np.clip(ends, low, high))

    def __len__(self) -> int:
        return len(self.low)

    @property
    def width(self) -> NDArray[np.float64]:
        """float64[n]."""
        return self.high - self.low

    def with_one_more(self, one: Range, place: int) -> "Candidates":
        """Return these with a range inserted."""
        low = np.concatenate([self.low[:place], [one.low], self.low[place:]])
        high = np.concatenate([self.high[:place], [one.high], self.high[place:]])
        return Candidates(low, high)

    def grids(self, options: StaticOptions, numbers: NDArray[np.intp] | None = None) -> CodeGrids:
        """Return what the codes stand for in some of the ranges, by default in all."""
        at = slice(None) if numbers is None else numbers
        return activation_grids(
            self.low[at],
            self.high[at],
            options.activation_type,
            symmetric=options.activations_symmetric,
        )

    def range(self, number: int, method: str) -> Range:
        """Return one of the ranges."""
        return Range(float(self.low[number]), float(self.high[number]), method)
