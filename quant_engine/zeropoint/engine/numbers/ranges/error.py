"""The squared error that quantization is expected to cause, rounding and clipping, for exact codes.

With the grid s * k, first <= k <= last, a value x becomes the nearest point of it, g(x), and

    (x - g(x))^2 = x^2 - 2 s * (sum of |x| - |v| over the boundaries v that x is beyond).

Boundaries are the (k + 1/2) s between two points; beyond one is what is farther from zero on the
same side. For x^2 - (x - g(x))^2 is the greatest of 2 x k s - (k s)^2 over all k: zero at zero,
linear between boundaries, and 2 s steeper behind each one. So a single function of the values is
enough, their excess: E(v) = sum of what they exceed v by. It is quadratic inside a bin, and is
looked up 255 times for a range of 8 bits, whatever the number of bins.
"""

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.numbers.qparams import CodeGrids
from zeropoint.engine.numbers.quantile import Histogram
from zeropoint.engine.numbers.ranges.cells import Cells, places


class ExpectedError:
    """Expected squared error of a tensor's values for any grid.

    The values of a bin are taken to be spread evenly over it; those of the two outermost bins to
    be at the exact extremes. Either way each stays inside its bin, and the distance from a value
    to the grid changes by no more than the value does. So the root of the result differs from the
    root of the true mean by at most sqrt(mean of w^2), where w is the width of a value's bin
    (triangle inequality in L2): at most 2^-7 of the values' root mean square, or 2^-133. Sums are
    of float64: what is below 1e-12 of the values' mean square is noise.
    """

    def __init__(self, values: Histogram, cells: Cells) -> None:
        """Sum up once what all grids need, from a sketch's bins, and the same by magnitude."""
        self._ends = np.array([values.low[0], values.high[-1]])
        self._at_ends = values.counts[[0, -1]] / (2 if len(values.counts) == 1 else 1)
        low, high = values.low[1:-1], values.high[1:-1]
        squares = low * (low + high) + high * high
        self._squares = float(squares @ values.counts[1:-1].astype(np.float64)) / 3
        self._total = float(values.counts.sum())
        self._cells = cells
        self._lowest = np.inf
        self._excess = _Excess(cells, self._lowest)

    def __call__(self, grids: CodeGrids) -> NDArray[np.float64]:
        """Return the mean squared error, float64[n], in the tensor's units squared."""
        lowest = float(grids.scale.min()) / 2
        if lowest < self._lowest:
            self._lowest = lowest / 8  # the next ones are likely to be near
            self._excess = _Excess(self._cells, self._lowest)
        excess = self._excess(grids.points(0.5, grids.levels - 1)).sum(axis=1)
        between = self._squares - 2 * grids.scale * excess
        return np.asarray(np.maximum(between + self._of_ends(grids), 0.0) / self._total)

    def _of_ends(self, grids: CodeGrids) -> NDArray[np.float64]:
        scale = grids.scale[:, np.newaxis]
        codes = np.rint(self._ends / scale)
        codes = np.minimum(np.maximum(codes, grids.first[:, np.newaxis]), grids.last[:, np.newaxis])
        errors: NDArray[np.float64] = ((self._ends - codes * scale) ** 2) @ self._at_ends
        return errors


class _Excess:
    """E(v) as a polynomial of |v|, one for each side and each place among the edges of cells."""

    def __init__(self, cells: Cells, lowest: float) -> None:
        """Compute the coefficients; E will not be asked for below the magnitude `lowest`."""
        first = cells.first_above(lowest)
        self._edges = upper = cells.edges[first:]
        self._places = len(upper) + 1
        beyond, excess = cells.beyond[:, first:], cells.excess[:, first:]
        half_density = cells.between[:, first:] / (2 * np.diff(upper))
        constant, linear, square = (np.zeros((2, self._places)) for _ in range(3))
        square[:, 1:-1] = half_density
        linear[:, :-1] = -beyond
        constant[:, :-1] = excess + beyond * upper
        half_density *= upper[1:]
        linear[:, 1:-1] -= 2 * half_density
        constant[:, 1:-1] += half_density * upper[1:]
        self._coefficients = constant, linear, square

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return E of each value."""
        constant, linear, square = self._coefficients
        magnitudes = np.abs(values)
        where = places(self._edges, magnitudes)
        where += (values < 0) * self._places
        excess = square.take(where)
        excess *= magnitudes
        excess += linear.take(where)
        excess *= magnitudes
        excess += constant.take(where)
        return excess
