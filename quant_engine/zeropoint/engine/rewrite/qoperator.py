"""QDQ -> operators that take and give codes.

ONNX has QLinearConv and QLinearMatMul; the others are ONNX Runtime's own (com.microsoft). Biases
become int32 with the product of the scales of input and weight.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import (
    GraphEditor,
    add_origins,
    array_of,
    constant,
    graph_of,
    input_at,
    name_of,
    origins,
    rank_of,
    remove_unused,
)
from zeropoint.engine.number_types import INT32
from zeropoint.engine.numbers import QParams, bias_qparams, quantize
from zeropoint.engine.operators import MOVERS, same_qparams
from zeropoint.engine.rewrite.units import Dequantized, Output, operand, output, weight_operand


def lower_qoperator(editor: GraphEditor) -> tuple[str, ...]:
    """Write nodes with the pairs around them as QLinear operators, in place.

    Returns:
        Names of the nodes that read codes and have no such form.
    """
    left = []
    for node in tuple(editor.graph.all_nodes()):
        if node.domain or not _reads_codes(node):
            continue
        lowered = _QLINEAR.get(node.op_type)
        if lowered is None or not lowered(editor, node):
            left.append(name_of(node))
    remove_unused(editor.graph)
    return tuple(left)


def _reads_codes(node: ir.Node) -> bool:
    if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        return False
    return any(operand(node, index) is not None for index in range(len(node.inputs)))


def _conv(editor: GraphEditor, node: ir.Node) -> bool:
    if (layer := _layer(node)) is None:
        return False
    data, weight, result = layer
    bias = _bias(editor, node, data, weight, result)
    if bias is None and input_at(node, 2) is not None:
        return False
    inputs = (*data.parts, *weight.parts, *result.parameters, bias)
    _replace(editor, node, "QLinearConv", inputs, result, contrib=False)
    return True


def _matmul(editor: GraphEditor, node: ir.Node) -> bool:
    if (layer := _layer(node)) is None:
        return False
    data, weight, result = layer
    if weight.qparams.axis is not None and rank_of(weight.codes) != 2:
        return False
    inputs = (*data.parts, *weight.parts, *result.parameters)
    _replace(editor, node, "QLinearMatMul", inputs, result, contrib=False)
    return True


def _gemm(editor: GraphEditor, node: ir.Node) -> bool:
    layer = _layer(node)
    if layer is None or node.attributes.get_float("beta", 1.0) != 1.0:
        return False
    data, weight, result = layer
    bias = _bias(editor, node, data, weight, result)
    if bias is None and input_at(node, 2) is not None:
        return False
    node.attributes.pop("beta", None)
    inputs = (*data.parts, *weight.parts, bias, *result.parameters)
    _replace(editor, node, "QGemm", inputs, result)
    return True


def _layer(node: ir.Node) -> tuple[Dequantized, Dequantized, Output] | None:
    """Return what a layer reads and gives; None where ONNX Runtime has no kernel for the types."""
    data, weight, result = operand(node, 0), weight_operand(node), output(node)
    if data is None or weight is None or result is None or data.qparams.axis is not None:
        return None
    one_type = data.qparams.dtype == result.qparams.dtype
    if not one_type or (data.qparams.signed and not weight.qparams.signed):
        return None
    return data, weight, result


def _binary(editor: GraphEditor, node: ir.Node) -> bool:
    first, second, result = operand(node, 0), operand(node, 1), output(node)
    if first is None or second is None or result is None:
        return False
    if not _one_type(first.qparams, second.qparams, result.qparams):
        return False
    inputs = (*first.parts, *second.parts, *result.parameters)
    _replace(editor, node, f"QLinear{node.op_type}", inputs, result)
    return True


def _unary(editor: GraphEditor, node: ir.Node) -> bool:
    data, result = operand(node, 0), output(node)
    if data is None or result is None or not _one_type(data.qparams, result.qparams):
        return False
    if node.op_type == "AveragePool" and node.attributes.get_int("ceil_mode", 0) != 0:
        return False  # ONNX Runtime's counts the padding otherwise
    inputs = (*data.parts, *result.parameters)
    _replace(editor, node, f"QLinear{node.op_type}", inputs, result)
    return True


def _concat(editor: GraphEditor, node: ir.Node) -> bool:
    read = [operand(node, index) for index in range(len(node.inputs))]
    parts = [found for found in read if found is not None]
    result = output(node)
    if result is None or len(parts) != len(read):
        return False
    if not _one_type(result.qparams, *(part.qparams for part in parts)):
        return False
    inputs = (*result.parameters, *(value for part in parts for value in part.parts))
    _replace(editor, node, "QLinearConcat", inputs, result)
    return True


def _mover(editor: GraphEditor, node: ir.Node) -> bool:
    """Let a node that only moves values move codes."""
    data, result = operand(node, 0), output(node)
    if data is None or result is None or result.between:
        return False
    if not same_qparams(data.qparams, result.qparams):
        return False
    node.replace_input_with(0, data.codes)
    old = (result.quantize,)
    ir.convenience.replace_nodes_and_values(
        graph_of(node), node, old, (), result.quantize.outputs, node.outputs[:1]
    )
    return True


_QLINEAR: Mapping[str, Callable[[GraphEditor, ir.Node], bool]] = {
    "Add": _binary,
    "AveragePool": _unary,
    "Concat": _concat,
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _unary,
    "LeakyRelu": _unary,
    "MatMul": _matmul,
    "Mul": _binary,
    "Sigmoid": _unary,
    **dict.fromkeys(MOVERS, _mover),
}
"""How each operator is written that has a form between codes."""


def _replace(
    editor: GraphEditor,
    node: ir.Node,
    op_type: str,
    inputs: tuple[ir.Value | None, ...],
    result: Output,
    *,
    contrib: bool = True,
) -> None:
    """Put a QLinear operator in the place of a node, up to its QuantizeLinear."""
    new = editor.node(op_type, inputs, name_of(node), contrib=contrib)
    new.attributes.update(node.attributes)
    add_origins(new, (n for part in (node, *result.between) for n in origins(part)))
    old = (node, *result.between, result.quantize)
    ir.convenience.replace_nodes_and_values(
        graph_of(node), node, old, (new,), result.quantize.outputs, new.outputs
    )


def _bias(
    editor: GraphEditor, node: ir.Node, data: Dequantized, weight: Dequantized, result: Output
) -> ir.Value | None:
    """Return the int32 bias of a layer; None where it has none, or it would be a step off."""
    value = input_at(node, 2)
    if value is None:
        return None
    wanted = bias_qparams(data.qparams, weight.qparams)
    if node.op_type == "Gemm":  # the factor is that of product and bias
        factor = np.float32(node.attributes.get_float("alpha", 1.0))
        wanted = replace(wanted, scale=wanted.scale * factor)
    stored = operand(node, 2)
    if stored is not None:
        same = np.array_equal(stored.qparams.scale.reshape(-1), wanted.scale.reshape(-1))
        return stored.codes if same and stored.qparams.dtype == INT32.dtype else None
    array = constant(value)
    if array is None or not weight.stored:
        return None
    flat = array.reshape(-1).astype(np.float32)
    if flat.size == 1:
        flat = np.full(_channels(node, weight), flat[0])
    elif array.shape[-1] != array.size:
        return None  # a Gemm's, one for each row
    if wanted.axis is not None and flat.size != wanted.scale.size:
        return None
    if np.abs(flat / wanted.scale).max(initial=0.0) > INT32.limits.high:
        return None
    codes = quantize(flat, wanted)
    kept = codes * np.where(data.qparams.scale * weight.qparams.scale > 0, wanted.scale, 0.0)
    if np.abs(kept - flat).max(initial=0.0) > result.qparams.scale / 2:
        return None
    return editor.constant(f"{value.name}_quantized", codes)


def _channels(node: ir.Node, weight: Dequantized) -> int:
    array = array_of(weight.codes)
    if node.op_type == "Gemm" and not node.attributes.get_int("transB", 0):
        return int(array.shape[1])
    return int(array.shape[0])


def _one_type(*qparams: QParams) -> bool:
    return len({found.dtype for found in qparams}) == 1 and not any(
        found.axis is not None for found in qparams
    )
