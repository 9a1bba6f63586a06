"""Words and rows of the page that its plots share with its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeropoint.client.accuracy_summary import worst
from zeropoint.client.figures import decibels, percent
from zeropoint.client.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zeropoint.client.accuracy_report import Trial
    from zeropoint.client.distribution import Histogram, RangeAlternative
    from zeropoint.client.report import TensorPlan
    from zeropoint.client.sensitivity_table import NodeRow

LONGEST_NAME = 160


def shortened(text: str, most: int = LONGEST_NAME) -> str:
    """Return a text that can be shown: escaped, and without its middle where it is too long."""
    shown = printable(text[: 2 * most] + text[-most:] if len(text) > 3 * most else text)
    half = most // 2
    return shown if len(shown) <= most else f"{shown[:half]}…{shown[-half:]}"


def node_title(row: NodeRow) -> str:
    """Return what is told of a node where it is pointed at."""
    return shortened(worst(row), 3 * LONGEST_NAME)


def trial_title(trial: Trial) -> str:
    """Return what is told of a candidate where it is pointed at."""
    parts = [f"{trial.number}: {trial.description or 'as asked for'}", decibels(trial.sqnr_db)]
    if trial.latency_ratio is not None:
        parts.append(f"{trial.latency_ratio:.2f} of the original's time")
    if trial.integer_share is not None:
        parts.append(f"{percent(trial.integer_share)} in integers")
    parts.append("keeps the floor" if trial.held else "below the floor")
    return shortened("; ".join(parts), 3 * LONGEST_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRow:
    """A range that a method chooses, or the one that is used.

    Attributes:
        name: The method.
        low: Lower end, in the tensor's own units.
        high: Upper end.
        error: Its expected squared error beside the least of all; None where not known.
        used: Whether the result has it.
    """

    name: str
    low: float
    high: float
    error: float | None
    used: bool


def range_rows(histogram: Histogram, plans: Mapping[str, TensorPlan]) -> tuple[RangeRow, ...]:
    """Return the ranges of a tensor, the one that is used among them."""
    plan = plans.get(histogram.tensor)
    least = min((one.expected_error for one in histogram.ranges), default=0.0)
    rows = [_row(one, least, plan) for one in histogram.ranges if _finite(one.low, one.high)]
    if plan is None or plan.low is None or plan.high is None or any(row.used for row in rows):
        return tuple(rows)
    used = RangeRow(name="used", low=plan.low, high=plan.high, error=None, used=True)
    return (used, *rows) if _finite(used.low, used.high) else tuple(rows)


def _row(one: RangeAlternative, least: float, plan: TensorPlan | None) -> RangeRow:
    used = plan is not None and (plan.low, plan.high) == (one.low, one.high)
    if used and plan is not None and plan.method is not None:
        used = (plan.method, plan.percentile) == (one.method, one.percentile)
    return RangeRow(
        name=method_name(one),
        low=one.low,
        high=one.high,
        error=one.expected_error / least if least > 0 else None,
        used=used,
    )


def method_name(one: RangeAlternative) -> str:
    """Return a method in a word."""
    return f"{one.percentile:g} %" if one.percentile is not None else one.method.value


def _finite(*figures: float) -> bool:
    return all(map(math.isfinite, figures))
