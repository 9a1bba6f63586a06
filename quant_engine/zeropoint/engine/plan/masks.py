"""Which tensors mask: hold infinities, or numbers that stand for them, to say "not this one".

A mask comes from the graph, which knows such a number, or was fed. Infinities that a broken sample
brings are none: layers, and functions with bounds, give no masks.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.operators import MASK, Trait, has
from zeropoint.sketch import Sketch

_PASSING = Trait.KEEPS | Trait.JOINS | Trait.ELEMENTWISE
_BOUNDED = frozenset({"Clip", "HardSigmoid", "Relu", "Sigmoid", "Softplus", "Tanh"})
_INFINITE = frozenset({"Log", "Reciprocal"})  # of zero


class Masks:
    """Answers for the tensors of one model."""

    def __init__(self, graph: ir.Graph, sketches: Mapping[str, Sketch]) -> None:
        """Follow masks through a graph, in linear time.

        Args:
            graph: The main graph of the model.
            sketches: What batches showed, by tensor; where nothing is known, all is possible.
        """
        self._sketches = sketches
        self._found: set[ir.Value] = set()
        for node in graph.all_nodes():
            self._found.update(output for output in node.outputs if self._may_mask(output))

    def masks(self, value: ir.Value, sketch: Sketch, *, scores: bool) -> bool:
        """Whether a tensor is a mask; with `scores`, whether it is data to which one was added."""
        if _has_infinities(sketch):
            return self.may_mask(value)
        low, high = sketch.minimum, sketch.maximum
        return low is not None and high is not None and low <= -MASK and (scores or high <= 0)

    def may_mask(self, value: ir.Value) -> bool:
        """Whether infinities of a tensor can come from a mask."""
        return value in self._found if value.producer() else self._may_mask(value)

    def _may_mask(self, value: ir.Value) -> bool:
        """Tell of a tensor whose sources are known."""
        alone = self._alone(value)
        return any(map(self.may_mask, _sources(value))) if alone is None else alone

    def _alone(self, value: ir.Value) -> bool | None:
        """Return what is known of a tensor by itself; None where its sources decide."""
        array = constant(value)
        if array is not None:
            return array.dtype.kind == "f" and bool(np.abs(array).max(initial=0) >= MASK)
        sketch = self._sketches.get(name_of(value))
        if sketch is not None:
            if not _has_infinities(sketch):
                return False
            if _is_nothing_else(sketch):
                return True
        producer = value.producer()
        if producer is None:
            return sketch is None and value.dtype is not ir.DataType.BOOL
        if producer.op_type in _INFINITE:
            return True
        return None if has(producer, _PASSING) and producer.op_type not in _BOUNDED else False


def _sources(value: ir.Value) -> list[ir.Value]:
    producer = value.producer()
    if producer is None:
        return []
    if has(producer, Trait.KEEPS):
        first = input_at(producer, 0)
        return [first] if first is not None else []
    return [source for source in producer.inputs if source is not None]


def _has_infinities(sketch: Sketch) -> bool:
    return bool(sketch.negative_infinity or sketch.positive_infinity)


def _is_nothing_else(sketch: Sketch) -> bool:
    """Whether beside infinities there is nothing that data would have: a mask before it is added.

    What is let through is zero, or a penalty of the same sign.
    """
    low, high = sketch.minimum, sketch.maximum
    if low is None or high is None:
        return True
    return (high <= 0) if sketch.negative_infinity else (low == high == 0)
