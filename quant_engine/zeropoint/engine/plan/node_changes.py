"""What is planned for single nodes otherwise than options say, by the names of prepared nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from zeropoint.engine.reasons import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChanges:
    """Departures from what options say, of single nodes.

    Attributes:
        floats: Why nodes stay float that options would quantize, by name.
        weight_only: Why nodes compute in float with a weight that is stored as integers, by name.
        float_outputs: Nodes whose output is not quantized.
        dynamic: Products whose data are quantized as the model runs; see `runs_dynamically`.
        per_channel: Nodes whose weight has a scale for each output channel, where it can have them.
    """

    floats: Mapping[str, Kept] = field(default_factory=dict)
    weight_only: Mapping[str, Kept] = field(default_factory=dict)
    float_outputs: frozenset[str] = frozenset()
    dynamic: frozenset[str] = frozenset()
    per_channel: frozenset[str] = frozenset()

    def keeping(self, floats: Mapping[str, Kept]) -> Self:
        """Return the same with further nodes that stay float."""
        return replace(self, floats={**floats, **self.floats})

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self != NO_CHANGES


NO_CHANGES = NodeChanges()
