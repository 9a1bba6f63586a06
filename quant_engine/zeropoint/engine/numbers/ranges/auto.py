"""Auto: for each tensor the method with the least expected error."""

from dataclasses import replace
from typing import Final

from zeropoint.engine.numbers.ranges.entropy import entropy_range
from zeropoint.engine.numbers.ranges.mse import least_error
from zeropoint.engine.numbers.ranges.percentile import minmax_range, percentile_ranges
from zeropoint.engine.numbers.ranges.statistics import Range, Statistics
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.report import RangeAlternative

_PERCENTILES: Final = (99.999, 99.99, 99.9)
_ALIKE: Final = 1.01


def auto_range(statistics: Statistics, options: StaticOptions, /) -> Range:
    """Return the range of the method with the least expected squared error.

    MinMax, Percentile (99.999, 99.99, 99.9 and `options.percentile`), Entropy and MSE are compared
    by the error of rounding and clipping that `ExpectedError` gives for the actual scale, zero
    point and codes; that class has the formula and the bound. Errors within 1 % (0.04 dB) of the
    least are taken for equal, since data that were not seen make more of a difference; of equals
    the widest range is chosen, which clips least of such data.

    MSE looks for the least of the same figure among more ranges, so that what is chosen is its
    range wherever it is better than the others by more than that 1 %. What Auto adds is to leave
    ranges wide where clipping gains nothing, and to tell what each method would have cost.
    """
    percentiles = list(dict.fromkeys([*_PERCENTILES, options.percentile]))
    others = [
        minmax_range(statistics, options),
        *percentile_ranges(statistics, percentiles, options),
        entropy_range(statistics, options),
    ]
    mse, *known = least_error(statistics, options, others)
    found = sorted([*known, mse], key=lambda item: item[1])
    alternatives = tuple(
        RangeAlternative(
            method=one.method,
            percentile=one.percentile,
            low=one.low,
            high=one.high,
            expected_error=error,
        )
        for one, error in found
        if one.method is not None
    )
    equal = [one for one, error in found if error <= _ALIKE * found[0][1]]
    chosen = max(equal, key=lambda one: one.high - one.low)
    return replace(chosen, alternatives=alternatives)
