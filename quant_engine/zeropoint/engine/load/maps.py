"""Values that are no tensors: maps, which operators of ai.onnx.ml make of class probabilities."""

import onnx

from zeropoint.engine.errors import ModelError


def leave_out_maps(graph: onnx.GraphProto) -> None:
    """Leave the types out that hold a map, in place: the graph knows none, ONNX Runtime finds them.

    Raises:
        ModelError: MODEL_UNSUPPORTED, an input is a map.
    """
    for value in graph.input:
        if _holds_map(value.type):
            raise ModelError(
                "MODEL_UNSUPPORTED",
                f"Input {value.name!r} of the model is a map; only tensors can be fed.",
                input=value.name,
            )
    for value in (*graph.output, *graph.value_info):
        if _holds_map(value.type):
            value.ClearField("type")
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                leave_out_maps(body)


def _holds_map(kind: onnx.TypeProto) -> bool:
    if kind.HasField("sequence_type"):
        return _holds_map(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        return _holds_map(kind.optional_type.elem_type)
    return kind.HasField("map_type")
