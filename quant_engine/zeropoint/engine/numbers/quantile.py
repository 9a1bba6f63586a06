"""Order statistics of values of which only a histogram and the extremes are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch import Sketch, bins_by_value
from zeropoint.sketch.grid import SIGN


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def ends(self) -> NDArray[np.uint64]:
        """How many values there are up to the end of each bin."""
        return np.cumsum(self.counts)


def histogram(sketch: Sketch) -> Histogram:
    """Return the finite values of a sketch, of which there are; outermost edges are extremes."""
    low, high, counts = sketch.bins
    return _within(low, high, counts, sketch.minimum, sketch.maximum)


def magnitudes(sketch: Sketch) -> Histogram:
    """Return the absolute values of the finite values of a sketch, of which there are."""
    codes, where = np.unique(sketch.codes & np.uint16(SIGN - 1), return_inverse=True)
    counts = np.zeros(len(codes), dtype=np.uint64)
    np.add.at(counts, where, sketch.counts)
    low, high, counts = bins_by_value(codes, counts)
    minimum, maximum = sketch.minimum or 0.0, sketch.maximum or 0.0
    least = max(minimum, -maximum, 0.0)
    return _within(low, high, counts, least, max(-minimum, maximum))


def quantiles(values: Histogram, q: Sequence[float]) -> NDArray[np.float64]:
    """Estimate quantiles.

    As `numpy.quantile` by default: between the order statistics around rank q * (n - 1), linearly.
    The values of a bin are taken to be spread evenly over it. Each order statistic is in the bin
    that it is placed in, so that the error is no more than the wider one of the two bins; of a
    sketch, 2^-7 of the greater of both order statistics, or 2^-133. The first and the last one are
    the outermost edges, and so exact wherever the extremes are known.

    Each q is 0 to 1; the result is float64, one for each.
    """
    last = int(values.ends[-1]) - 1
    below = [min(int(one * last), last) for one in q]
    share = np.array([one * last - rank for one, rank in zip(q, below, strict=True)])
    first = _order_statistics(values, below)
    second = _order_statistics(values, [min(rank + 1, last) for rank in below])
    return np.where(share > 0, first + share * (second - first), first)


def _order_statistics(values: Histogram, ranks: Sequence[int]) -> NDArray[np.float64]:
    """Estimate the values with so many values below them."""
    rank = np.array(ranks, dtype=np.uint64)
    place = np.searchsorted(values.ends, rank, side="right")
    low, high, count = values.low[place], values.high[place], values.counts[place]
    position = (rank - (values.ends[place] - count) + 0.5) / count
    found = low + position * (high - low)
    found[rank == 0] = values.low[0]
    found[rank == values.ends[-1] - np.uint64(1)] = values.high[-1]
    return found


def _within(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    counts: NDArray[np.uint64],
    minimum: float | None,
    maximum: float | None,
) -> Histogram:
    """Cut the outermost bins off at the extremes, in place."""
    np.clip(low[:1], minimum, None, out=low[:1])
    np.clip(high[-1:], None, maximum, out=high[-1:])
    return Histogram(low, high, counts)
