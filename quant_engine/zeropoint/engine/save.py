"""Writing a model: one file, or where protobuf cannot hold it, the model and one data file."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir

from zeropoint.engine.weights import WeightFile, map_file
from zeropoint.engine.wire import Pieces, bytes_field_head, rewrite_tensors

# Protobuf messages end at 2 GiB; room is left for readers that count what is around the message.
_INLINE_LIMIT = (2 << 30) - (64 << 20)

# Field number of onnx.TensorProto.
_RAW_DATA = 9


def save_model(
    model: ir.Model, path: Path, *, inline_limit: int = _INLINE_LIMIT
) -> tuple[Path, ...]:
    """Write a model; the same model gives the same bytes.

    Weights pass through one at a time, so that memory does not grow with them.

    Args:
        model: The model; it is not changed.
        path: Where to write it; folders are made. Data that one file cannot hold go to a file of
            the same name with ".data" appended.
        inline_limit: Bytes up to which everything is put into one file.

    Returns:
        The files written, the model first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = WeightFile(path.with_name(f"{path.name}.data"))
    skeleton = memoryview(_serialized(model, data))
    sources = {data.path.name: data.view(), **_attribute_data(model)}
    pieces = rewrite_tensors(skeleton, partial(_inlined, sources), threshold=len(skeleton) + 1)
    if sum(piece.nbytes for piece in pieces) <= inline_limit:
        _write(path, pieces)
        data.path.unlink()
        return (path,)
    del sources[data.path.name]
    _write(path, rewrite_tensors(skeleton, partial(_inlined, sources), threshold=len(skeleton) + 1))
    return (path, data.path)


def _serialized(model: ir.Model, data: WeightFile) -> bytes:
    """Return the model with its weights in `data`."""
    values = [value for graph in model.graphs() for value in graph.initializers.values()]
    tensors = [value.const_value for value in values]
    try:
        for value, tensor in zip(values, tensors, strict=True):
            value.const_value = None if tensor is None else data.store(tensor)
        serialized = ir.serde.serialize_model(model).SerializeToString()
    finally:
        for value, tensor in zip(values, tensors, strict=True):
            value.const_value = tensor
    return serialized


def _attribute_data(model: ir.Model) -> dict[str, memoryview]:
    """Return the files that tensors in attributes lie in, by location."""
    files: dict[str, memoryview] = {}
    for node in model.graph.all_nodes():
        for attribute in node.attributes.values():
            tensor = attribute.value if attribute.type is ir.AttributeType.TENSOR else None
            if isinstance(tensor, ir.ExternalTensor) and str(tensor.location) not in files:
                files[str(tensor.location)] = map_file(Path(tensor.path))
    return files


def _inlined(sources: Mapping[str, memoryview], view: memoryview) -> Pieces | None:
    """Return a serialized TensorProto with its data inside, if they are in one of `sources`."""
    tensor = onnx.TensorProto.FromString(bytes(view))
    entries = {entry.key: entry.value for entry in tensor.external_data}
    source = sources.get(entries.get("location", ""))
    if tensor.data_location != onnx.TensorProto.EXTERNAL or source is None:
        return None
    begin, length = int(entries["offset"]), int(entries["length"])
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    head = tensor.SerializeToString() + bytes_field_head(_RAW_DATA, length)
    return [memoryview(head), source[begin : begin + length]]


def _write(path: Path, pieces: Pieces) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
