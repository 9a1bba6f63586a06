"""Bounds that hold for a tensor whatever the input, by interval arithmetic."""

import math
from typing import NamedTuple

import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at
from zeropoint.engine.operators import FakeQuant, Trait, clamp_bounds, has, is_clamp, operator_of

# What rounding in float32 may add, also in the mean of many: far less than half a code of eight
# bits.
_MARGIN = 1e-3


class Bounds(NamedTuple):
    """Least and greatest value, both inclusive."""

    low: float
    high: float

    def joined(self, other: "Bounds") -> "Bounds":
        """Return the bounds of a tensor that holds values of both."""
        return Bounds(min(self.low, other.low), max(self.high, other.high))


UNBOUNDED = Bounds(-math.inf, math.inf)


def tensor_bounds(graph: ir.Graph, pairs: tuple[FakeQuant, ...]) -> dict[ir.Value, Bounds]:
    """Return the bounds of the tensors that have any, in a sorted graph and the bodies in it.

    Pairs bound what they give.
    """
    known = {pair.result: Bounds(*pair.qparams.range) for pair in pairs if pair.single}
    for inner in (graph, *graph.subgraphs()):
        for node in inner:
            if node.outputs and node.outputs[0] not in known and not node.domain:
                bounds = _of(node, known)
                if bounds != UNBOUNDED:
                    known.update((value, bounds) for value in node.outputs)
    return known


def _of(node: ir.Node, known: dict[ir.Value, Bounds]) -> Bounds:
    kind = node.op_type
    if (fixed := operator_of(node).bounds) is not None:
        return Bounds(*fixed)
    inputs = [_input(value, known) for value in node.inputs if value is not None]
    if not inputs:
        return UNBOUNDED
    first = inputs[0]
    if has(node, Trait.KEEPS):
        return first
    if has(node, Trait.MEANS):
        return _widened(first.joined(Bounds(0.0, 0.0)))
    if is_clamp(node):
        low, high = clamp_bounds(node)
        return Bounds(min(max(first.low, low), high), max(min(first.high, high), low))
    if has(node, Trait.JOINS):
        for other in inputs[1:]:
            first = first.joined(other)
        return first
    if kind == "Add":
        return _widened(Bounds(first.low + inputs[1].low, first.high + inputs[1].high))
    if kind == "Pad" and node.attributes.get_string("mode", "constant") == "constant":
        value = input_at(node, 2)
        return first.joined(Bounds(0.0, 0.0) if value is None else _input(value, known))
    if kind == "Resize" and _interpolates(node):
        return _widened(first)
    return UNBOUNDED


def _interpolates(node: ir.Node) -> bool:
    """Whether a Resize gives only means of what it reads: not beyond it, and nothing else."""
    placed = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    mode = node.attributes.get_string("mode", "nearest")
    return mode != "cubic" and placed != "tf_crop_and_resize"


def _input(value: ir.Value, known: dict[ir.Value, Bounds]) -> Bounds:
    array = constant(value)
    if array is not None and array.size and array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        return Bounds(low, high) if math.isfinite(low + high) else UNBOUNDED
    return known.get(value, UNBOUNDED)


def _widened(bounds: Bounds) -> Bounds:
    slack = _MARGIN * max(abs(bounds.low), abs(bounds.high))
    if not math.isfinite(slack):
        return bounds if slack == math.inf else UNBOUNDED
    low = bounds.low if bounds.low == 0.0 else bounds.low - slack
    high = bounds.high if bounds.high == 0.0 else bounds.high + slack
    return Bounds(low, high)
