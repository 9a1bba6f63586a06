"""The caller's own figure in place of the floors: what it must be, and what is said of it."""

from dataclasses import replace
from typing import Final

from zeropoint.engine.options import Options
from zeropoint.engine.report import Accuracy, Floor
from zeropoint.engine.search import floor_of
from zeropoint.engine.settings import CandidateFiles, Evaluate

_ALLOWED_DROP: Final = 0.01  # of the original's figure, where the caller names none


def floor_with(options: Options, evaluate: Evaluate | None) -> Floor:
    """Return what a result must keep; the caller's own figure sets it where it is asked.

    Args:
        options: What was asked for.
        evaluate: Asks the caller, here for the figure of the original.
    """
    floor = floor_of(options)
    if evaluate is None:
        return floor
    original = evaluate(CandidateFiles(number=None, description="the original"))
    drop = options.accuracy.max_drop
    allowed = _ALLOWED_DROP * abs(original) if drop is None else drop
    return replace(floor, min_metric=original - allowed, original_metric=original)


def told(metric: float | None, floor: Floor) -> str:
    """Return how a result stands by the caller's own figure."""
    if metric is None:
        return "your own figure of the result is not known"
    return (
        f"your own figure is {metric:.6g} (at least {floor.min_metric:.6g}; "
        f"{floor.original_metric:.6g} for the original)"
    )


def counts(accuracy: Accuracy) -> bool:
    """Whether the caller's own figure says what a result is worth."""
    return accuracy.floor.min_metric is not None


def too_low(accuracy: Accuracy) -> str:
    """Return what is to be said of a result that loses too much by it; empty where it does not."""
    if not counts(accuracy) or accuracy.held:
        return ""
    return (
        f"The result loses more than it may: {accuracy.message}. Allow more with max_drop, name "
        "the nodes that must stay float in nodes_to_exclude, or send more samples, of which the "
        "nodes to blame are found."
    )
