"""QDQ -> MatMulInteger and ConvInteger: codes in, int32 out, rescaled to floats.

    DequantizeLinear, DequantizeLinear -> MatMul
    becomes
    MatMulInteger -> Cast -> Mul(product of the scales)

The sum of products is exact; it is rounded to float32 once.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import GraphEditor, array_of, constant, input_at, name_of, remove_unused
from zeropoint.engine.numbers import unsigned_codes
from zeropoint.engine.rewrite.dynamic import Chain
from zeropoint.engine.rewrite.units import Operand, operand, weight_operand

_LAYERS = ("Conv", "Gemm", "MatMul")


def lower_integer_ops(editor: GraphEditor) -> tuple[str, ...]:
    """Write Conv, MatMul and Gemm with stored weights as integer operators, in place.

    Returns:
        Names of those that read codes and have no such form.
    """
    left = []
    for node in tuple(editor.graph.all_nodes()):
        if node.domain or node.op_type not in _LAYERS:
            continue
        data, weight = operand(node, 0), operand(node, 1)
        if data is None or weight is None:
            continue
        weight = weight_operand(node)
        if weight is None:
            left.append(name_of(node))
            continue
        codes = constant(weight.codes)
        if codes is None or data.qparams.axis is not None or not _lower(editor, node, data, weight):
            left.append(name_of(node))
    remove_unused(editor.graph)
    return tuple(left)


def _lower(editor: GraphEditor, node: ir.Node, data: Operand, weight: Operand) -> bool:
    zeros = weight.qparams.zero_point
    if node.op_type == "Conv" and zeros.size > 1 and (zeros != zeros.flat[0]).any():
        return False  # ONNX Runtime takes one for all channels
    if node.op_type == "Gemm" and node.attributes.get_int("transA", 0) != 0:
        return False
    chain = Chain(editor, node)
    scale = data.qparams.scale * weight.qparams.scale
    if node.op_type == "Conv":
        _conv(editor, chain, node, data, weight, scale)
    else:
        _multiply(editor, chain, node, data, weight, scale)
    chain.replace()
    return True


def _conv(
    editor: GraphEditor,
    chain: Chain,
    node: ir.Node,
    data: Operand,
    weight: Operand,
    scale: NDArray[np.floating],
) -> None:
    codes, zeros = array_of(weight.codes), weight.qparams.zero_point.reshape(-1)
    # ONNX Runtime 1.32 has a fast kernel for uint8 weights only.
    stored = editor.constant(f"{chain.name}_weight", unsigned_codes(codes))
    zero = editor.constant(f"{chain.name}_zero_point", unsigned_codes(zeros)[0:1].reshape(()))
    integer = chain.add("ConvInteger", data.codes, stored, data.zero_point, zero)
    for attribute in node.attributes.values():
        integer.attributes.add(attribute)
    rank = len(weight.codes.shape or ())
    shape = (-1, *(1,) * (rank - 2))
    _rescale(editor, chain, scale.reshape(shape) if scale.ndim else scale)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = constant(node.inputs[2])
        if bias is not None:
            chain.add(
                "Add", chain.value, editor.constant(f"{chain.name}_bias", bias.reshape(shape))
            )
        else:
            row = editor.constant(f"{chain.name}_row", np.array(shape, np.int64))
            chain.add("Add", chain.value, chain.side("Reshape", node.inputs[2], row))


def _multiply(
    editor: GraphEditor,
    chain: Chain,
    node: ir.Node,
    data: Operand,
    weight: Operand,
    scale: NDArray[np.floating],
) -> None:
    second = weight.codes
    if node.attributes.get_int("transB", 0):
        second = editor.constant(
            f"{second.name}_transposed", np.ascontiguousarray(array_of(second).T)
        )
    chain.add("MatMulInteger", data.codes, second, data.zero_point, weight.zero_point)
    alpha = node.attributes.get_float("alpha", 1.0) if node.op_type == "Gemm" else 1.0
    _rescale(editor, chain, scale * np.float32(alpha))
    bias = input_at(node, 2)
    if bias is not None:
        beta = node.attributes.get_float("beta", 1.0)
        if beta != 1.0:
            factor = editor.constant(f"{chain.name}_beta", np.array(beta, np.float32))
            bias = chain.side("Mul", bias, factor)
        chain.add("Add", chain.value, bias)


def _rescale(editor: GraphEditor, chain: Chain, scale: NDArray[np.floating]) -> None:
    chain.add("Cast", chain.value, attributes={"to": int(ir.DataType.FLOAT)})
    factor = editor.constant(f"{chain.name}_scale", np.asarray(scale, np.float32))
    chain.add("Mul", chain.value, factor)
