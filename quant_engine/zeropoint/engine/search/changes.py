"""What is done otherwise than asked for, as data: with the options, all that makes a candidate."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from zeropoint.engine.errors import OptionError
from zeropoint.engine.options import CalibrationMethod

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class RangeChoice:
    """How a range is chosen: a method, or the ends themselves.

    Attributes:
        method: What chooses it; with `percentile` for PERCENTILE.
        percentile: Percentage of the values inside.
        low: Lower end that the range has at least, in the tensor's own units; None: what it is.
        high: Upper end that it has at most.
    """

    method: CalibrationMethod
    percentile: float = 99.999
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Refuse what gives no range.

        Raises:
            ValueError: the percentile is outside (50, 100], or the ends are none of a range.
        """
        ends = [end for end in (self.low, self.high) if end is not None]
        if not 50.0 < self.percentile <= 100.0 or not all(map(math.isfinite, ends)):
            raise ValueError("figures of a range")
        if ends != sorted(ends):
            raise ValueError("ends of a range")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is done otherwise; names of nodes and tensors are those of the prepared model.

    Attributes:
        floats: Nodes that stay float.
        slower: Nodes that stay float because the result is faster so.
        weight_only: Nodes that compute in float with a weight that is stored as integers; those
            among `slower` because the result is faster so.
        float_outputs: Nodes whose output is not quantized.
        dynamic: Products whose input is quantized as the model runs.
        per_channel: Nodes whose weight has one scale for each output channel.
        ranges: How the ranges of all activations are chosen; None: as asked.
        own_ranges: How those of single tensors are chosen, in the order of their names.
        equalized: Whether channels of neighbouring layers are brought to like sizes.
        smoothed: Products of which that is done at the cost of their weight.
        corrected: Nodes whose bias makes up for the mean error.
        rounded: Nodes whose weight is rounded for the least error of their output.
    """

    floats: frozenset[str] = frozenset()
    slower: frozenset[str] = frozenset()
    weight_only: frozenset[str] = frozenset()
    float_outputs: frozenset[str] = frozenset()
    dynamic: frozenset[str] = frozenset()
    per_channel: frozenset[str] = frozenset()
    ranges: RangeChoice | None = None
    own_ranges: tuple[tuple[str, RangeChoice], ...] = ()
    equalized: bool = False
    smoothed: frozenset[str] = frozenset()
    corrected: frozenset[str] = frozenset()
    rounded: frozenset[str] = frozenset()

    @property
    def left_float(self) -> frozenset[str]:
        """Names of the nodes that compute in float."""
        return self.floats | self.slower | self.weight_only

    @property
    def nodes(self) -> frozenset[str]:
        """Names of all nodes that are named."""
        found = (getattr(self, field) for field in _SETS)
        return frozenset().union(*found)

    @property
    def of_values(self) -> "Changes":
        """What of it a plan with its parameters does not show."""
        return Changes(
            equalized=self.equalized,
            smoothed=self.smoothed,
            corrected=self.corrected,
            rounded=self.rounded,
        )

    def to_json(self) -> str:
        """Return it as text, the same for equal changes; only what there is."""
        return json.dumps({"version": _VERSION, **_plain(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` gave.

        Raises:
            OptionError: DECISIONS_INVALID, the text is none of this version's.
        """
        try:
            values = json.loads(text)
            if values.pop("version") != _VERSION:
                raise ValueError("another version")
            return cls(**{name: _READERS[name](value) for name, value in values.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(
                "DECISIONS_INVALID",
                "decisions are not those of a report of this version's: give "
                "report.accuracy.decisions as it is, or leave it out.",
                option="decisions",
            ) from error


def _plain(changes: Changes) -> dict[str, Any]:
    default = Changes()
    found = {}
    for field in dataclasses.fields(Changes):
        value = getattr(changes, field.name)
        if value != getattr(default, field.name):
            found[field.name] = _WRITERS.get(field.name, sorted)(value)
    return found


def _names(values: Any) -> frozenset[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of names")
    return frozenset(values)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _choice(values: Any) -> RangeChoice:
    return RangeChoice(**{**values, "method": CalibrationMethod(values["method"])})


def _own(values: Any) -> tuple[tuple[str, RangeChoice], ...]:
    return tuple((str(name), _choice(value)) for name, value in values)


def _own_plain(values: Iterable[tuple[str, RangeChoice]]) -> list[Any]:
    return [[name, dataclasses.asdict(choice)] for name, choice in values]


_SETS = (
    "floats",
    "slower",
    "weight_only",
    "float_outputs",
    "dynamic",
    "per_channel",
    "smoothed",
    "corrected",
    "rounded",
)
_WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "ranges": dataclasses.asdict,
    "own_ranges": _own_plain,
    "equalized": bool,
}
_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_SETS, _names),
    "ranges": _choice,
    "own_ranges": _own,
    "equalized": _flag,
}
