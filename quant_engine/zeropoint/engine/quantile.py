"""Order statistics of values of which only a histogram and the extremes are known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch import Sketch, bins_by_value
from zeropoint.sketch.grid import SIGN


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Values in bins.

    Attributes:
        low: float64, lower edge of each bin, ascending.
        high: float64, upper edge of each bin, no lower than `low`.
        counts: uint64, how many values each bin holds, above zero.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.uint64]


def histogram(sketch: Sketch) -> Histogram:
    """Return the finite values of a sketch; the outermost edges are the exact extremes.

    Args:
        sketch: With at least one finite value.
    """
    low, high, counts = bins_by_value(sketch.codes, sketch.counts)
    return _within(low, high, counts, sketch.minimum, sketch.maximum)


def magnitudes(sketch: Sketch) -> Histogram:
    """Return the absolute values of the finite values of a sketch.

    Args:
        sketch: With at least one finite value.
    """
    codes, where = np.unique(sketch.codes & np.uint16(SIGN - 1), return_inverse=True)
    counts = np.zeros(len(codes), dtype=np.uint64)
    np.add.at(counts, where, sketch.counts)
    low, high, counts = bins_by_value(codes, counts)
    minimum, maximum = sketch.minimum or 0.0, sketch.maximum or 0.0
    least = max(minimum, -maximum, 0.0)
    return _within(low, high, counts, least, max(-minimum, maximum))


def quantile(values: Histogram, q: float) -> float:
    """Estimate a quantile.

    As `numpy.quantile` by default: between the order statistics around rank q * (n - 1), linearly.
    The values of a bin are taken to be spread evenly over it. Each order statistic is in the bin
    that it is placed in, so that the error is no more than the wider one of the two bins; of a
    sketch, 2^-7 of the greater of both order statistics, or 2^-133. The first and the last one are
    the outermost edges, and so exact wherever the extremes are known.

    Args:
        values: The histogram.
        q: 0 to 1.
    """
    total = int(values.counts.sum())
    rank = q * (total - 1)
    below = min(int(rank), total - 1)
    share = rank - below
    ends = np.cumsum(values.counts)
    first = _order_statistic(values, ends, below)
    if share == 0:
        return first
    second = _order_statistic(values, ends, min(below + 1, total - 1))
    return first + share * (second - first)


def _order_statistic(values: Histogram, ends: NDArray[np.uint64], rank: int) -> float:
    """Estimate the value with `rank` values below it."""
    if rank == 0:
        return float(values.low[0])
    if rank == int(ends[-1]) - 1:
        return float(values.high[-1])
    place = int(np.searchsorted(ends, np.uint64(rank), side="right"))
    low, high, count = values.low[place], values.high[place], int(values.counts[place])
    position = (rank - (int(ends[place]) - count) + 0.5) / count
    return float(low + position * (high - low))


def _within(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    counts: NDArray[np.uint64],
    minimum: float | None,
    maximum: float | None,
) -> Histogram:
    return Histogram(np.clip(low, minimum, maximum), np.clip(high, minimum, maximum), counts)
