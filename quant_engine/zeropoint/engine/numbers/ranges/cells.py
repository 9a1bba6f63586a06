"""The bins of a tensor by magnitude, in a table without gaps: looking up a value is a shift."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.numbers.quantile import Histogram

_SHIFT: Final = 52 - 7  # bits of float64's mantissa that a sketch drops
_BELOW: Final = (1 << _SHIFT) - 1
_ZERO: Final = 2.0**-133  # the bins of zero end there


@dataclass(frozen=True, eq=False)
class Cells:
    """Counts on the sketch's grid from the smallest magnitude seen to the greatest.

    Zero itself, and what is below 2^-133 like it, is in no cell. Arrays of two rows have the values
    above zero in row 0, those below in row 1.

    Attributes:
        edges: float64[n + 1], lower edge of each cell and the upper one of the last.
        counts: float64[2, n], how many values each holds.
        between: The same without the two bins that hold minimum and maximum.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.float64]
    between: NDArray[np.float64]

    @classmethod
    def of(cls, values: Histogram) -> "Cells":
        """Spread the bins of a sketch; those wider than a cell (of subnormals) go to the lowest.

        The outermost bins may be cut off at the extremes.
        """
        held = np.maximum(-values.low, values.high) > _ZERO
        if not held.any():
            return cls(np.ones(1), np.zeros((2, 0)), np.zeros((2, 0)))
        keys = np.where(held, _key(np.maximum(values.low, -values.high)), 0)
        base, last = int(keys[held].min()), int(keys.max())
        columns = last - base + 2  # the first is for zeros
        where = np.maximum(keys - (base - 1), 0) + columns * (values.high <= 0)
        counts = np.asarray(np.bincount(where, values.counts, 2 * columns), dtype=np.float64)
        between = counts.copy()
        between[where[[0, -1]]] = 0
        edges = (np.arange(base, last + 2) << _SHIFT).view(np.float64)
        return cls(edges, counts.reshape(2, -1)[:, 1:], between.reshape(2, -1)[:, 1:])

    @cached_property
    def beyond(self) -> NDArray[np.float64]:
        """float64[2, n + 1], how many values of `between` are beyond each edge."""
        return _sums_from_above(self.between)

    @cached_property
    def excess(self) -> NDArray[np.float64]:
        """float64[2, n + 1], the sum of what these values exceed the edge by.

        The values of a cell are taken to be spread evenly over it.
        """
        return _sums_from_above((self.beyond[:, 1:] + self.between / 2) * np.diff(self.edges))

    def first_above(self, magnitude: float) -> int:
        """Return the number of the first cell that reaches above a magnitude."""
        return int(np.searchsorted(self.edges[1:], magnitude, side="right"))


def places(edges: NDArray[np.float64], magnitudes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return where magnitudes stand among the edges of adjoining cells.

    Returns:
        0 below all edges, n + 1 above all n + 1 of them, else the number of the cell plus 1.
    """
    found = _key(magnitudes)
    found -= _key(edges[:1]) - 1
    np.maximum(found, 0, out=found)  # np.clip takes longer
    return np.minimum(found, len(edges), out=found)


def share_below(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the cell of each magnitude is below it, 0 to 1."""
    below = (magnitudes.view(np.int64) & _BELOW).astype(np.float64)
    below *= 2.0**-_SHIFT
    return below


def _key(magnitudes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers of cells, ascending with magnitude and consecutive from cell to cell."""
    return magnitudes.view(np.int64) >> _SHIFT


def _sums_from_above(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each edge the sum of what is above it, zero for the last."""
    sums = np.zeros((2, rows.shape[1] + 1))
    np.cumsum(rows[:, ::-1], axis=1, out=sums[:, -2::-1])
    return sums
