"""The plot of errors along the network: what each node loses by itself, and at the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.ticker import MaxNLocator

from zeropoint.client.page.svg import ACCENT, BAD, BAR, MUTED, figure, inline, margins, styled
from zeropoint.client.page.words import node_title
from zeropoint.client.sensitivity_table import NodeRow

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

_BEST_DB: Final = 70.0  # what is better is drawn as good as this
_LEAST_DB: Final = -10.0
_LABELLED: Final = 5


def most_drawn(width: int) -> int:
    """Return how many nodes are drawn in so many CSS pixels."""
    return width // 4


def network_plot(
    nodes: Sequence[NodeRow], worst: Sequence[str], floor_db: float | None, *, width: int, name: str
) -> Markup:
    """Return the plot.

    Args:
        nodes: Nodes in the order of the graph.
        worst: Names of the worst, which get the numbers that they have in the page's table.
        floor_db: What outputs must keep.
        width: In CSS pixels; of very many nodes, only the worst of neighbours are drawn.
        name: The plot's own.
    """
    numbers = {node: number for number, node in enumerate(worst[:_LABELLED], 1)}
    shown = _thinned(nodes, most_drawn(width), set(numbers))
    titles: dict[str, str] = {}
    with styled():
        drawn = figure(width, 260 if width > 600 else 220)
        axes = drawn.add_subplot()
        _draw(axes, shown, numbers, titles)
        if floor_db is not None:
            axes.axhline(floor_db, color=BAD, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"floor at the outputs {floor_db:g} dB",
                (1, floor_db),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                color=BAD,
                fontsize=10,
            )
        _dress(axes, shown)
        margins(drawn, left=52, bottom=42)
        label = (
            f"SQNR of {len(nodes)} quantized nodes in the order of the graph; the worst are in the "
            "table below"
        )
        return inline(drawn, name=name, label=label, titles=titles)


def _draw(
    axes: Axes,
    shown: Sequence[tuple[int, NodeRow]],
    numbers: dict[str, int],
    titles: dict[str, str],
) -> None:
    at_outputs = [(place, _within(row.worst.sqnr_db)) for place, row in shown if row.worst]
    for place, row in shown:
        titles[f"n{place}"] = node_title(row)
        alone = _within(row.isolated_db) if row.isolated_db is not None else _BEST_DB
        at = _within(row.worst.sqnr_db) if row.worst else _BEST_DB
        # Bars for what is measured by itself; those that are all but exact can still be pointed at.
        top = min(alone, _BEST_DB - 0.5)
        [bar] = axes.bar([place], [_BEST_DB - top], bottom=top, width=_wide(shown), color=BAR)
        bar.set_gid(f"n{place}")
        if row.name in numbers:
            axes.annotate(
                str(numbers[row.name]),
                (place, min(top, at)),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=11,
                fontweight="bold",
            )
    if at_outputs:
        axes.plot(*zip(*at_outputs, strict=True), "o", color=ACCENT, markersize=4.5, zorder=3)


def _dress(axes: Axes, shown: Sequence[tuple[int, NodeRow]]) -> None:
    figures = [row.isolated_db for _, row in shown if row.isolated_db is not None]
    figures += [row.worst.sqnr_db for _, row in shown if row.worst]
    least = min((_within(each) for each in figures), default=0.0)
    axes.set_ylim(_BEST_DB, min(0.0, least) - 8)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("SQNR in dB: taller is worse")
    axes.set_xlabel("quantized nodes, in the order of the graph", color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.margins(x=0.01)


def _wide(shown: Sequence[tuple[int, NodeRow]]) -> float:
    """Return the width of a bar, in nodes."""
    first, last = shown[0][0], shown[-1][0]
    return 0.7 * max(1.0, (last - first + 1) / max(len(shown), 1))


def _within(value: float) -> float:
    return max(_LEAST_DB, min(value, _BEST_DB))


def _thinned(nodes: Sequence[NodeRow], most: int, always: set[str]) -> list[tuple[int, NodeRow]]:
    """Return the worst of each few neighbours with its place, so that no more than so many stay."""
    numbered = list(enumerate(nodes, 1))
    if len(numbered) <= most:
        return numbered
    size = -(-len(numbered) // most)
    groups = (numbered[start : start + size] for start in range(0, len(numbered), size))
    return [
        min(group, key=lambda pair: (pair[1].name not in always, _badness(pair[1])))
        for group in groups
    ]


def _badness(row: NodeRow) -> float:
    figures = [row.worst.sqnr_db] if row.worst else []
    figures += [row.isolated_db] if row.isolated_db is not None else []
    return min(figures, default=_BEST_DB)
