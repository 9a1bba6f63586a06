"""What is told of the values of a tensor and of the ranges that methods make of them."""

from dataclasses import dataclass

from zeropoint.client.options import CalibrationMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAlternative:
    """A range that was compared with others.

    Attributes:
        method: What gives it.
        percentile: Percentage of the values inside, for Percentile.
        low: Lower end in the tensor's own units.
        high: Upper end.
        expected_error: Mean squared error of rounding and clipping to be expected, in the
            tensor's units squared.
    """

    method: CalibrationMethod
    percentile: float | None
    low: float
    high: float
    expected_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """The values that calibration saw of a tensor, coarsely, and what each method makes of them.

    Attributes:
        node: The user's name of the node that it is told for.
        tensor: Name of the tensor: what the node gives, or reads where that stays float.
        low: Least finite value, in the tensor's own units.
        high: Greatest finite value.
        counts: How many values are in each of so many bins of equal width from `low` to `high`; 64
            at most.
        ranges: The range of each method, least expected error first.
    """

    node: str
    tensor: str
    low: float
    high: float
    counts: tuple[int, ...]
    ranges: tuple[RangeAlternative, ...]
