"""MinMax: the exact extremes."""

from zeropoint.engine.numbers.ranges.interval import Range
from zeropoint.engine.numbers.ranges.statistics import Statistics
from zeropoint.engine.options import StaticOptions


def minmax_range(statistics: Statistics, options: StaticOptions, /) -> Range:
    """Return the exact extremes; with `calibration_range_symmetric` the greater one on both sides.

    The numbers are those of MinMaxCalibrater of onnxruntime.quantization.
    """
    if options.calibration_range_symmetric:
        return Range(-statistics.greatest, statistics.greatest, "MinMax")
    return Range(statistics.minimum, statistics.maximum, "MinMax")
