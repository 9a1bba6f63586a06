"""A report -> the text of its page.

Names of nodes and tensors are whatever the author of a model has written. Each text goes through
`_told`, which escapes what cannot be seen and cuts what is too long; the template engine then
escapes what HTML takes for its own. The page has no scripts and allows none.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup, escape

from zeropoint.client import advice
from zeropoint.client.accuracy_summary import names
from zeropoint.client.figures import decibels, percent, size
from zeropoint.client.page import view
from zeropoint.client.page.distribution_plot import distribution_plot
from zeropoint.client.page.network import most_drawn, network_plot
from zeropoint.client.page.search_path import search_plot
from zeropoint.client.page.words import shortened
from zeropoint.client.printable import printable

if TYPE_CHECKING:
    from zeropoint.client.report import Report

WIDE: Final = 1000
NARROW: Final = 340
_LONGEST_TEXT: Final = 2000
_LONGEST_DECISIONS: Final = 20_000
_MOST_LINES: Final = 400
_ONE_AT_A_TIME: Final = threading.Lock()


def render(report: Report) -> str:
    """Return the page of a report, as HTML; one at a time."""
    with _ONE_AT_A_TIME:  # the style of plots is one for all threads
        return _rendered(report)


def _rendered(report: Report) -> str:
    decisions = report.accuracy.decisions if report.accuracy else ""
    lines = view.option_lines(report)
    return _template().render(
        report=report,
        accuracy=report.accuracy,
        advice=advice,
        view=view,
        thinned=len(view.in_graph_order(report)) > most_drawn(NARROW),
        networks=_both(functools.partial(_network, report)),
        paths=_both(functools.partial(_path, report)),
        distributions=[
            (one, ranges, distribution_plot(one, ranges, name=f"values {number}"))
            for number, (one, ranges) in enumerate(view.ranges_of(report))
        ],
        option_lines=lines[:_MOST_LINES],
        more_lines=max(len(lines) - _MOST_LINES, 0),
        decisions=decisions if len(decisions) <= _LONGEST_DECISIONS else "",
        long_decisions=len(decisions) > _LONGEST_DECISIONS,
    )


def _both(plot: Any) -> list[tuple[str, Markup]]:
    """Return a plot as it is shown where there is room, and where there is little."""
    drawn = [("wide", plot(WIDE)), ("narrow", plot(NARROW))]
    return [(css, markup) for css, markup in drawn if markup is not None]


def _network(report: Report, width: int) -> Markup | None:
    nodes = view.in_graph_order(report)
    if not nodes:
        return None
    worst = [row.name for row in view.worst_nodes(report)]
    floor = report.accuracy.floor.min_sqnr_db if report.accuracy else None
    return network_plot(nodes, worst, floor, width=width, name=f"network {width}")


def _path(report: Report, width: int) -> Markup | None:
    if report.accuracy is None:
        return None
    return search_plot(report.accuracy, width=width, name=f"search {width}")


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zeropoint.client.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_told,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "db": decibels,
        "percent": percent,
        "size": size,
        "name": shortened,
        "names": names,
        "figure": "{:.6g}".format,
        "figure_short": "{:.4g}".format,
        "first_upper": lambda text: text[:1].upper() + text[1:],
        "whole": _whole,
    }
    return environment.get_template("report.html.j2")


def _whole(text: str) -> Markup:
    """Return a long text that is not cut."""
    return escape(printable(text))


def _told(value: object) -> object:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return shortened(value, _LONGEST_TEXT)
