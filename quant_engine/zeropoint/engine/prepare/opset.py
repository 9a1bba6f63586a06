"""Raising a model's opset."""

import numpy as np
import onnx
import onnx_ir as ir

from zeropoint.engine.files import INLINE_BYTES
from zeropoint.engine.graph import GraphEditor, kept_by_names, set_input
from zeropoint.engine.prepare.infer_types import infer_shapes, inferred_proto

# From here on onnxscript's converter knows every step; before, only onnx's own does.
_ONNXSCRIPT_FROM = 18
INITIALIZERS_NEED_NO_INPUT = 4
"""Version of the file format from which on a constant need not be an input as well."""

_RESIZE_CHANGES = 11
_SOFTMAX_CHANGES = 13
_SOFTMAX = frozenset({"Hardmax", "LogSoftmax", "Softmax"})
_DEFAULT_DOMAIN = ("", "ai.onnx")
_HELD = "zeropoint.held"


def convert_opset(model: ir.Model, target: int) -> None:
    """Raise the default opset of a model without local functions to `target`, in place.

    Raises:
        Exception: whatever a converter trips over; the model may be in any state then.
    """
    convert = _by_onnxscript if model.opset_imports[""] >= _ONNXSCRIPT_FROM else _by_onnx
    with kept_by_names(model):
        convert(model, target)
    settle_ir_version(model)


def settle_ir_version(model: ir.Model) -> None:
    """Raise the version of the file format to what the opset and plain initializers need."""
    opset = onnx.helper.make_opsetid("", model.opset_imports[""])
    needed = onnx.helper.find_min_ir_version_for([opset], ignore_unknown=True)
    model.ir_version = max(model.ir_version, needed, INITIALIZERS_NEED_NO_INPUT)


def _by_onnxscript(model: ir.Model, target: int) -> None:
    # Half a second to import, and few models come here.
    from onnxscript import version_converter

    infer_shapes(model)
    for node in model.graph.all_nodes():
        # The converter would only log that it left such a node as it was.
        shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
        known = shape is not None and len(shape) > 1 and isinstance(shape[1], int)
        if node.op_type == "GroupNormalization" and not node.domain and not known:
            raise ValueError("the channels of a GroupNormalization are not known")
    version_converter.convert_version(model, target, fallback=False)


def _by_onnx(model: ir.Model, target: int) -> None:
    """Convert a skeleton, in which weights are mere inputs, and give it its weights back."""
    constants = {
        name: (value, value.const_value)
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }
    proto = inferred_proto(model)
    graph = proto.graph
    inputs = len(graph.input)
    small = [item for item in graph.initializer if constants[item.name][1].nbytes < INLINE_BYTES]
    graph.input.extend(
        ir.serde.serialize_value(value)
        for value, _ in constants.values()
        if not value.is_graph_input()
    )
    del graph.initializer[:]
    graph.initializer.extend(small)
    if model.opset_imports[""] < _SOFTMAX_CHANGES <= target:
        _hold_softmax(proto)
        _refuse_hardmax(model, proto)
    converted = ir.serde.deserialize_model(onnx.version_converter.convert_version(proto, target))
    _release_softmax(converted)
    for value in tuple(converted.graph.inputs):
        if value.name in constants:
            value.const_value = constants[value.name][1]
            converted.graph.register_initializer(value)
    while len(converted.graph.inputs) > inputs:
        converted.graph.inputs.pop()
    if model.opset_imports[""] < _RESIZE_CHANGES <= target:
        _settle_resize(model, converted)
        _settle_pads(converted)
    model.graph = converted.graph


def _hold_softmax(proto: onnx.ModelProto) -> None:
    """Hide Softmax over the last axis from a converter that would wrap it in Flatten and Reshape.

    Before opset 13 it works on the input flattened to two dimensions from its axis on, which for
    the last axis is the same as since then.
    """
    graph = proto.graph
    infos = (*graph.value_info, *graph.input, *graph.output)
    ranks = {
        info.name: len(info.type.tensor_type.shape.dim)
        for info in infos
        if info.type.tensor_type.HasField("shape")
    }
    for node in graph.node:
        if node.op_type in _SOFTMAX and node.domain in _DEFAULT_DOMAIN:
            axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
            if axis in (-1, ranks.get(node.input[0], 0) - 1):
                node.domain = _HELD
    proto.opset_import.add(domain=_HELD, version=1)


def _refuse_hardmax(model: ir.Model, proto: onnx.ModelProto) -> None:
    """Refuse what onnx's converter takes for Softmax's untouched sibling."""
    held = sum(node.domain == _HELD and node.op_type == "Hardmax" for node in proto.graph.node)
    nodes = (node for node in model.graph.all_nodes() if not node.domain)
    if held != sum(node.op_type == "Hardmax" for node in nodes):
        raise ValueError("onnx converts Hardmax only over the last axis")


def _release_softmax(model: ir.Model) -> None:
    for node in model.graph:
        if node.domain == _HELD:
            node.domain = ""
            node.attributes["axis"] = ir.AttrInt64("axis", -1)
    model.opset_imports.pop(_HELD, None)


def _settle_pads(converted: ir.Model) -> None:
    """Give each Pad as an input what it fills with; the converter leaves it as an attribute."""
    editor = GraphEditor(converted.graph)
    for node in converted.graph.all_nodes():
        if node.op_type != "Pad" or node.domain or "value" not in node.attributes:
            continue
        data = node.inputs[0]
        kind = (data.dtype if data is not None else None) or ir.DataType.FLOAT
        value = np.array(node.attributes.pop("value").as_float(), kind.numpy())
        if len(node.inputs) < 3:
            set_input(node, 2, editor.constant(f"{node.name}_value", value))


def _settle_resize(old: ir.Model, new: ir.Model) -> None:
    """Write down where Upsample and Resize sampled before opset 11, which onnx leaves out.

    ONNX Runtime took x / scale as the position, and for the nearest element floor where it
    enlarges and ceil where it shrinks.
    """
    kinds = {
        node.outputs[0].name: node.op_type
        for node in old.graph.all_nodes()
        if node.op_type in ("Resize", "Upsample")
    }
    for node in new.graph.all_nodes():
        kind = kinds.get(node.outputs[0].name)
        if node.op_type != "Resize" or kind is None:
            continue
        _set_text(node, "coordinate_transformation_mode", "asymmetric")
        if node.attributes.get_string("mode", "nearest") == "nearest":
            shrinks = kind == "Resize" and _shrinks(node.inputs[2])
            _set_text(node, "nearest_mode", "ceil" if shrinks else "floor")


def _shrinks(scales: ir.Value | None) -> bool:
    if scales is None or scales.const_value is None:
        raise ValueError("the direction of a Resize to computed scales is not known")
    figures = scales.const_value.numpy()
    if (figures < 1).any() and (figures > 1).any():
        raise ValueError("a Resize enlarges one axis and shrinks another")
    return bool((figures < 1).any())


def _set_text(node: ir.Node, name: str, value: str) -> None:
    node.attributes[name] = ir.AttrString(name, value)
