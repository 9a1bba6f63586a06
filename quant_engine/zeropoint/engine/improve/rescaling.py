"""Factors that moved: the new constants, and what became of the tensors between."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.improve.edits import Edits
from zeropoint.engine.improve.joints import Joint, Scalable
from zeropoint.engine.plan import InputKey

Array = NDArray[np.float64]

_LEAST, _GREATEST = 2.0**-10, 2.0**10  # of a factor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaledTensor:
    """A tensor of the float model that has other values than before.

    Attributes:
        factors: What its channels were multiplied with, float64[channels].
        axis: Axis of the channels; -1 for the last.
    """

    factors: Array
    axis: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rescaling:
    """An exact rewrite of the float model.

    Attributes:
        edits: The new constants.
        tensors: The tensors whose values changed, by name, in graph order: their ranges are others.
    """

    edits: Edits
    tensors: Mapping[str, ScaledTensor]

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.edits)


@dataclass(slots=True)
class Movement:
    """Factors on their way.

    Attributes:
        moved: What constants were multiplied with so far, spread to meet their values.
        tensors: What tensors were multiplied with so far, by name.
    """

    moved: dict[InputKey, tuple[Scalable, Array]] = field(default_factory=dict)
    tensors: dict[str, ScaledTensor] = field(default_factory=dict)

    def move(self, joint: Joint, factors: Array) -> None:
        """Divide a joint's sources by factors and multiply its sinks with them."""
        for each in joint.sources:
            self._multiply(each, 1 / factors)
        for each in joint.sinks:
            self._multiply(each, factors)
        for name, axis in joint.between:
            before = self.tensors.get(name)
            known = before.factors if before is not None else np.ones(len(factors))
            self.tensors[name] = ScaledTensor(factors=known / factors, axis=axis)

    def peaks(self, each: Scalable) -> Array:
        """Return the largest magnitude of each channel of a constant, as it is now."""
        known = self.moved.get(each.key)
        now = each.array if known is None else each.array * known[1]
        return each.peaks(now).astype(np.float64)

    def _multiply(self, each: Scalable, factors: Array) -> None:
        spread = each.spread(factors)
        known = self.moved.get(each.key)
        self.moved[each.key] = (each, spread if known is None else known[1] * spread)

    def rescaling(self) -> Rescaling:
        """Return all that moved."""
        weights = {
            key: (each.array.astype(np.float64) * spread).astype(np.float32)
            for key, (each, spread) in self.moved.items()
        }
        return Rescaling(edits=Edits(weights=weights), tensors=dict(self.tensors))


def within_reason(factors: Array) -> Array:
    """Return factors, none of which is extreme; one where there is none that counts."""
    usable = np.isfinite(factors) & (factors > 0)
    return np.where(usable, np.clip(factors, _LEAST, _GREATEST), 1.0)
