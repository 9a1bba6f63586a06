"""Ranges to choose from, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.numbers.qparams import CodeGrids, activation_qparams
from zeropoint.engine.numbers.ranges.statistics import Range, Statistics
from zeropoint.engine.options import CalibrationMethod, StaticOptions


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

    def joined(self, others: "Candidates") -> "Candidates":
        """Return these and then others."""
        return Candidates(
            np.concatenate([self.low, others.low]), np.concatenate([self.high, others.high])
        )

    def widest_first(self) -> tuple["Candidates", NDArray[np.intp]]:
        """Return these in order of their width, and the number that each of them had before."""
        order = np.argsort(self.low - self.high, kind="stable")
        return Candidates(self.low[order], self.high[order]), order

    def grids(self, options: StaticOptions) -> CodeGrids:
        """Return what codes stand for in each range."""
        qparams = activation_qparams(
            self.low,
            self.high,
            options.activation_type,
            symmetric=options.activations_symmetric,
            restricted=options.activation_restricted_asymmetric,
            minimum_real_range=options.minimum_real_range,
        )
        return CodeGrids.of(qparams)

    def range(self, number: int, method: CalibrationMethod) -> Range:
        """Return one of the ranges."""
        return Range(float(self.low[number]), float(self.high[number]), method)
