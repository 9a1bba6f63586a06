"""How much each node matters, as a table: what it does to the outputs, to its own, and by what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeropoint.client.figures import decibels, percent
from zeropoint.client.json_values import to_json_values
from zeropoint.client.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zeropoint.client.accuracy_report import OutputEffect
    from zeropoint.client.report import Report

_MOST_OUTPUTS = 3
_UNKNOWN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """What is known of one node; SQNR in dB, shares 0..1, None where it was not measured.

    Attributes:
        name: The user's name.
        op_type: Operator type.
        isolated_db: SQNR of its own output, given float inputs.
        effects: What quantizing it alone does to each output of the model.
        share: Its share of the arithmetic of all layers.
        clipped_share: Share of its output's values outside of the range.
        weight_db: SQNR of its own output with only its weights quantized.
        activation_db: The same with only what it reads and gives quantized.
        tried: What was tried for it, and what that did.
        left_float: Whether it is float in the result.
    """

    name: str
    op_type: str
    isolated_db: float | None
    effects: tuple[OutputEffect, ...] = ()
    share: float | None = None
    clipped_share: float | None = None
    weight_db: float | None = None
    activation_db: float | None = None
    tried: tuple[str, ...] = ()
    left_float: bool = False

    @property
    def worst(self) -> OutputEffect | None:
        """The output that it does most to."""
        return min(self.effects, key=lambda effect: effect.sqnr_db, default=None)

    @property
    def cause(self) -> str:
        """Whether its weights or its activations lose most, in words; empty where not known."""
        if self.weight_db is None or self.activation_db is None:
            return ""
        apart = self.weight_db - self.activation_db
        if abs(apart) < _ALIKE_DB:
            return "weights and activations alike"
        return "its activations" if apart > 0 else "its weights"


_ALIKE_DB = 3.0  # one loses less than twice as much as the other


def rows(report: Report) -> tuple[NodeRow, ...]:
    """Return the nodes of a report, the one that matters most first.

    Where effects on outputs were not measured, the order is that of the error by itself, which is
    often another one.
    """
    by_name = {node.name: node for node in report.verification.nodes}
    floats = {node.name for node in report.skipped}
    measured = report.accuracy.sensitivities if report.accuracy else ()
    found = [
        NodeRow(
            name=node.name,
            op_type=node.op_type,
            isolated_db=by_name[node.name].similarity.sqnr_db if node.name in by_name else None,
            effects=node.effects,
            share=node.share,
            clipped_share=node.clipped_share,
            weight_db=node.weight_db,
            activation_db=node.activation_db,
            tried=node.tried,
            left_float=node.name in floats,
        )
        for node in measured
    ]
    known = {row.name for row in found}
    found += [
        NodeRow(name=node.name, op_type=node.op_type, isolated_db=node.similarity.sqnr_db)
        for node in report.verification.nodes
        if node.name not in known
    ]
    return tuple(found)


def to_json(table: Sequence[NodeRow]) -> Any:
    """Return the rows as JSON values."""
    return to_json_values(tuple(table))


def as_text(report: Report, limit: int) -> str:
    """Return the table for people; every line is fit for a terminal.

    Args:
        report: What is known.
        limit: Most rows.
    """
    found = rows(report)
    outputs = [output.name for output in report.verification.outputs]
    named = outputs if 1 < len(outputs) <= _MOST_OUTPUTS else []
    header = ["at outputs", *(f"at {name}" for name in named), *_COLUMNS, "node"]
    lines = [header, *(_cells(row, named) for row in found[:limit])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    text: list[str] = []
    for line, row in zip(lines, (None, *found), strict=False):
        cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=False))
        text.append("  ".join([*cells, line[-1]]))
        text += (
            [f"{'':{sum(widths) + 2 * len(widths)}}  tried: {t}" for t in row.tried] if row else []
        )
    if len(found) > limit:
        text.append(f"and {len(found) - limit} nodes more: --limit, or --json for all")
    if found and not any(row.effects for row in found):
        text.append("effects on the outputs were not measured: the order is that of each by itself")
    return "\n".join(map(printable, text))


_COLUMNS = ("by itself", "weights", "activations", "arithmetic", "clipped")


def _cells(row: NodeRow, outputs: Sequence[str]) -> list[str]:
    at = {effect.output: effect.sqnr_db for effect in row.effects}
    worst = row.worst
    return [
        _db(worst.sqnr_db if worst else None),
        *(_db(at.get(name)) for name in outputs),
        _db(row.isolated_db),
        _db(row.weight_db),
        _db(row.activation_db),
        _UNKNOWN if row.share is None else percent(row.share),
        _UNKNOWN if row.clipped_share is None else percent(row.clipped_share),
        f"{row.name} ({row.op_type})",
    ]


def _db(value: float | None) -> str:
    return _UNKNOWN if value is None else decibels(value)
