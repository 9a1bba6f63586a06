"""Statistics of a tensor -> the range that its codes cover.

A method is one function, listed in `METHODS`. All work on the same sketch, after the fact.
"""

from collections.abc import Callable, Mapping
from typing import Final

from zeropoint.engine.errors import CalibrationError
from zeropoint.engine.numbers.ranges.auto import auto_range
from zeropoint.engine.numbers.ranges.entropy import entropy_range
from zeropoint.engine.numbers.ranges.mse import mse_range
from zeropoint.engine.numbers.ranges.percentile import minmax_range, percentile_range
from zeropoint.engine.numbers.ranges.statistics import Range, Statistics
from zeropoint.engine.options import CalibrationMethod, StaticOptions
from zeropoint.sketch import Sketch

__all__ = ["METHODS", "Range", "RangeMethod", "choose_range"]


RangeMethod = Callable[[Statistics, StaticOptions], Range]
"""Chooses a range within, or symmetric around, the values seen."""


def choose_range(sketch: Sketch, options: StaticOptions, *, tensor: str = "") -> Range:
    """Choose the range of a tensor by the method that the options name.

    Zero is not added here: that is for the quantization parameters to do.

    Raises:
        CalibrationError: NO_FINITE_VALUES, no finite value was seen.
    """
    if not sketch.finite:
        seen = (
            f"all of {sketch.elements} are NaN or infinite" if sketch.elements else "it was empty"
        )
        raise CalibrationError(
            "NO_FINITE_VALUES",
            f"Tensor {tensor!r} had no finite values in any batch: {seen}. Check the calibration "
            "data, or list the nodes around it in nodes_to_exclude.",
            tensor=tensor,
            elements=sketch.elements,
        )
    return METHODS[options.calibrate_method](Statistics(sketch), options)


METHODS: Final[Mapping[CalibrationMethod, RangeMethod]] = {
    CalibrationMethod.MINMAX: minmax_range,
    CalibrationMethod.PERCENTILE: percentile_range,
    CalibrationMethod.ENTROPY: entropy_range,
    CalibrationMethod.MSE: mse_range,
    CalibrationMethod.AUTO: auto_range,
}
