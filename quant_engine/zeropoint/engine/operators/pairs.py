"""Fake quantization as it stands in a graph: pairs, and what lies between them.

x -> QuantizeLinear -> (Clip | Min | Max | Cast | a change of shape)* -> DequantizeLinear
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import constant, input_at, producer_of, rank_of, value_at
from zeropoint.engine.number_types import INT8, CodeLimits, NumberType, known_number_type
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators.conditions import clamp_bounds, constant_bounds
from zeropoint.engine.operators.table import has, is_clamp, rule_of
from zeropoint.engine.operators.traits import Trait

_BOUNDS = frozenset({"Clip", "Max", "Min"})  # of codes


@dataclass(frozen=True, slots=True, eq=False)
class FakeQuant:
    """A pair on an activation.

    Attributes:
        quantize: The QuantizeLinear.
        between: What lies between, in order.
        dequantize: The DequantizeLinear.
        qparams: Scale, zero point and axis of the QuantizeLinear; `limits` where what lies between
            leaves fewer codes than the type has.
    """

    quantize: ir.Node
    between: tuple[ir.Node, ...]
    dequantize: ir.Node
    qparams: QParams

    @property
    def source(self) -> ir.Value:
        """The float tensor that is quantized."""
        return value_at(self.quantize, 0)

    @property
    def codes(self) -> ir.Value:
        """The integers that the DequantizeLinear reads."""
        return value_at(self.dequantize, 0)

    @property
    def result(self) -> ir.Value:
        """The float tensor that stands for `source` behind the pair."""
        return self.dequantize.outputs[0]

    @property
    def single(self) -> bool:
        """Whether there is one scale for the tensor."""
        return self.qparams.axis is None


def fake_quants(graph: ir.Graph) -> tuple[FakeQuant, ...]:
    """Return the pairs of a graph and of the bodies in it, in order."""
    dequantizers = (node for node in graph.all_nodes() if node.op_type == "DequantizeLinear")
    return tuple(found for node in dequantizers if (found := _record(node)) is not None)


def read_qparams(node: ir.Node) -> QParams | None:
    """Return the constant parameters of a QuantizeLinear or DequantizeLinear.

    None where they are computed, blocked, or of a type that numpy does not have.
    """
    scale = constant(node.inputs[1])
    if scale is None or node.attributes.get_int("block_size", 0) != 0:
        return None
    zero_point = _zero_point(node, scale)
    if zero_point is None:
        return None
    if scale.size == 1:
        return QParams(scale.reshape(()), zero_point.reshape(()), None)
    data = node.inputs[0]
    rank = rank_of(data) or 0
    axis = node.attributes.get_int("axis", 1)
    if axis < 0 and not rank:
        return None
    return QParams(scale, zero_point.reshape(scale.shape), axis % rank if rank else axis)


def same_qparams(one: QParams, other: QParams) -> bool:
    """Whether two tensors have the same scales and zero points on the same axis."""
    return (
        one.axis == other.axis
        and one.dtype == other.dtype
        and np.array_equal(one.scale, other.scale)
        and np.array_equal(one.zero_point, other.zero_point)
    )


def dequantizer_of(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear that gives a value; None where something else does."""
    node = producer_of(value)
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def is_quantized(value: ir.Value) -> bool:
    """Whether a QuantizeLinear reads a tensor, or what a clamp makes of it."""
    waiting = [value]  # clamps may follow each other by the thousand
    while waiting:
        for node, _ in waiting.pop().uses():
            if node.op_type == "QuantizeLinear":
                return True
            if is_clamp(node):
                waiting.append(node.outputs[0])
    return False


def quantized_values(graph: ir.Graph) -> frozenset[ir.Value]:
    """Return the tensors of a graph and of the bodies in it of which `is_quantized` is true."""
    found: set[ir.Value] = set()
    for node in graph.all_nodes():
        value = node.inputs[0] if node.op_type == "QuantizeLinear" else None
        while value is not None and value not in found:
            found.add(value)
            producer = value.producer()
            value = producer.inputs[0] if producer is not None and is_clamp(producer) else None
    return frozenset(found)


def is_stored(value: ir.Value) -> bool:
    """Whether a tensor is stored as integers, and dequantized as the model runs."""
    node = dequantizer_of(value)
    return node is not None and constant(node.inputs[0]) is not None


def fits_channels(node: ir.Node, qparams: QParams, rank: int) -> bool:
    """Whether the scales of a weight are those of the output channels of a layer, or one."""
    rule = rule_of(node)
    if qparams.axis is None:
        return True
    return rule is not None and rule.channel_axis(node, rank) == qparams.axis


def _record(dequantize: ir.Node) -> FakeQuant | None:
    nodes = list(_back(dequantize))
    if not nodes or nodes[-1].op_type != "QuantizeLinear":
        return None
    quantize, between = nodes[-1], tuple(reversed(nodes[:-1]))
    first, second = read_qparams(quantize), read_qparams(dequantize)
    if first is None or second is None or not same_qparams(first, second):
        return None
    moved = any(has(node, Trait.MOVES) and node.op_type != "Identity" for node in between)
    if moved and first.axis is not None:
        return None  # scales of channels move with the shape
    if not (np.isfinite(first.scale).all() and (first.scale > 0).all()):
        return None  # no grid: nothing that is said of pairs holds
    limits = _limits(first, between)
    if limits is None:
        return None
    fewer = None if limits == first.code_limits else limits
    return FakeQuant(quantize, between, dequantize, replace(first, limits=fewer))


def _back(node: ir.Node) -> Iterator[ir.Node]:
    """Yield the nodes before a DequantizeLinear, up to the QuantizeLinear."""
    value = node.inputs[0]
    while value is not None and (producer := value.producer()) is not None:
        yield producer
        if not _lies_between(producer):
            return
        data = [v for v in producer.inputs if v is not None and constant(v) is None]
        value = data[0] if len(data) == 1 else None


def _lies_between(node: ir.Node) -> bool:
    """Whether a node may stand between the halves of a pair."""
    return has(node, Trait.MOVES) or (not node.domain and node.op_type in (*_BOUNDS, "Cast"))


def _limits(qparams: QParams, between: tuple[ir.Node, ...]) -> CodeLimits | None:
    """Return the codes that are left; None where nodes do something else, too."""
    low, high = qparams.code_limits
    for node in between:
        if node.op_type == "Cast":
            kind = ir.DataType(node.attributes.get_int("to", 0))
            if kind in (ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.DOUBLE):
                continue
            target = _number(kind)
            if target is None or low < target.limits.low or high > target.limits.high:
                return None  # it wraps around
        elif node.op_type in _BOUNDS:
            bounds = _code_bounds(node)
            if bounds is None:
                return None
            low, high = max(low, bounds[0]), min(high, bounds[1])
            if low > high:
                return None
    return CodeLimits(low, high)


def _code_bounds(node: ir.Node) -> tuple[int, int] | None:
    """Return the least and greatest code that a node lets through; None where not known."""
    ends: list[float] = [-math.inf, math.inf]
    if node.op_type == "Clip":
        if constant_bounds(node) is not None:
            return None
        ends = [*clamp_bounds(node)]
    else:
        arrays = [array for value in node.inputs if (array := constant(value)) is not None]
        if len(arrays) != len(node.inputs) - 1 or any(array.size != 1 for array in arrays):
            return None
        figures = [float(array.reshape(-1)[0]) for array in arrays]
        if node.op_type == "Max":
            ends[0] = max(figures, default=-math.inf)
        else:
            ends[1] = min(figures, default=math.inf)
    low = -(1 << 31) if math.isinf(ends[0]) else math.ceil(ends[0])
    high = (1 << 31) - 1 if math.isinf(ends[1]) else math.floor(ends[1])
    return low, high


def _zero_point(node: ir.Node, scale: NDArray[np.generic]) -> NDArray[np.integer] | None:
    value = input_at(node, 2)
    if value is not None:
        array = constant(value)
        known = value.dtype is not None and _number(value.dtype) is not None
        return array if known and array is not None and array.size == scale.size else None
    kind = ir.DataType(node.attributes.get_int("output_dtype", 0))
    if node.op_type == "DequantizeLinear":
        data = node.inputs[0]
        kind = (data.dtype if data is not None else None) or ir.DataType.UINT8
    if kind is ir.DataType.UNDEFINED:
        kind = ir.DataType.UINT8
    number = _number(kind)
    return None if number is None else np.zeros(scale.shape, number.dtype)


def _number(kind: ir.DataType) -> NumberType | None:
    """Return the row of a type of codes that numpy computes with."""
    number = known_number_type(kind)
    return number if number is not None and number.bits >= INT8.bits else None
