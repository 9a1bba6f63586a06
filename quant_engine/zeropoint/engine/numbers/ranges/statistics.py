"""What range methods work on, all computed once from a sketch when needed, and what they give."""

from dataclasses import dataclass, field
from functools import cached_property

from zeropoint.engine.numbers.quantile import Histogram, histogram, magnitudes
from zeropoint.engine.numbers.ranges.cells import Cells
from zeropoint.engine.numbers.ranges.error import ExpectedError
from zeropoint.engine.options import CalibrationMethod
from zeropoint.engine.report import RangeAlternative
from zeropoint.sketch import Sketch


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range of real values, in the tensor's own units.

    Attributes:
        low: Lower end.
        high: Upper end.
        method: What chose it.
        percentile: Percentage of the values inside, for PERCENTILE.
        alternatives: What it was chosen from, least expected error first, where errors were
            compared.
    """

    low: float
    high: float
    method: CalibrationMethod | None = field(default=None, compare=False)
    percentile: float | None = field(default=None, compare=False)
    alternatives: tuple[RangeAlternative, ...] = field(default=(), compare=False)


class Statistics:
    """Statistics of one tensor with at least one finite value.

    Attributes:
        sketch: The sketch behind them.
    """

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch

    @property
    def minimum(self) -> float:
        """Exact least finite value."""
        return self.sketch.minimum or 0.0

    @property
    def maximum(self) -> float:
        """Exact greatest finite value."""
        return self.sketch.maximum or 0.0

    @property
    def greatest(self) -> float:
        """Exact greatest magnitude of a finite value."""
        return max(-self.minimum, self.maximum)

    @cached_property
    def values(self) -> Histogram:
        """The finite values."""
        return histogram(self.sketch)

    @cached_property
    def magnitudes(self) -> Histogram:
        """Their absolute values."""
        return magnitudes(self.sketch)

    @cached_property
    def cells(self) -> Cells:
        """Their bins by magnitude."""
        return Cells.of(self.values)

    @cached_property
    def expected_error(self) -> ExpectedError:
        """The error to be expected of any grid of codes."""
        return ExpectedError(self.values, self.cells)
