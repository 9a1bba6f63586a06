"""Lines of the printed report on how a result came to be good enough, and on what harms it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zeropoint.client.advice import floor, replayed, shipping, steps
from zeropoint.client.figures import counted, decibels, percent
from zeropoint.client.sensitivity_table import NodeRow, rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zeropoint.client.accuracy_report import Accuracy, Trial
    from zeropoint.client.report import Report

_WORST_NODES = 5
_MOST_NAMES = 4


def verdict_lines(report: Report) -> Iterator[str]:
    """Yield whether to ship it, whether the floor is held, and what to do."""
    yield f"ship        {shipping(report)}"
    if held := floor(report):
        yield f"floor       {held}"
    yield from (f"to do       {step}" for step in steps(report))


def accuracy_lines(report: Report) -> Iterator[str]:
    """Yield what was done otherwise than asked for, and what was tried."""
    found = report.accuracy
    if found is None:
        return
    if replayed(report) and not found.departures:
        yield "otherwise   what an earlier job decided is done again"
    told = ""
    for departure in found.departures:
        effect = f"; {departure.effect}" if departure.effect not in ("", told) else ""
        told = departure.effect
        yield (
            f"otherwise   {departure.remedy.replace('_', ' ')}, {names(departure.nodes)}: "
            f"{departure.reason}{effect}"
        )
    if found.searched:
        yield f"tried       {tried(found)}"


def worst_lines(report: Report) -> Iterator[str]:
    """Yield the nodes that matter most, each with what harms it."""
    yield from (f"worst node  {worst(row)}" for row in rows(report)[:_WORST_NODES])


def worst(row: NodeRow) -> str:
    """Return what is known of a node in one line."""
    parts = []
    if (effect := row.worst) is not None:
        parts.append(f"{decibels(effect.sqnr_db)} at output {effect.output}")
    if row.isolated_db is not None:
        parts.append(f"{decibels(row.isolated_db)} by itself")
    if row.weight_db is not None:
        parts.append(f"{decibels(row.weight_db)} by its weights alone")
    if row.activation_db is not None:
        parts.append(f"{decibels(row.activation_db)} by its activations alone")
    if row.clipped_share:
        parts.append(f"{percent(row.clipped_share)} of its values clipped")
    if row.share is not None:
        parts.append(f"{percent(row.share)} of the arithmetic")
    more = [f"most harmed by {row.cause}"] if row.cause else []
    more += [f"tried: {row.tried[0]}"] if row.tried else []
    more += ["float in the result"] if row.left_float else []
    return f"{row.name} ({row.op_type}): {'; '.join([', '.join(parts), *more])}"


def names(nodes: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Return the first of many names, and how many more there are."""
    if not nodes:
        return "everywhere"
    listed = ", ".join(nodes[:most])
    more = len(nodes) - most
    return f"{listed} and {more} more" if more > 0 else listed


def tried(found: Accuracy) -> str:
    """Return how many candidates were tried, and which of them is the result."""
    text = (
        f"{counted(len(found.trials), 'candidate')} on {counted(found.choosing_samples, 'sample')}"
    )
    chosen = next((trial for trial in found.trials if trial.chosen), None)
    if chosen is None:
        return text
    if chosen.number == 0:
        return f"{text}; what was asked for is the result"
    return f"{text}; number {chosen.number} is the result: {_figures(chosen)}"


def _figures(trial: Trial) -> str:
    parts = [trial.description]
    if trial.metric is not None:
        parts.append(f"{trial.metric:.6g} of your own figure")
    if trial.sqnr_db is not None:
        parts.append(decibels(trial.sqnr_db))
    if trial.latency_ratio is not None:
        parts.append(f"{trial.latency_ratio:.2f} of the original's time")
    return ", ".join(parts)
