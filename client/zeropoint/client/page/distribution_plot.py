"""The plot of one tensor: which values it had, and which of them the range of each method holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from zeropoint.client.page.svg import ACCENT, BAR, INK, MUTED, figure, inline, margins, styled
from zeropoint.client.page.words import RangeRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from matplotlib.axes import Axes

    from zeropoint.client.distribution import Histogram

_WIDTH: Final = 340
_ROW: Final = 17


def distribution_plot(histogram: Histogram, ranges: Sequence[RangeRow], *, name: str) -> Markup:
    """Return the plot.

    Args:
        histogram: What was seen.
        ranges: Ranges to show below it.
        name: The plot's own.
    """
    with styled({"font.size": 10}):
        rows = max(len(ranges), 1)
        drawn = figure(_WIDTH, 150 + _ROW * rows)
        top, below = drawn.subplots(2, 1, sharex=True, height_ratios=[110, _ROW * rows + 6])
        _counts(top, histogram)
        _ranges(below, ranges)
        margins(drawn, left=72, bottom=24, top=6)
        low, high = _ends(histogram, ranges)
        below.set_xlim(low, high)
        below.xaxis.set_major_locator(MaxNLocator(5))
        label = f"values of {histogram.tensor} with the ranges of {len(ranges)} methods, told below"
        return inline(drawn, name=name, label=label, titles={})


def _counts(axes: Axes, histogram: Histogram) -> None:
    """Draw bars as high as the logarithm of their counts, so that single values are seen, too."""
    heights = np.log10(1.0 + np.array(histogram.counts, dtype=float))
    if histogram.high > histogram.low:
        edges = np.linspace(histogram.low, histogram.high, len(heights) + 1)
        steps = np.append(heights, heights[-1])
        axes.fill_between(edges, steps, step="post", color=BAR, linewidth=0)
    else:
        axes.plot([histogram.low] * 2, [0.0, heights[0]], color=BAR, linewidth=6)
    axes.set_ylim(0.0, 1.05 * max(float(heights.max()), 1.0))
    axes.set_yticks([])
    axes.set_ylabel("how many, log")
    axes.grid(visible=False)
    axes.tick_params(labelbottom=False)


def _ranges(axes: Axes, ranges: Sequence[RangeRow]) -> None:
    for row, one in enumerate(ranges):
        colour = ACCENT if one.used else MUTED
        width = 3.0 if one.used else 1.6
        axes.plot([one.low, one.high], [row, row], "|-", color=colour, linewidth=width, mew=width)
    axes.set_yticks(range(len(ranges)), [one.name for one in ranges])
    for text, one in zip(axes.get_yticklabels(), ranges, strict=True):
        text.set_color(INK if one.used else MUTED)
    axes.set_ylim(len(ranges) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _ends(histogram: Histogram, ranges: Sequence[RangeRow]) -> tuple[float, float]:
    low = min([histogram.low, *(one.low for one in ranges)])
    high = max([histogram.high, *(one.high for one in ranges)])
    margin = 0.02 * (high - low) or abs(high) * 0.1 or 1.0
    return low - margin, high + margin
