"""Gemm in the one form that integer kernels take: alpha = beta = 1, and a bias of shape [N].

A factor moves into the constant that it multiplies; a bias of another shape, or a computed one,
moves into an Add behind the Gemm.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import GraphEditor, add_origins, constant, input_at, name_of, origins
from zeropoint.engine.operators import layout_of


def normalize_gemms(model: ir.Model) -> None:
    """Bring every float32 Gemm of `model` into that form, in place, where its inputs allow."""
    edit = GraphEditor(model.graph)
    for node in tuple(model.graph.all_nodes()):
        weight = input_at(node, 1)
        is_float = weight is not None and weight.dtype is ir.DataType.FLOAT
        if node.op_type == "Gemm" and not node.domain and is_float:
            _fold_alpha(node, edit)
            _fix_bias(node, edit)
    edit.remove_unused_constants()


def _fold_alpha(node: ir.Node, edit: GraphEditor) -> None:
    alpha = node.attributes.get_float("alpha", 1.0)
    weight = constant(node.inputs[1])
    if alpha == 1.0 or weight is None:
        return
    scaled = np.asarray(weight * np.float32(alpha), np.float32)
    node.replace_input_with(1, edit.constant(f"{node.name}_weight", scaled))
    node.attributes["alpha"] = ir.AttrFloat32("alpha", 1.0)


def _fix_bias(node: ir.Node, edit: GraphEditor) -> None:
    bias = input_at(node, 2)
    if bias is None:
        return
    beta = np.float32(node.attributes.get_float("beta", 1.0))
    node.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
    array = constant(bias)
    columns = _columns(node)
    row = _as_row(array, columns)
    if row is None:
        _split_bias(node, bias, beta, edit)
    elif beta != 1.0 or array is None or array.shape != row.shape:
        node.replace_input_with(2, edit.constant(f"{node.name}_bias", row * beta))


def _columns(node: ir.Node) -> int | None:
    """Return N, the columns of the result, where the weight's shape tells it."""
    weight, layout = node.inputs[1], layout_of(node, 2)
    if weight is None or weight.shape is None or layout is None:
        return None
    size = weight.shape[layout.outputs]
    return size if isinstance(size, int) else None


def _as_row(array: NDArray[np.generic] | None, columns: int | None) -> NDArray[np.float32] | None:
    if array is None or columns is None or array.size not in (1, columns):
        return None
    if array.size == columns and array.ndim and array.shape[-1] != columns:
        return None
    row = np.broadcast_to(array.reshape(-1), (columns,))
    return np.ascontiguousarray(row, np.float32)


def _split_bias(node: ir.Node, bias: ir.Value, beta: np.float32, edit: GraphEditor) -> None:
    output, name, added = node.outputs[0], name_of(node), []
    node.replace_input_with(2, None)
    if beta != 1.0:
        factor = edit.constant(f"{name}_beta", np.array(beta))
        added.append(edit.node("Mul", (bias, factor), f"{name}_bias"))
        bias = added[0].outputs[0]
    added.append(edit.node("Add", (output, bias), name, like=output))
    edit.put_behind(output, *added)
    for new in added:
        add_origins(new, origins(node))
