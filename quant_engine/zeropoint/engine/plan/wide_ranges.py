"""Which linear operators need more range than 8 bits hold, by what is done with their results.

A spectrum spans 80 dB and more, and the logarithm or root behind it makes its quiet parts count as
much as its loud ones: an error that is small beside the greatest value is all that is left of
them. Exporters write short-time Fourier transforms, filter banks and the like as Conv and MatMul
with constant weights; what tells them from other layers is that only squares, roots and logarithms
come of their results.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant
from zeropoint.engine.operators import Role, Trait, has, rule_of
from zeropoint.engine.reasons import Kept, Reason

# Beside what moves values, these keep how large they are beside each other.
_MOVERS = ("Cast", "Neg", "Pad")
# With one operand that is constant: a factor, what keeps a logarithm off zero, a bias.
_WITH_CONSTANT = frozenset({"Add", "Clip", "Div", "Max", "Min", "Mul", "Sub"})
_SCALERS = {*_MOVERS, *(_WITH_CONSTANT - {"Clip", "Max", "Min"})}
_COMPRESS = frozenset({"Log", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", "Sqrt"})
_THROUGH = {*_MOVERS, "Abs", "ReduceMean", "ReduceSum"}

_SPECTRUM = Kept(
    Reason.SPECTRUM,
    "only squares, roots or logarithms are made of its results, in which small values count as "
    "much as large ones",
)
_RAW_SIGNAL = Kept(
    Reason.RAW_SIGNAL,
    "it reads a signal of one channel as it comes in, whose quiet parts 8 bits do not hold",
)


def wide_ranges(graph: ir.Graph) -> Mapping[ir.Node, Kept]:
    """Return the Conv, MatMul and Gemm whose activations should stay float, with the reason.

    Nodes of bodies are told, too. One walk: linear in the nodes.
    """
    found: dict[ir.Node, Kept] = {}
    compressed: set[ir.Value] = set()
    for node in ir.traversal.RecursiveGraphIterator(graph, reverse=True):
        compressed.update(
            value
            for value in node.outputs
            if value.uses()
            and not value.is_graph_output()
            and all(_compresses(use.node, compressed) for use in value.uses())
        )
        if not _is_layer(node):
            continue
        if node.outputs[0] in compressed:
            found[node] = _SPECTRUM
        elif _reads_signal(node):
            found[node] = _RAW_SIGNAL
    return found


def _compresses(node: ir.Node, compressed: set[ir.Value]) -> bool:
    """Whether a node compresses what it reads, or all that reads the node's results does so."""
    if node.domain:
        return False
    if node.op_type in _COMPRESS or _is_square(node):
        return True
    through = _passes(node, _THROUGH) or _is_layer(node)
    if node.op_type in _WITH_CONSTANT:
        through = sum(_is_computed(value) for value in node.inputs) == 1
    return through and all(value in compressed for value in node.outputs if value.name)


def _is_square(node: ir.Node) -> bool:
    """Whether a node raises what it reads to a constant power."""
    if node.op_type == "Mul":
        return node.inputs[0] is node.inputs[1]
    exponent = constant(node.inputs[1]) if node.op_type == "Pow" else None
    return exponent is not None and exponent.size == 1 and float(exponent.reshape(())) != 1


def _is_layer(node: ir.Node) -> bool:
    """Whether a node multiplies data with a constant, and is no more than linear."""
    rule = rule_of(node)
    if rule is None or rule.role is not Role.COMPUTE:
        return False
    return sum(_is_computed(value) for value in node.inputs[:2]) == 1


def _passes(node: ir.Node, others: Collection[str]) -> bool:
    """Whether a node moves values, or is one of some other operators."""
    return has(node, Trait.BY_PLACE) or (not node.domain and node.op_type in others)


def _is_computed(value: ir.Value | None) -> bool:
    return value is not None and constant(value) is None


def _reads_signal(node: ir.Node) -> bool:
    """Whether a node is a convolution along the one axis of an input of one channel."""
    weight = constant(node.inputs[1]) if has(node, Trait.CONVOLVES) else None
    if weight is None or weight.shape[1] != 1 or np.sum(np.array(weight.shape[2:]) > 1) != 1:
        return False
    if node.attributes.get_int("group", 1) != 1:
        return False
    value = node.inputs[0]
    if value is None or value.shape is None or not _is_line(value.shape, weight.shape):
        return False
    while value is not None and (source := value.producer()) is not None:
        if not _passes(source, _SCALERS):
            return False
        value = source.inputs[0]
    return value is not None and value.is_graph_input()


def _is_line(shape: ir.Shape, kernel: tuple[int, ...]) -> bool:
    """Whether an input extends along one axis: that along which the kernel does."""
    return len(shape) == len(kernel) and all(
        size > 1 or extent == 1 for extent, size in zip(shape[2:], kernel[2:], strict=True)
    )
