"""Keeping nodes float that ONNX Runtime 1.32 would make integer kernels of: operators in between.

It fuses what stands between DequantizeLinear and QuantizeLinear, whatever a plan says, and it moves
both past what only moves or picks values, so that they need not stand next to the node.

    Conv, ConvTranspose, Gemm   a weight in float is quantized, per tensor (WeightBiasQuantization),
    MatMul with its bias        where a DequantizeLinear is before it and a QuantizeLinear behind
    MatMul, Gemm                fused with DequantizeLinear on both factors, whatever is behind
    Add, Concat, Sigmoid, ...   fused with DequantizeLinear on all data and QuantizeLinear behind

LeakyRelu with alpha=1 changes no value, is seen through by none of these, and is fused into a
blocked Conv and into a Gemm, where it costs nothing. (A bias in int32 serves as well, and loses the
blocked kernel: 2.4 times as long. A Clip before a QuantizeLinear is removed.) Before a factor of a
product stands max(x, -Inf).
"""

from collections.abc import Callable, Collection, Iterable

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, constant, graph_of, input_at, name_of
from zeropoint.engine.operators import (
    Role,
    Trait,
    dequantizer_of,
    has,
    is_clamp,
    is_layer,
    is_stored,
    rule_of,
)
from zeropoint.engine.plan import bias_add
from zeropoint.engine.rewrite.work import Work

_LOWEST = np.array(-np.inf, np.float32)
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_PRODUCTS = frozenset({"Gemm", "MatMul"})
_MIXES = frozenset({"Dropout", "Pad", "Resize", "Upsample"})  # conversions are moved past them, too
_AFFINE = frozenset({"Add", "BatchNormalization", "Div", "Mul", "Sub"})  # folded into a Conv


def guard_float_nodes(work: Work) -> None:
    """Keep nodes that a plan leaves float from becoming integer kernels, in place."""
    floats = frozenset(work.plan.floats)
    nodes = tuple(work.edit.graph.all_nodes())
    keep_float(work.edit, [node for node in nodes if name_of(node) in floats])


def keep_float(edit: GraphEditor, nodes: Iterable[ir.Node]) -> None:
    """Keep nodes from being fused with the pairs around them, or behind what moves values.

    The graph is changed in place, by operators that change no value.
    """
    around = _Conversions(edit.graph)
    for node in nodes:
        if node.domain or not _has_integer_kernel(node):
            continue
        if node.op_type in _LAYERS:
            _keep_layer(edit, node, around)
        elif around.before_all(node) and node.outputs[0] in around.quantized:
            hold_behind(edit, node.outputs[0])


def hold_apart(edit: GraphEditor, node: ir.Node, index: int) -> None:
    """Put max(x, -Inf) = x before an input, in place: the node is then fused with no pair there.

    Nothing is done where the input is no FLOAT.
    """
    value = node.inputs[index]
    if value is None or value.dtype is not ir.DataType.FLOAT:
        return
    lowest = edit.constant(f"{node.name}_lowest", _LOWEST)
    same = edit.node("Max", (value, lowest), name_of(node), like=value)
    graph_of(node).insert_before(node, same)
    node.replace_input_with(index, same.outputs[0])


def hold_behind(edit: GraphEditor, value: ir.Value) -> None:
    """Put LeakyRelu with alpha=1 behind a tensor, in place: its node is fused with no pair there.

    Nothing is done where it is no FLOAT.
    """
    if value.dtype is ir.DataType.FLOAT:
        same = edit.node("LeakyRelu", (value,), name_of(value), like=value)
        same.attributes["alpha"] = ir.AttrFloat32("alpha", 1.0)
        edit.put_behind(value, same)


def _keep_layer(edit: GraphEditor, node: ir.Node, around: "_Conversions") -> None:
    data, weight = node.inputs[0], input_at(node, 1)
    if data is None or data not in around.dequantized:
        return
    if node.op_type in _PRODUCTS and weight in around.dequantized:
        hold_apart(edit, node, 1 if is_stored(data) else 0)
        return
    end = node.outputs[0]
    if node.op_type == "MatMul":
        bias = bias_add(node) if constant(weight) is not None else None
        if bias is None:
            return  # it is a Gemm with a bias only
        end = bias[0].outputs[0]
    if end in around.folded:
        hold_behind(edit, end)


def _has_integer_kernel(node: ir.Node) -> bool:
    rule = rule_of(node)
    return is_layer(node) or (rule is not None and rule.role is Role.JOIN)


class _Conversions:
    """Where values come from codes, and where they become codes.

    Attributes:
        dequantized: Values that a DequantizeLinear gives, or what only moves such values.
        quantized: Values that a QuantizeLinear reads, or what moves values or clamps them before.
        folded: The same, and what constants are added to or multiplied with before.
    """

    def __init__(self, graph: ir.Graph) -> None:
        nodes = tuple(graph.all_nodes())
        self.dequantized: set[ir.Value | None] = set()
        for node in nodes:
            if dequantizer_of(node.outputs[0]) is not None or (
                _passes(node) and input_at(node, 0) in self.dequantized
            ):
                self.dequantized.update(node.outputs)
        self.quantized = _read_as_codes(nodes, _passes)
        self.folded = _read_as_codes(nodes, lambda node: _passes(node) or _is_affine(node))

    def before_all(self, node: ir.Node) -> bool:
        """Whether all the data of a node come from codes."""
        rule = rule_of(node)
        read = rule.activation_inputs(node) if rule is not None else ()
        return all(node.inputs[index] in self.dequantized for index in read)


def _read_as_codes(
    nodes: Collection[ir.Node], passes: Callable[[ir.Node], bool]
) -> set[ir.Value | None]:
    found: set[ir.Value | None] = set()
    for node in reversed(tuple(nodes)):
        if node.op_type == "QuantizeLinear":
            found.add(node.inputs[0])
        elif passes(node) and not found.isdisjoint(node.outputs):
            found.update(node.inputs)
    return found


def _passes(node: ir.Node) -> bool:
    """Whether ONNX Runtime may move a conversion past a node, or leaves the node out."""
    if node.domain:
        return False
    moves = has(node, Trait.KEEPS | Trait.CODES) or node.op_type in _MIXES
    return moves or is_clamp(node)


def _is_affine(node: ir.Node) -> bool:
    computed = [value for value in node.inputs if value is not None and constant(value) is None]
    return not node.domain and node.op_type in _AFFINE and len(computed) == 1
