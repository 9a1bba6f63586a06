"""QDQ -> MatMulInteger and ConvInteger, for nodes with stored weights."""

import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, array_of, constant, name_of, remove_unused
from zeropoint.engine.operators import Trait, has
from zeropoint.engine.rewrite.forms import INTEGER, Operand, kernel_weight, write_integer
from zeropoint.engine.rewrite.units import Dequantized, operand, weight_operand


def lower_integer_ops(editor: GraphEditor) -> tuple[str, ...]:
    """Write Conv, MatMul and Gemm with stored weights as integer operators, in place.

    Returns:
        Names of those that read codes and have no such form.
    """
    left = []
    for node in tuple(editor.graph.all_nodes()):
        if node.domain or node.op_type not in INTEGER:
            continue
        data, weight = operand(node, 0), operand(node, 1)
        if data is None or weight is None:
            continue
        if weight_operand(node) is None or not _fits(node, data, weight):
            left.append(name_of(node))
            continue
        read = Operand(data.codes, data.qparams.scale, data.zero_point)
        write_integer(editor, node, read, _weight(editor, node, weight))
    remove_unused(editor.graph)
    return tuple(left)


def _fits(node: ir.Node, data: Dequantized, weight: Dequantized) -> bool:
    zeros = weight.qparams.zero_point
    if constant(weight.codes) is None or data.qparams.axis is not None:
        return False
    if has(node, Trait.CONVOLVES) and zeros.size > 1 and (zeros != zeros.flat[0]).any():
        return False  # ONNX Runtime takes one for all channels
    return node.op_type != "Gemm" or node.attributes.get_int("transA", 0) == 0


def _weight(editor: GraphEditor, node: ir.Node, weight: Dequantized) -> Operand:
    """Return a weight as integer operators take it."""
    codes, zero_point, name = weight.codes, weight.zero_point, name_of(node)
    old = array_of(codes)
    new, zero = kernel_weight(node, old, weight.qparams.zero_point)
    if has(node, Trait.CONVOLVES):
        codes = editor.constant(f"{name}_weight", new)
        zero_point = editor.constant(f"{name}_zero_point", zero)
    elif new is not old:
        codes = editor.constant(f"{codes.name}_transposed", new)
    return Operand(codes, weight.qparams.scale, zero_point)
