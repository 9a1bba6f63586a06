"""Chains of scalar arithmetic and clamps that are a ramp: clip(slope x + offset, low, high).

Exporters write hard-sigmoid so, and hard-swish as the product of x and such a ramp.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, rank_of
from zeropoint.engine.operators import clamp_bounds

_EPSILON = 2.0**-23  # of float32
_NEAR = 4 * _EPSILON
_MOST_ROUNDING = 16.0  # times the result's own greatest value
_MOST_STEPS = 8

ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})
CLAMPS = frozenset({"Clip", "Max", "Min", "Relu"})


@dataclass(frozen=True, slots=True)
class Ramp:
    """clip(slope x + offset, low, high), in float64.

    Attributes:
        largest: Largest constant of a value in between, in units of the result: how much its
            rounding counts.
    """

    slope: float = 1.0
    offset: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    largest: float = 0.0

    def scaled(self, factor: float, shift: float = 0.0) -> "Ramp | None":
        """Return factor * this + shift; None where that is a constant or no number."""
        if not math.isfinite(factor) or not math.isfinite(shift) or factor == 0.0:
            return None
        low, high = sorted((factor * self.low + shift, factor * self.high + shift))
        offset = factor * self.offset + shift
        largest = max(abs(factor) * self.largest, abs(offset), abs(shift))
        return Ramp(factor * self.slope, offset, low, high, largest)

    def clamped(self, low: float, high: float) -> "Ramp | None":
        """Return this within bounds; None where that is a constant."""
        least, most = (min(max(end, low), high) for end in (self.low, self.high))
        return Ramp(self.slope, self.offset, least, most, self.largest) if least < most else None

    @property
    def is_hard_sigmoid(self) -> bool:
        """Whether it rises from 0 to 1, and was computed no less exactly than HardSigmoid is."""
        ends = abs(self.low) <= _NEAR and abs(self.high - 1.0) <= _NEAR
        return ends and self.slope > 0.0 and self.largest <= _MOST_ROUNDING

    @property
    def is_gate(self) -> bool:
        """Whether it is clip(x / 6 + 1 / 2, 0, 1), by which HardSwish multiplies x."""
        near = abs(6 * self.slope - 1.0) <= _NEAR and abs(2 * self.offset - 1.0) <= _NEAR
        return near and self.is_hard_sigmoid


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A value that is a ramp of another.

    Attributes:
        root: The x of the ramp.
        nodes: What computes it, the last one first.
    """

    root: ir.Value
    ramp: Ramp
    nodes: tuple[ir.Node, ...]


def trace(
    value: ir.Value, root: ir.Value | None = None, *, only: frozenset[str] = frozenset()
) -> Chain | None:
    """Return how a value follows from `root`, or from as far back as nothing else reads between.

    None where it is no ramp. Where `only` is not empty, other operators are no part of it.
    """
    nodes: list[ir.Node] = []
    steps: list[_Step] = []
    source = value
    while source is not root and len(nodes) < _MOST_STEPS:
        node = source.producer()
        if node is None or node.graph is not value.graph or (nodes and not _is_inner(source)):
            break
        found = None if only and node.op_type not in only else _step(node)
        if found is None:
            break
        source, step = found
        nodes.append(node)
        steps.append(step)
    ramp: Ramp | None = Ramp()
    for step in reversed(steps):
        ramp = step(ramp) if ramp is not None else None
    if ramp is None or not nodes or (root is not None and source is not root):
        return None
    return Chain(source, ramp, tuple(nodes))


def factor_of(node: ir.Node) -> tuple[ir.Value, float] | None:
    """Return what a node multiplies with a scalar, and that; None where it does something else."""
    found = _scalar(node)
    if found is None or node.op_type not in ("Div", "Mul"):
        return None
    index, figure = found
    value = node.inputs[index]
    if value is None or (node.op_type == "Div" and (index or not figure)):
        return None
    return value, 1.0 / figure if node.op_type == "Div" else figure


def _is_inner(value: ir.Value) -> bool:
    """Whether one node alone reads a value."""
    return len(value.uses()) == 1 and not value.is_graph_output()


_Step = Callable[[Ramp], Ramp | None]


def _step(node: ir.Node) -> tuple[ir.Value, _Step] | None:
    """Return what a node reads, and what it makes of a ramp; None where that is no ramp."""
    if node.domain or node.outputs[0].dtype is not ir.DataType.FLOAT:
        return None
    if node.op_type in ("Clip", "HardSigmoid", "Relu"):
        value = node.inputs[0]
        step = _clamp(node) if node.op_type != "HardSigmoid" else _hard_sigmoid(node)
        return None if value is None or step is None else (value, step)
    found = _scalar(node)
    if found is None:
        return None
    index, figure = found
    step = _arithmetic(node.op_type, index, figure)
    value = node.inputs[index]
    return None if value is None or step is None else (value, step)


def _clamp(node: ir.Node) -> _Step | None:
    if any(value is not None and constant(value) is None for value in node.inputs[1:]):
        return None
    low, high = clamp_bounds(node)
    return lambda ramp: ramp.clamped(low, high)


def _hard_sigmoid(node: ir.Node) -> _Step:
    slope, offset = (
        node.attributes.get_float(name, default)
        for name, default in (("alpha", 0.2), ("beta", 0.5))
    )

    def step(ramp: Ramp) -> Ramp | None:
        scaled = ramp.scaled(slope, offset)
        return scaled.clamped(0.0, 1.0) if scaled is not None else None

    return step


def _arithmetic(op_type: str, index: int, figure: float) -> _Step | None:
    """Return what an operator with a scalar does to its input `index`."""
    match op_type, index:
        case "Add", _:
            return lambda ramp: ramp.scaled(1.0, figure)
        case "Sub", 0:
            return lambda ramp: ramp.scaled(1.0, -figure)
        case "Sub", 1:
            return lambda ramp: ramp.scaled(-1.0, figure)
        case "Mul", _:
            return lambda ramp: ramp.scaled(figure)
        case "Div", 0 if figure:
            return lambda ramp: ramp.scaled(1.0 / figure)
        case "Max", _:
            return lambda ramp: ramp.clamped(figure, math.inf)
        case "Min", _:
            return lambda ramp: ramp.clamped(-math.inf, figure)
    return None


def _scalar(node: ir.Node) -> tuple[int, float] | None:
    """Return the computed one of a node's two inputs and the scalar that is the other.

    The scalar gives the result no further axes.
    """
    if len(node.inputs) != 2:
        return None
    for index in (0, 1):
        array = constant(input_at(node, 1 - index))
        value = node.inputs[index]
        if array is None or array.size != 1 or constant(value) is not None:
            continue
        if array.ndim <= (rank_of(value) or 0):
            return index, float(array.reshape(-1)[0])
    return None
