"""Ranges by another method, and ranges that end where what follows no longer looks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from zeropoint.engine.options import CalibrationMethod, StaticOptions
from zeropoint.engine.plan import Gated, PlannedModel
from zeropoint.engine.report import ParameterSource, Remedy
from zeropoint.engine.search.changes import Changes, RangeChoice
from zeropoint.engine.search.clip_ends import clip_ends
from zeropoint.engine.search.remedies.proposal import Proposal
from zeropoint.engine.search.workbench import Suspect

METHODS: Final = (
    RangeChoice(method=CalibrationMethod.MSE),
    RangeChoice(method=CalibrationMethod.PERCENTILE, percentile=99.99),
    RangeChoice(method=CalibrationMethod.MINMAX),
)


def other_method(
    planned: PlannedModel, changes: Changes, _suspects: Sequence[Suspect]
) -> Iterator[Proposal]:
    """Propose other methods for all ranges; ends that are given stay."""
    now = _method_of(planned, changes)
    for choice in METHODS:
        if now is None or choice == now:
            continue
        own = tuple(
            (name, replace(one, method=choice.method, percentile=choice.percentile))
            for name, one in changes.own_ranges
        )
        yield Proposal(
            changes=replace(changes, ranges=choice, own_ranges=own),
            remedy=Remedy.RANGE_METHOD,
            nodes=(),
            reason=f"ranges by {choice.method.value} may lose less",
        )


def clipped(
    planned: PlannedModel, changes: Changes, _suspects: Sequence[Suspect]
) -> Iterator[Proposal]:
    """Propose that ranges end where clamps and functions that saturate no longer look."""
    now = _method_of(planned, changes)
    known = {name for name, _ in changes.own_ranges}
    found = {
        name: RangeChoice(
            method=now.method,
            percentile=now.percentile,
            low=None if math.isinf(ends.low) else ends.low,
            high=None if math.isinf(ends.high) else ends.high,
        )
        for name, ends in clip_ends(planned.graph).items()
        if now is not None and name not in known and _is_chosen(planned, name)
    }
    if found:
        tensors = frozenset(found)
        yield Proposal(
            changes=replace(
                changes, own_ranges=tuple(sorted([*changes.own_ranges, *found.items()]))
            ),
            remedy=Remedy.RANGE_CLIPPED,
            nodes=tuple(
                name for name, quant in planned.plan.nodes.items() if quant.output in tensors
            ),
            reason="what follows looks at a part of what these give",
        )


def _method_of(planned: PlannedModel, changes: Changes) -> RangeChoice | None:
    """Return how ranges are chosen so far; None where there are none."""
    options = planned.options
    if changes.ranges is not None or not isinstance(options, StaticOptions):
        return changes.ranges
    by_share = options.calibrate_method is CalibrationMethod.PERCENTILE
    share = {"percentile": options.percentile} if by_share else {}
    return RangeChoice(method=options.calibrate_method, **share)


def _is_chosen(planned: PlannedModel, name: str) -> bool:
    """Whether a range is chosen from data, and does not end where gates do already."""
    tensor = planned.plan.tensors.get(name)
    if tensor is None or tensor.source is not ParameterSource.CALIBRATED:
        return False
    return tensor.gated is not Gated.ALONE
