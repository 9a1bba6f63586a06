"""A range, and how it was chosen."""

from dataclasses import dataclass, field

from zeropoint.engine.report import RangeAlternative


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range of real values, in the tensor's own units.

    Attributes:
        low: Lower end.
        high: Upper end.
        method: What chose it: a calibration method, such as "MinMax" or "Percentile 99.99".
        alternatives: What it was chosen from, least expected error first, where errors were
            compared.
    """

    low: float
    high: float
    method: str = field(default="", compare=False)
    alternatives: tuple[RangeAlternative, ...] = field(default=(), compare=False)
