"""Raising a model's opset."""

import onnx
import onnx_ir as ir
from onnxscript import version_converter

from zeropoint.engine.infer import inferred_proto
from zeropoint.engine.origins import kept_by_names
from zeropoint.engine.weights import INLINE_BYTES

# From here on onnxscript's converter knows every step; before, only onnx's own does.
_ONNXSCRIPT_FROM = 18
INITIALIZERS_NEED_NO_INPUT = 4
"""Version of the file format from which on a constant need not be an input as well."""

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
    converted = ir.serde.deserialize_model(onnx.version_converter.convert_version(proto, target))
    _release_softmax(converted)
    for value in tuple(converted.graph.inputs):
        if value.name in constants:
            value.const_value = constants[value.name][1]
            converted.graph.register_initializer(value)
    while len(converted.graph.inputs) > inputs:
        converted.graph.inputs.pop()
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


def _release_softmax(model: ir.Model) -> None:
    for node in model.graph:
        if node.domain == _HELD:
            node.domain = ""
            node.attributes["axis"] = ir.AttrInt64("axis", -1)
    model.opset_imports.pop(_HELD, None)
