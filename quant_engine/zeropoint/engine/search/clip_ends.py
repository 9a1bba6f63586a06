"""Ends of ranges beyond which nothing looks: what a clamp or a function that saturates passes on.

For all x, what reads a tensor gives the same for x and for x clipped to its ends; of Sigmoid and
Tanh the same but for less than half a step of eight bits.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import onnx_ir as ir

from zeropoint.engine.graph import graph_of, name_of
from zeropoint.engine.operators import Trait, clamp_bounds, has, is_clamp


class Ends(NamedTuple):
    """The least and the greatest value that matter."""

    low: float
    high: float

    def around(self, other: "Ends") -> "Ends":
        """Return ends that hold both."""
        return Ends(min(self.low, other.low), max(self.high, other.high))


_EVERYTHING = Ends(-math.inf, math.inf)
_NOTHING = Ends(math.inf, -math.inf)

_SIGMOID = 7.0  # 1 / (1 + e^7) is a quarter of a step of 1 / 255
_TANH = 3.5  # 1 - tanh(3.5) is a quarter of a step of 2 / 255


def clip_ends(graph: ir.Graph) -> Mapping[str, Ends]:
    """Return the ends of those tensors of a main graph of which one is finite, by name.

    One walk against the order of the nodes.
    """
    found: dict[ir.Value, Ends] = {}
    for node in reversed(graph):
        for value in node.outputs:
            found[value] = _read(value, found)
    for value in graph.inputs:
        found[value] = _read(value, found)
    return {name_of(value): ends for value, ends in found.items() if ends != _EVERYTHING}


def _read(value: ir.Value, found: Mapping[ir.Value, Ends]) -> Ends:
    """Return what all that reads a tensor looks at."""
    uses = tuple(value.uses())
    if not uses or value.is_graph_output():
        return _EVERYTHING
    ends = _NOTHING
    for node, index in uses:
        inside = node.graph is graph_of(value)
        ends = ends.around(_passed(node, index, found) if inside else _EVERYTHING)
    return ends


def _passed(node: ir.Node, index: int, found: Mapping[ir.Value, Ends]) -> Ends:
    """Return what a node looks at of one of its inputs."""
    if node.domain:
        return _EVERYTHING
    if has(node, Trait.JOINS) or (has(node, Trait.KEEPS) and index == 0):
        behind = [found[value] for value in node.outputs if value.name]
        return Ends(min(each.low for each in behind), max(each.high for each in behind))
    if index:
        return _EVERYTHING
    if is_clamp(node):
        return _clamped(Ends(*clamp_bounds(node)), found[node.outputs[0]])
    row = _SATURATING.get(node.op_type)
    return row(node) if row is not None else _EVERYTHING


def _clamped(bounds: Ends, behind: Ends) -> Ends:
    low, high = max(bounds.low, behind.low), min(bounds.high, behind.high)
    return Ends(low, high) if low <= high else bounds


def _hard_sigmoid(node: ir.Node) -> Ends:
    """Return where max(0, min(1, alpha * x + beta)) is neither 0 nor 1."""
    alpha = node.attributes.get_float("alpha", 0.2)
    beta = node.attributes.get_float("beta", 0.5)
    if not alpha:
        return _EVERYTHING
    return Ends(*sorted((-beta / alpha, (1.0 - beta) / alpha)))


_SATURATING: Mapping[str, Callable[[ir.Node], Ends]] = {
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _node: Ends(-3.0, math.inf),
    "Sigmoid": lambda _node: Ends(-_SIGMOID, _SIGMOID),
    "Tanh": lambda _node: Ends(-_TANH, _TANH),
}
