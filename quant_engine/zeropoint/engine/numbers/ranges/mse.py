"""MSE: the range with the least expected squared error."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.numbers.ranges.candidates import Candidates
from zeropoint.engine.numbers.ranges.percentile import percentile_range
from zeropoint.engine.numbers.ranges.statistics import Range, Statistics
from zeropoint.engine.options import CalibrationMethod, StaticOptions

_Costs = Callable[[NDArray[np.intp]], NDArray[np.float64]]

_AT_ONCE: Final = 32


def mse_range(statistics: Statistics, options: StaticOptions, /) -> Range:
    """Return the range with the least expected squared error of rounding and clipping.

    The objective is the one of Banner et al., "Post training 4-bit quantization" (2019), and of
    Nagel et al., "A white paper on neural network quantization" (2021), 3.1; there for a given
    distribution or for samples, here for all values seen, and for the scale, zero point and codes
    that each candidate really gets. Both ends are free, or bound to each other where the type or
    `calibration_range_symmetric` makes the range symmetric.

    By the bound that `ExpectedError` states, d = sqrt(mean of w^2) with the width w of a value's
    bin, the true root mean square error of what is expected to be best is at most 2 d above that
    of any other candidate. Candidates have an end at an edge of a bin, and are searched from
    coarse to fine; MinMax and Percentile are computed in any case.
    """
    return least_error(statistics, options, [percentile_range(statistics, options)])[0][0]


def least_error(
    statistics: Statistics, options: StaticOptions, others: Sequence[Range]
) -> list[tuple[Range, float]]:
    """Find the range of the least expected squared error, no more than that of others.

    Returns:
        First that range, then the others as they were given, each with its error, in the tensor's
        units squared.
    """
    path = _candidates(statistics, options)
    candidates, order = path.joined(Candidates.of(others)).widest_first()
    places = np.argsort(order)[len(path) :].tolist()
    grids, error = candidates.grids(options), statistics.expected_error
    errors = least(lambda numbers: error(grids.take(numbers)), len(candidates), places)
    best = min(errors, key=lambda number: (errors[number], number))
    given = [(one, errors[place]) for one, place in zip(others, places, strict=True)]
    return [(candidates.range(best, CalibrationMethod.MSE), errors[best]), *given]


def _candidates(statistics: Statistics, options: StaticOptions) -> Candidates:
    """Return the ranges to choose from, the widest first, which is that of MinMax.

    Of all ranges of one width, clipping costs least with the one whose ends are exceeded by the
    same sum of values: else moving it would gain more at one end than it loses at the other. So
    there is one candidate for each such sum, as far as the edges of bins tell them apart.
    """
    minimum, maximum = statistics.minimum, statistics.maximum
    extremes = Candidates(np.array([minimum]), np.array([maximum]))
    step = float(extremes.grids(options).scale[0])
    most = statistics.sketch.finite * step**2 / 4  # that rounding can cost with MinMax
    above, below = _end(statistics, 0, most), _end(statistics, 1, most)
    if options.calibration_range_symmetric or options.activations_symmetric:
        edges = above.edges if above.edges[0] > below.edges[0] else below.edges
        edges = edges[edges < statistics.greatest]
        ends = np.append(edges, statistics.greatest)[::-1]
        return Candidates.around_zero(ends, statistics, options)
    sums = np.unique(np.concatenate([above.sums, below.sums]))
    low, high = np.maximum(-below.at(sums), minimum), np.minimum(above.at(sums), maximum)
    low[0], high[0] = minimum, maximum
    return Candidates(low, high)


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    """Where a range may end on one side of zero.

    Attributes:
        edges: Magnitudes of edges of bins, ascending.
        sums: The sum of what values exceed each of them by.
    """

    edges: NDArray[np.float64]
    sums: NDArray[np.float64]

    def at(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the magnitudes that are exceeded by given sums."""
        return np.interp(sums, self.sums[::-1], self.edges[::-1])


def _end(statistics: Statistics, side: int, most: float) -> _End:
    """Return the edges above zero (side 0) or below (1) where clipping may cost less than `most`.

    It costs at least the square of the sum that values exceed the edge by, divided by their number.
    """
    cells, values = statistics.cells, statistics.values
    extreme = -statistics.minimum if side else statistics.maximum
    edges = cells.edges.copy()
    edges[0] = 0.0  # nothing is below but zeros
    if extreme <= 0:
        return _End(edges[:1], np.zeros(1))
    at_extreme = float(values.counts[0 if side else -1])
    sums = cells.excess[side] + at_extreme * np.maximum(extreme - edges, 0.0)
    first = 0
    for _ in range(2):
        clipped = cells.beyond[side, first] + at_extreme
        first = len(sums) - int(np.searchsorted(sums[::-1], math.sqrt(most * clipped), "right"))
    return _End(edges[first:], sums[first:])


def least(costs: _Costs, count: int, also: Sequence[int] = ()) -> dict[int, float]:
    """Find the least of many costs from coarse to fine, without computing most of them.

    Evenly spaced candidates are computed, then some between the neighbours of the best of them,
    and so on. That finds the least of all where costs fall and rise once, and wherever there are
    no more than can be computed at once; else it is no more than any that was computed. Candidates
    are spoken of by number; `also` are computed in any case.

    Returns:
        The costs that were computed, by number.
    """
    low, high = 0, count - 1
    known: dict[int, float] = {}
    while True:
        few = min(_AT_ONCE, high - low + 1)
        numbers = low + np.arange(few) * (high - low) // max(few - 1, 1)
        if not known:
            numbers = np.union1d(numbers, np.array(also, dtype=np.intp))
        found = costs(numbers)
        known.update(zip(numbers.tolist(), found.tolist(), strict=True))
        if few == high - low + 1:
            return known
        best = int(np.argmin(found))
        low = int(numbers[max(best - 1, 0)])
        high = int(numbers[min(best + 1, len(numbers) - 1)])
