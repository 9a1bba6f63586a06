"""Statistics of a tensor -> the range that its codes cover.

A method is one function, listed in `METHODS`. All work on the same sketch, after the fact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from zeropoint.engine.errors import CalibrationError
from zeropoint.engine.options import CalibrationMethod, StaticOptions
from zeropoint.engine.quantile import histogram, magnitudes, quantile
from zeropoint.sketch import Sketch


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range of real values, in the tensor's own units."""

    low: float
    high: float


class RangeMethod(Protocol):
    """Chooses a range from statistics."""

    def __call__(self, sketch: Sketch, options: StaticOptions, /) -> Range:
        """Return a range within, or symmetric around, the values seen.

        Args:
            sketch: With at least one finite value.
            options: Parameters of the method, and the type that the range is for.
        """


def choose_range(sketch: Sketch, options: StaticOptions, *, tensor: str = "") -> Range:
    """Choose the range of a tensor by the method that the options name.

    Zero is not added here: that is for the quantization parameters to do.

    Args:
        sketch: Statistics of the tensor.
        options: The user's options.
        tensor: Name of the tensor, for the error.

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
    return METHODS[options.calibrate_method](sketch, options)


def minmax_range(sketch: Sketch, options: StaticOptions, /) -> Range:
    """Return the exact extremes; with `calibration_range_symmetric` the greater one on both sides.

    The numbers are those of MinMaxCalibrater of onnxruntime.quantization.
    """
    minimum, maximum = sketch.minimum or 0.0, sketch.maximum or 0.0
    if options.calibration_range_symmetric:
        greatest = max(abs(minimum), abs(maximum))
        return Range(-greatest, greatest)
    return Range(minimum, maximum)


def percentile_range(sketch: Sketch, options: StaticOptions, /) -> Range:
    """Return the range that holds `options.percentile` percent of the values.

    As in PercentileCalibrater of onnxruntime.quantization, half of the rest is cut off on each
    side; with `calibration_range_symmetric`, all of the rest of the absolute values is, which
    gives (-t, t). Unlike there, that range stays symmetric where the values are not, and ends are
    interpolated instead of moved down to a bin's edge; `quantile` has the bound of the error.
    """
    if options.calibration_range_symmetric:
        greatest = quantile(magnitudes(sketch), options.percentile / 100)
        return Range(-greatest, greatest)
    cut = (100 - options.percentile) / 200
    values = histogram(sketch)
    return Range(quantile(values, cut), quantile(values, 1 - cut))


METHODS: Final[Mapping[CalibrationMethod, RangeMethod]] = {
    CalibrationMethod.MINMAX: minmax_range,
    CalibrationMethod.PERCENTILE: percentile_range,
}
