"""MinMax and Percentile: the range that holds all of the values, or a given share of them."""

from collections.abc import Sequence

from zeropoint.engine.numbers.quantile import quantiles
from zeropoint.engine.numbers.ranges.statistics import Range, Statistics
from zeropoint.engine.options import CalibrationMethod, StaticOptions


def minmax_range(statistics: Statistics, options: StaticOptions, /) -> Range:
    """Return the exact extremes; with `calibration_range_symmetric` the greater one on both sides.

    The numbers are those of MinMaxCalibrater of onnxruntime.quantization.
    """
    if options.calibration_range_symmetric:
        return Range(-statistics.greatest, statistics.greatest, CalibrationMethod.MINMAX)
    return Range(statistics.minimum, statistics.maximum, CalibrationMethod.MINMAX)


def percentile_range(statistics: Statistics, options: StaticOptions, /) -> Range:
    """Return the range that holds `options.percentile` percent of the values.

    As in PercentileCalibrater of onnxruntime.quantization, half of the rest is cut off on each
    side; with `calibration_range_symmetric`, all of the rest of the absolute values is, which
    gives (-t, t). Unlike there, that range stays symmetric where the values are not, and ends are
    interpolated instead of moved down to a bin's edge; `quantiles` has the bound of the error.
    """
    return percentile_ranges(statistics, [options.percentile], options)[0]


def percentile_ranges(
    statistics: Statistics, percentiles: Sequence[float], options: StaticOptions
) -> list[Range]:
    """Return the ranges of several percentiles, 0 to 100, as `percentile_range` does of one."""
    if options.calibration_range_symmetric:
        high = quantiles(statistics.magnitudes, [p / 100 for p in percentiles])
        low = -high
    else:
        cut = [(100 - p) / 200 for p in percentiles]
        ends = quantiles(statistics.values, [*cut, *(1 - c for c in cut)])
        low, high = ends[: len(cut)], ends[len(cut) :]
    return [
        Range(float(below), float(above), CalibrationMethod.PERCENTILE, p)
        for below, above, p in zip(low, high, percentiles, strict=True)
    ]
