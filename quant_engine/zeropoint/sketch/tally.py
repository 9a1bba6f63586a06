"""What counting finds besides the bins."""

import math
from typing import NamedTuple


class Tally(NamedTuple):
    """Figures of some values.

    Attributes:
        elements: How many values.
        nan: How many of them are NaN.
        positive_infinity: How many are +Inf.
        negative_infinity: How many are -Inf.
        minimum: Least finite value, +Inf where there is none; never -0.
        maximum: Greatest finite value, -Inf where there is none; never -0.
    """

    elements: int = 0
    nan: int = 0
    positive_infinity: int = 0
    negative_infinity: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf

    @property
    def finite(self) -> int:
        """How many values are finite."""
        return self.elements - self.nan - self.positive_infinity - self.negative_infinity

    def plus(self, other: "Tally") -> "Tally":
        """Return the figures of both together."""
        elements, nan, positive, negative, low, high = self
        return Tally(
            elements + other[0],
            nan + other[1],
            positive + other[2],
            negative + other[3],
            low if low <= other[4] else other[4],
            high if high >= other[5] else other[5],
        )
