"""How ranges are chosen otherwise than asked for, from the same sketches."""

import dataclasses
import math

from zeropoint.engine.numbers.ranges import Range
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan import QuantPlan, RangeChooser, range_as_asked
from zeropoint.engine.search.changes import Changes, RangeChoice
from zeropoint.sketch import Sketch


def range_chooser(plan: QuantPlan, changes: Changes) -> RangeChooser:
    """Return what chooses the ranges of a plan's tensors.

    A tensor that has the parameters of another one is that one here.
    """
    own = {
        plan.root(plan.tensors[name]).name: choice
        for name, choice in changes.own_ranges
        if name in plan.tensors
    }

    def choose(tensor: str, sketch: Sketch, options: StaticOptions) -> Range:
        choice = own.get(tensor, changes.ranges)
        if choice is None:
            return range_as_asked(tensor, sketch, options)
        return chosen_range(choice, tensor, sketch, options)

    return choose


def chosen_range(choice: RangeChoice, tensor: str, sketch: Sketch, options: StaticOptions) -> Range:
    """Return the range of a tensor by another method, within given ends.

    Raises:
        CalibrationError: NO_FINITE_VALUES, the tensor had no finite value.
    """
    own = dataclasses.replace(options, calibrate_method=choice.method, percentile=choice.percentile)
    found = range_as_asked(tensor, sketch, own)
    least = -math.inf if choice.low is None else choice.low
    greatest = math.inf if choice.high is None else choice.high
    low, high = (min(max(end, least), greatest) for end in (found.low, found.high))
    return dataclasses.replace(found, low=low, high=high)
