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
        return Tally(
            self.elements + other.elements,
            self.nan + other.nan,
            self.positive_infinity + other.positive_infinity,
            self.negative_infinity + other.negative_infinity,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )
