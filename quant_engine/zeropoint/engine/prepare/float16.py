"""float16 models: computed in float32, as ONNX Runtime's CPU kernels do, and stored in float16.

ONNX Runtime has few float16 kernels on CPUs: it casts to float32 before a node and back behind it,
and removes the pairs of casts between nodes. The same is done here in the graph, where operators
can then be quantized. Inputs and outputs keep their type. Weights that stay float are written in
float16 again, behind a Cast that ONNX Runtime folds when it loads the model.
"""

from typing import Any

import numpy as np
import onnx_ir as ir

from zeropoint.engine.files import INLINE_BYTES, WeightFile
from zeropoint.engine.graph import GraphEditor, name_of, values_of

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT
_TYPE_ATTRIBUTES = ("dtype", "output_dtype", "to")
_MARK = "zeropoint.half"


def widen_halves(model: ir.Model, weights: WeightFile) -> bool:
    """Turn float16 into float32 everywhere but in inputs and outputs, in place.

    The model has no local functions, and its constants are initializers of the main graph.

    Returns:
        Whether there was any.

    Raises:
        TypeError: a sequence or optional of float16, for which there are no casts.
    """
    values = [value for graph in model.graphs() for value in values_of(graph)]
    halves = [value for value in values if value.dtype is _HALF]
    if not halves:
        return False
    edit = GraphEditor(model.graph)
    outer = {*model.graph.inputs}
    for value in halves:
        if value.const_value is not None and value not in outer:
            value.const_value = _widened(value.const_value, weights)
        if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
            raise TypeError(f"{value.name} holds several tensors of float16")
        if value not in outer:
            value.type = ir.TensorType(_FLOAT)
    for node in model.graph.all_nodes():
        _widen_attributes(node)
    for value in model.graph.inputs:
        if value.dtype is _HALF:
            edit.put_behind(value, _cast(value, _FLOAT, name_of(value), edit))
    for value in tuple(model.graph.outputs):
        if value in halves and value not in outer:
            cast = _cast(value, _HALF, name_of(value), edit)
            edit.insert_behind(value, edit.graph, cast)
            edit.take_output(value, cast.outputs[0])
    return True


def narrow_weights(graph: ir.Graph) -> None:
    """Store in float16 what was float16 in the user's model and is float32 now, in place."""
    edit = GraphEditor(graph)
    for value in tuple(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or _MARK not in tensor.meta or value.is_graph_output():
            continue
        stored = edit.constant(f"{value.name}_half", tensor.numpy().astype(np.float16))
        cast = _cast(stored, _FLOAT, name_of(value), edit)
        edit.insert_first(graph, cast)
        value.replace_all_uses_with(cast.outputs[0])
    edit.remove_unused_constants()


def _widened(tensor: ir.TensorProtocol, weights: WeightFile) -> ir.TensorProtocol:
    array: np.ndarray[Any, Any] = tensor.numpy()
    wide = weights.store(ir.tensor(array.astype(np.float32), name=tensor.name))
    if wide.nbytes >= INLINE_BYTES:
        wide.meta[_MARK] = True
    return wide


def _widen_attributes(node: ir.Node) -> None:
    for name, attribute in tuple(node.attributes.items()):
        if attribute.type is ir.AttributeType.TENSOR and attribute.as_tensor().dtype is _HALF:
            array = attribute.as_tensor().numpy().astype(np.float32)
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(array))
        elif name in _TYPE_ATTRIBUTES and attribute.value == _HALF.value:
            node.attributes[name] = ir.AttrInt64(name, _FLOAT.value)


def _cast(value: ir.Value, to: ir.DataType, name: str, edit: GraphEditor) -> ir.Node:
    node = edit.node("Cast", (value,), name, attributes={"to": to.value})
    node.outputs[0].type, node.outputs[0].shape = ir.TensorType(to), value.shape
    return node
