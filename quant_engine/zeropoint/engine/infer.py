"""Types and shapes, as far as they can be known without running the model."""

import onnx
import onnx_ir as ir


def infer_shapes(model: ir.Model) -> None:
    """Fill in types and shapes of the main graph's values, in place and at best effort.

    Weights stay where they are: only tensors below 1 KiB are looked at.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(ir.to_proto(model), data_prop=True)
    except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
        return
    infos = {info.name: info for info in inferred.graph.value_info}
    infos.update((info.name, info) for info in inferred.graph.output)
    for node in model.graph:
        for value in node.outputs:
            if value.name in infos:
                _take(value, infos[value.name])


def _take(value: ir.Value, info: onnx.ValueInfoProto) -> None:
    known = ir.from_proto(info)
    if known.type is not None:
        value.type = known.type
    if known.shape is not None:
        value.shape = known.shape
