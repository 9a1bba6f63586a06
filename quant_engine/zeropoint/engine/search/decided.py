"""Everything that a result is made of."""

from dataclasses import dataclass, field

from zeropoint.engine.observe import Statistics
from zeropoint.engine.plan import Parameters, PlannedModel, QuantPlan
from zeropoint.engine.search.changes import Changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Everything that is needed to make a result; the prepared model stays as it is.

    Attributes:
        planned: The model with its final plan.
        to_write: The part of the plan that is not in the graph yet.
        parameters: Scale and zero point of everything in the plan.
        statistics: What batches showed, where that was needed.
        changes: What is done otherwise than asked for.
        edited: SHA-256 of the constants that were found for that; empty where there are none.
    """

    planned: PlannedModel
    to_write: QuantPlan
    parameters: Parameters
    statistics: Statistics | None = None
    changes: Changes = field(default_factory=Changes)
    edited: bytes = b""
