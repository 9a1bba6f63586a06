"""Entropy: the range that loses least of the distribution of the values."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.numbers.qparams import CodeGrids
from zeropoint.engine.numbers.ranges.candidates import Candidates
from zeropoint.engine.numbers.ranges.cells import Cells, places, share_below
from zeropoint.engine.numbers.ranges.percentile import minmax_range
from zeropoint.engine.numbers.ranges.statistics import Range, Statistics
from zeropoint.engine.options import CalibrationMethod, StaticOptions

_KEPT: Final = 0.99
_CANDIDATES: Final = 32
_PRIOR: Final = 0.5  # of a value, in each level
_TINY: Final = 1e-300  # instead of zero, where a logarithm is multiplied by zero


def entropy_range(statistics: Statistics, options: StaticOptions, /) -> Range:
    """Return the range (-t, t), cut off at the extremes, of the least relative entropy.

    Candidates for t are the greatest magnitude and the upper edges of the bins of magnitudes that
    hold something, as long as 99 % of the values other than zero are inside; if there are more
    than 32, evenly spaced ones. Each is judged with its actual scale, zero point and codes by

        KL(P || Q) = sum of P log(P / Q) over the bins, cut where levels meet.

    P is the distribution of the values, spread evenly in each bin; what is clipped is added to the
    outermost level in the proportions of what is there. Q is what quantization leaves of it: what
    is in a level, spread evenly over those parts of it that are in bins that hold something; and
    half a value more in each level, since clipped values may fall where nothing else is. Bins
    within half a step of the narrowest candidate, that of zero above all, are left out: no
    candidate tells them from zero.

    From Migacz, "8-bit inference with TensorRT" (GTC 2017), as is EntropyCalibrater of
    onnxruntime.quantization. There all bins have one width, so that an outlier takes their
    resolution, and by default there are as many as levels, so that MinMax is the only candidate.

    The least is exact among the candidates. How values lie within a bin is not known, which
    matters little: 128 bins make an octave, and levels are no finer than that where most values
    are. Values count by how frequent they are, not by how large: rare large ones are clipped even
    where they are what matters. MSE keeps them.
    """
    cells = statistics.cells
    if not cells.counts.size:
        return replace(minmax_range(statistics, options), method=CalibrationMethod.ENTROPY)
    ends = np.minimum(_thresholds(cells), statistics.greatest)
    candidates = Candidates.around_zero(ends, statistics, options)
    grids = candidates.grids(options)
    levels = _Levels(cells, float(grids.scale.min()) / 2)
    return candidates.range(int(np.argmin(levels.divergence(grids))), CalibrationMethod.ENTROPY)


def _thresholds(cells: Cells) -> NDArray[np.float64]:
    """Return the upper edges of bins at which a range may end, the greatest first."""
    counts = cells.counts.sum(axis=0)
    inside = np.cumsum(counts)
    chosen = (counts > 0) & (inside >= _KEPT * inside[-1])
    edges = cells.edges[1:][chosen][::-1]
    few = np.linspace(0, len(edges) - 1, min(len(edges), _CANDIDATES))
    return np.asarray(edges[np.rint(few).astype(np.intp)])


class _Levels:
    """What the levels of grids hold, and what of it quantization loses."""

    def __init__(self, cells: Cells, lowest: float) -> None:
        """Sum up once what all grids need; below the magnitude `lowest` nothing counts."""
        first = cells.first_above(lowest)
        counts, self._edges = cells.counts[:, first:], cells.edges[first:]
        held = counts > 0
        widths = np.diff(self._edges)
        densities = np.where(held, counts / widths, 1.0)
        widths = held * widths
        self._above, self._below = counts.sum(axis=1)
        self._values, self._widths = _Sum(counts), _Sum(widths)
        self._logarithms = _Sum(counts * np.log(densities))

    def divergence(self, grids: CodeGrids) -> NDArray[np.float64]:
        """Return KL(P || Q) in nats, as `entropy_range` defines it, float64[n]."""
        if not self._above + self._below:  # all values are below half a step
            return np.zeros(len(grids.scale))
        borders = grids.points(-0.5, grids.levels + 1)
        magnitudes = np.abs(borders)
        where = places(self._edges, magnitudes)
        where += (borders < 0) * (len(self._edges) + 1)
        shares = share_below(magnitudes)
        up_to = self._values(where, shares)
        widths = self._widths(where, shares)
        kept = up_to[:, 1:] - up_to[:, :-1]
        spread = np.maximum(widths[:, 1:] - widths[:, :-1], _TINY)
        spread /= kept + _PRIOR
        np.log(spread, out=spread)
        outermost = [0, 1, -2, -1]
        logarithms = self._logarithms(where[:, outermost], shares[:, outermost])
        loss = np.einsum("ij,ij->i", kept, spread) + logarithms[:, 3] - logarithms[:, 0]
        clipped = (up_to[:, [0, -1]] + [self._below, -self._above]) * [1, -1]
        inside = logarithms[:, [1, 3]] - logarithms[:, [0, 2]]
        loss += _of_clipping(clipped, kept[:, [0, -1]], spread[:, [0, -1]], inside).sum(axis=1)
        total = self._above + self._below
        left = up_to[:, -1] - up_to[:, 0] + _PRIOR * grids.levels
        return np.asarray(loss / total - np.log(total / left))


def _of_clipping(
    clipped: NDArray[np.float64],
    kept: NDArray[np.float64],
    spread: NDArray[np.float64],
    inside: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what clipped values add to the loss, where they go to a level that keeps others."""
    held = kept > 0
    more = np.divide(kept + clipped, kept, out=np.ones(kept.shape), where=held)
    mixed = clipped * spread + (kept + clipped) * np.log(more) + (more - 1) * inside
    alone = clipped * np.log(np.maximum(clipped, _TINY) / _PRIOR)
    return np.where(held, mixed, alone)


class _Sum:
    """Sum of a figure of cells from zero up to a value, the figure spread evenly in each cell."""

    def __init__(self, figures: NDArray[np.float64]) -> None:
        self._start = np.zeros((2, figures.shape[1] + 2))
        np.cumsum(figures, axis=1, out=self._start[:, 2:])
        self._step = np.zeros(self._start.shape)
        self._step[:, 1:-1] = figures
        np.negative(self._start[1], out=self._start[1])
        np.negative(self._step[1], out=self._step[1])

    def __call__(
        self, where: NDArray[np.int64], shares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the sums, negative below zero."""
        sums = self._step.take(where)
        sums *= shares
        sums += self._start.take(where)
        return sums
