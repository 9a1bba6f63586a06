"""Figures of matplotlib as SVG inside a page: its fonts, its colours, light or dark, and titles.

A figure is drawn with colours that stand for the page's own, and these are put in their place.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from zeropoint.client.page.words import shortened

INK: Final = "#010203"
MUTED: Final = "#010204"
LINE: Final = "#010205"
BAR: Final = "#010206"
ACCENT: Final = "#010207"
BAD: Final = "#010208"
GOOD: Final = "#010209"
PAPER: Final = "#01020a"

_VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        INK: "var(--ink)",
        MUTED: "var(--muted)",
        LINE: "var(--line)",
        BAR: "var(--bar)",
        ACCENT: "var(--accent)",
        BAD: "var(--bad)",
        GOOD: "var(--good)",
        PAPER: "var(--card)",
    }
)
# What is written in a figure are names of models, which are no formulas.
_STYLE: Final[Mapping[str, object]] = MappingProxyType(
    {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": 11,
        "text.color": INK,
        "axes.facecolor": "none",
        "axes.edgecolor": LINE,
        "axes.labelcolor": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
    }
)
_COLOUR = re.compile("|".join(_VARIABLES))
_FONT = re.compile(r"font: (?:(?:normal|bold|\d+) )*([\d.]+px) [^;\"]*")
_GROUP = re.compile(r'<g id="([^"]*)">')
_HEADER = re.compile(r"^.*?<svg[^>]*>", re.DOTALL)
_WITHOUT = re.compile(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", re.DOTALL)
_SPACE = re.compile(r"\n\s*")


@contextmanager
def styled(more: Mapping[str, object] = MappingProxyType({})) -> Iterator[None]:
    """Make and draw figures in the page's style, whatever that of this process is.

    The settings of matplotlib are one for all threads.

    Args:
        more: Further settings.
    """
    settings: Any = {**_STYLE, **more}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield


def figure(width: int, height: int) -> Figure:
    """Return an empty figure, in CSS pixels; to be drawn within `styled`."""
    made = Figure(figsize=(width / 72, height / 72), facecolor="none")
    FigureCanvasSVG(made)
    return made


def margins(drawn: Figure, *, left: int, bottom: int, top: int = 12, right: int = 12) -> None:
    """Leave room around the axes, in CSS pixels; to compute it takes longer than to draw."""
    width, height = (72 * inches for inches in drawn.get_size_inches())
    drawn.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)


def inline(drawn: Figure, *, name: str, label: str, titles: Mapping[str, str]) -> Markup:
    """Return a figure as an element of a page.

    Args:
        drawn: The figure.
        name: Its own within the page.
        label: What it shows, for who does not see it.
        titles: What is told of single marks, by their gid.
    """
    with styled({"svg.hashsalt": name}):
        drawn.savefig(file := io.StringIO(), format="svg", metadata={"Date": None})
    width, height = (round(72 * inches) for inches in drawn.get_size_inches())
    text = _HEADER.sub("", file.getvalue(), count=1)
    text = _WITHOUT.sub("", text).replace("xlink:href", "href")
    text = _COLOUR.sub(lambda found: _VARIABLES[found[0]], text)
    text = _FONT.sub(r"font-size: \1", text)
    text = _GROUP.sub(lambda found: _group(titles.get(found[1])), _SPACE.sub("\n", text))
    head = Markup(
        '<svg class="plot" viewBox="0 0 {} {}" style="max-width: {}px" role="img" aria-label="{}">'
    )
    return head.format(width, height, width, shortened(label)) + Markup(text)  # noqa: S704


def _group(title: str | None) -> str:
    return "<g>" if title is None else f"<g><title>{escape(title)}</title>"
