"""Writing a model: one file, or where protobuf cannot hold it, the model and one data file."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import onnx
import onnx_ir as ir

from zeropoint.engine.files.weight_file import StoredTensor, WeightFile
from zeropoint.engine.wire import Pieces, bytes_field_head, map_file, rewrite_tensors

# Protobuf messages end at 2 GiB; room is left for readers that count what is around the message.
ONE_FILE_BYTES = (2 << 30) - (64 << 20)
"""Bytes of a model up to which it fits into one file."""

# Field number of onnx.TensorProto.
_RAW_DATA = 9


def save_model(
    model: ir.Model,
    path: Path,
    *,
    declared: Mapping[str, onnx.ValueInfoProto] = MappingProxyType({}),
    inline_limit: int = ONE_FILE_BYTES,
) -> tuple[Path, ...]:
    """Write a model; the same model gives the same bytes.

    Weights pass through one at a time, so that memory does not grow with them.

    Args:
        model: The model; it is not changed.
        path: Where to write it; folders are made. Data that one file cannot hold go to a file of
            the same name with ".data" appended.
        declared: What is to be said of inputs and outputs, by name, beyond what the graph knows.
        inline_limit: Bytes up to which everything is put into one file.

    Returns:
        The files written, the model first. Where all data are small, that is the only one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    spill = WeightFile(path.with_name(f"{path.name}.memory"))
    try:
        attributes = _attribute_files(model)
        pieces = _inlined(_serialized(model, partial(_by_path, spill), declared), attributes)
        if sum(piece.nbytes for piece in pieces) <= inline_limit:
            _write(path, pieces)
            return (path,)
        data = WeightFile(path.with_name(f"{path.name}.data"))
        _write(path, _inlined(_serialized(model, data.store, declared), attributes))
        if data.path.stat().st_size == 0:
            data.path.unlink()
            return (path,)
        return (path, data.path)
    finally:
        spill.path.unlink()


def _by_path(spill: WeightFile, tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """Return a large tensor under the absolute path of its file: `spill`, if it had none."""
    stored = tensor if isinstance(tensor, ir.ExternalTensor) else spill.store(tensor)
    if not isinstance(stored, ir.ExternalTensor):
        return stored
    return StoredTensor.of(stored, Path(stored.path).absolute())


def _serialized(
    model: ir.Model,
    put: Callable[[ir.TensorProtocol], ir.TensorProtocol],
    declared: Mapping[str, onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """Return the model serialized with `put` done to each initializer."""
    values = [value for graph in model.graphs() for value in graph.initializers.values()]
    tensors = [value.const_value for value in values]
    try:
        for value, tensor in zip(values, tensors, strict=True):
            value.const_value = None if tensor is None else put(tensor)
        proto = ir.serde.serialize_model(model)
    finally:
        for value, tensor in zip(values, tensors, strict=True):
            value.const_value = tensor
    for info in (*proto.graph.input, *proto.graph.output):
        if info.name in declared:
            _declare(info, declared[info.name])
    return proto


def _declare(info: onnx.ValueInfoProto, declared: onnx.ValueInfoProto) -> None:
    """Say of a value what is declared of it; a type or a shape that is not is left as it is."""
    kind = onnx.TypeProto()
    kind.CopyFrom(info.type)
    info.CopyFrom(declared)
    open_shape = kind.HasField("tensor_type") and not declared.type.tensor_type.HasField("shape")
    if not declared.HasField("type") or open_shape:
        info.type.MergeFrom(kind)


def _attribute_files(model: ir.Model) -> dict[str, str]:
    """Return the files that tensors in attributes lie in, by location."""
    files: dict[str, str] = {}
    for node in model.graph.all_nodes():
        for attribute in node.attributes.values():
            tensor = attribute.value if attribute.type is ir.AttributeType.TENSOR else None
            if isinstance(tensor, ir.ExternalTensor):
                files[str(tensor.location)] = str(Path(tensor.path).absolute())
    return files


def _inlined(proto: onnx.ModelProto, attributes: Mapping[str, str]) -> Pieces:
    """Return the model with what lies at absolute paths and in files of attributes inside."""
    files: dict[str, memoryview] = {}

    def inline(view: memoryview) -> Pieces | None:
        tensor = onnx.TensorProto.FromString(bytes(view))
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = attributes.get(entries.get("location", ""), entries.get("location", ""))
        if tensor.data_location != onnx.TensorProto.EXTERNAL or not Path(location).is_absolute():
            return None
        if location not in files:
            files[location] = map_file(Path(location))
        begin, length = int(entries["offset"]), int(entries["length"])
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        head = tensor.SerializeToString() + bytes_field_head(_RAW_DATA, length)
        return [memoryview(head), files[location][begin : begin + length]]

    skeleton = memoryview(proto.SerializeToString())
    return rewrite_tensors(skeleton, inline, threshold=len(skeleton) + 1)


def _write(path: Path, pieces: Pieces) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
