"""QDQ -> operators that take and give codes.

ONNX has QLinearConv and QLinearMatMul; the others are ONNX Runtime's own (com.microsoft). Biases
become int32 with the product of the scales of input and weight.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
from zeropoint.engine.numbers import bias_qparams, quantize
from zeropoint.engine.operators import (
    Role,
    Trait,
    average_pool_refused,
    has,
    output_channels,
    rule_of,
    same_qparams,
)
from zeropoint.engine.rewrite.units import Dequantized, Output, operand, outputs, weight_operand


def lower_qoperator(editor: GraphEditor) -> tuple[str, ...]:
    """Write nodes with the pairs around them as QLinear operators, in place.

    Returns:
        Names of the nodes that read codes and have no such form.
    """
    nodes = tuple(editor.graph.all_nodes())
    read = (node for node in nodes if not node.domain and _reads_codes(node))
    left = tuple(name_of(node) for node in read if not _lower(editor, node))
    remove_unused(editor.graph)
    return left


def _reads_codes(node: ir.Node) -> bool:
    if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        return False
    return any(operand(node, index) is not None for index in range(len(node.inputs)))


def _lower(editor: GraphEditor, node: ir.Node) -> bool:
    """Put a QLinear operator in the place of a node, up to its QuantizeLinear."""
    results = outputs(node)
    if _moves(node):
        return _move(node, results)
    form, result = _QLINEAR.get(node.op_type), results[0]
    if form is None or (result is None and not form.gives_floats):
        return False
    inputs = form.inputs(editor, node, result)
    if inputs is None:
        return False
    more = form.attributes(node) if form.attributes is not None else None
    new = editor.node(form.op_type, inputs, name_of(node), contrib=form.contrib, attributes=more)
    new.attributes.update(node.attributes)
    taken = (node, *result.between) if result is not None else (node,)
    add_origins(new, (name for part in taken for name in origins(part)))
    old = (*taken, result.quantize) if result is not None else taken
    ir.convenience.replace_nodes_and_values(
        graph_of(node), node, old, (new,), old[-1].outputs, new.outputs
    )
    return True


def _moves(node: ir.Node) -> bool:
    rule = rule_of(node)
    return has(node, Trait.CODES) or (rule is not None and rule.role is Role.SHARE)


def _move(node: ir.Node, results: Sequence[Output | None]) -> bool:
    """Let a node that only moves or picks values do so with codes."""
    data = operand(node, 0)
    known = [result for result in results if result is not None and not result.between]
    if data is None or len(known) < len(results):
        return False
    if not all(same_qparams(data.qparams, result.qparams) for result in known):
        return False
    node.replace_input_with(0, data.codes)
    given = [value for value in node.outputs if value.name]
    for result, value in zip(known, given, strict=True):
        codes = result.quantize.outputs
        ir.convenience.replace_nodes_and_values(
            graph_of(node), node, (result.quantize,), (), codes, (value,)
        )
    return True


_Inputs = tuple[ir.Value | None, ...]


def _conv(editor: GraphEditor, node: ir.Node, result: Output | None) -> _Inputs | None:
    layer = _layer(node, result)
    bias = _bias(editor, node, *layer, result) if layer is not None else None
    if layer is None or (bias is None and input_at(node, 2) is not None):
        return None
    data, weight = layer
    return (*data.parts, *weight.parts, *_parameters(result), bias)


def _gemm(editor: GraphEditor, node: ir.Node, result: Output | None) -> _Inputs | None:
    if node.attributes.get_float("beta", 1.0) != 1.0:
        return None
    found = _conv(editor, node, result)
    if found is None:
        return None
    node.attributes.pop("beta", None)
    *others, bias = found
    return (*others[:6], bias, *others[6:])


def _parameters(result: Output | None) -> _Inputs:
    return result.parameters if result is not None else ()


def _matmul(_editor: GraphEditor, node: ir.Node, result: Output | None) -> _Inputs | None:
    layer = _layer(node, result)
    if layer is None or (layer[1].qparams.axis is not None and rank_of(layer[1].codes) != 2):
        return None
    return (*layer[0].parts, *layer[1].parts, *_parameters(result))


def _layer(node: ir.Node, result: Output | None) -> tuple[Dequantized, Dequantized] | None:
    """Return data and weight of a layer; None where ONNX Runtime has no kernel for the types."""
    data, weight = operand(node, 0), weight_operand(node)
    if data is None or weight is None or data.qparams.axis is not None:
        return None
    one_type = result is None or data.qparams.dtype == result.qparams.dtype
    fits = one_type and data.qparams.number.multiplies(weight.qparams.number)
    return (data, weight) if fits else None


def _elementwise(_editor: GraphEditor, node: ir.Node, result: Output | None) -> _Inputs | None:
    read = _of_one_type(node, result)
    if read is None or (node.op_type == "AveragePool" and average_pool_refused(node)):
        return None
    return (*read, *_parameters(result))


def _concat(_editor: GraphEditor, node: ir.Node, result: Output | None) -> _Inputs | None:
    read = _of_one_type(node, result)
    return None if read is None else (*_parameters(result), *read)


def _where(_editor: GraphEditor, node: ir.Node, result: Output | None) -> _Inputs | None:
    read = _of_one_type(node, result, first=1)
    return None if read is None else (node.inputs[0], *read, *_parameters(result))


def _of_one_type(node: ir.Node, result: Output | None, first: int = 0) -> _Inputs | None:
    """Return what is read for a node; None where that and its result are not codes of one type."""
    read = [operand(node, index) for index in range(first, len(node.inputs))]
    parts = [found for found in read if found is not None]
    if result is None:
        return None
    known = [result.qparams, *(part.qparams for part in parts)]
    if len(parts) != len(read) or any(qparams.axis is not None for qparams in known):
        return None
    one_type = len({qparams.dtype for qparams in known}) == 1
    return tuple(value for part in parts for value in part.parts) if one_type else None


def _opset(node: ir.Node) -> Mapping[str, int]:
    """Return of which opset a Softmax is: since 13 it is one along its axis alone."""
    return {"opset": graph_of(node).opset_imports.get("", 0)}


@dataclass(frozen=True, slots=True)
class _Form:
    """An operator between codes.

    Attributes:
        op_type: Its type.
        inputs: Returns what it reads; None where there is no kernel for that.
        contrib: Whether it is ONNX Runtime's own.
        gives_floats: Whether it can give floats as well.
        attributes: Returns those that the float operator has not.
    """

    op_type: str
    inputs: Callable[[GraphEditor, ir.Node, Output | None], _Inputs | None]
    contrib: bool = True
    gives_floats: bool = False
    attributes: Callable[[ir.Node], Mapping[str, int]] | None = None


_QLINEAR: Mapping[str, _Form] = {
    "Add": _Form("QLinearAdd", _elementwise),
    "AveragePool": _Form("QLinearAveragePool", _elementwise),
    "Concat": _Form("QLinearConcat", _concat),
    "Conv": _Form("QLinearConv", _conv, contrib=False),
    "Gemm": _Form("QGemm", _gemm, gives_floats=True),
    "GlobalAveragePool": _Form("QLinearGlobalAveragePool", _elementwise),
    "LeakyRelu": _Form("QLinearLeakyRelu", _elementwise),
    "MatMul": _Form("QLinearMatMul", _matmul, contrib=False),
    "Mul": _Form("QLinearMul", _elementwise),
    "Sigmoid": _Form("QLinearSigmoid", _elementwise),
    "Softmax": _Form("QLinearSoftmax", _elementwise, attributes=_opset),
    "Where": _Form("QLinearWhere", _where),
}
"""How each operator is written that has a form between codes."""


def _bias(
    editor: GraphEditor,
    node: ir.Node,
    data: Dequantized,
    weight: Dequantized,
    result: Output | None,
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
    if array is None or not weight.stored or result is None:
        return None
    flat = array.reshape(-1).astype(np.float32)
    if flat.size == 1:
        flat = np.full(output_channels(node, array_of(weight.codes).shape), flat[0])
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
