"""Loading a model: from the user's file to a graph whose weights stay on disk."""

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
import onnx_ir as ir

from zeropoint.engine import report
from zeropoint.engine.errors import ModelError
from zeropoint.engine.functions import check_functions
from zeropoint.engine.names import NodeName, spoken_name
from zeropoint.engine.origins import add_origins
from zeropoint.engine.report import Signature
from zeropoint.engine.signature import read_signature
from zeropoint.engine.sparse import make_dense
from zeropoint.engine.weights import INLINE_BYTES, WeightFile, map_file, use_stored_tensors
from zeropoint.engine.wire import Field, Pieces, WireError, fields, rewrite_tensors

# Field numbers of onnx.TensorProto that hold little-endian data.
_FLOAT_DATA, _RAW_DATA = 4, 9

# For models without any operator of the default domain: the first with per-channel scales.
_SMALLEST_USEFUL_OPSET = 13

# Heads of files that are often sent by mistake.
_FOREIGN = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"PK\x03\x04": "a zip archive, such as a PyTorch checkpoint",
    b"\x80\x02": "a Python pickle, such as a PyTorch checkpoint",
    b"\x89HDF": "an HDF5 file, such as a Keras model",
    b"<": "an HTML or XML page",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model of the user's, as it is.

    Attributes:
        model: The graph. Every node has a name, unique in the model; tensors of 1 KiB and more are
            external and lie in `weights`.
        source: The user's file.
        runnable: The same model for ONNX Runtime to open: with its weights in `weights`, a session
            costs 1.1 times the weights instead of 2 or 3 times.
        weights: Where the weights are, and where further ones can be put.
        sha256: SHA-256 of the user's file, 32 bytes.
        model_bytes: Bytes of the user's model, external data included.
        opset: Version of the default operator set.
        signature: Inputs that must be fed, and outputs.
        nodes: The user's nodes in their order, those of subgraphs after the node that holds them.
        warnings: What of the file is not taken over.
    """

    model: ir.Model
    source: Path
    runnable: Path
    weights: WeightFile
    sha256: bytes
    model_bytes: int
    opset: int
    signature: Signature
    nodes: tuple[NodeName, ...]
    warnings: tuple[report.Warning, ...]


def load_model(path: Path, workspace: Path) -> LoadedModel:
    """Load a model; the user's files are read only.

    Args:
        path: The ONNX file; external data lies beside it.
        workspace: A folder for the job's own files.

    Raises:
        ModelError: MODEL_INVALID, the file is no ONNX model, is damaged, or its external data is;
            MODEL_UNSUPPORTED, the model is sound but outside of what can be taken.
    """
    sha256 = _digest(path)
    weights = WeightFile(workspace / "weights.data")
    runnable = workspace / "model.onnx"
    external_bytes = _split(path, runnable, weights)
    proto = _parse(runnable)
    model = _graph_of(proto, weights)
    check_functions(model)
    return LoadedModel(
        model=model,
        source=path,
        runnable=runnable,
        weights=weights,
        sha256=sha256,
        model_bytes=path.stat().st_size + external_bytes,
        opset=model.opset_imports[""],
        signature=read_signature(model.graph),
        nodes=_settle_names(model),
        warnings=_left_out(proto),
    )


def reload_graph(loaded: LoadedModel) -> ir.Model:
    """Return a fresh `LoadedModel.model`."""
    model = _graph_of(_parse(loaded.runnable), loaded.weights)
    _settle_names(model)
    return model


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise _invalid(f"{path.name} cannot be read: {error.strerror}.") from error


def _split(source: Path, runnable: Path, weights: WeightFile) -> int:
    """Write the model with its weights in `weights`; return the bytes that were external."""
    view = map_file(source)
    if not view:
        raise _invalid(f"{source.name} is empty.")
    _refuse_foreign(source.name, view)
    mover = _Mover(source.parent, weights)
    try:
        pieces = rewrite_tensors(view, mover.move, threshold=INLINE_BYTES)
    except WireError as error:
        raise _invalid(f"{source.name} is no ONNX model, or is cut off: {error}.") from error
    with runnable.open("wb") as file:
        file.writelines(pieces)
    return mover.external_bytes


def _refuse_foreign(name: str, view: memoryview) -> None:
    head = bytes(view[:32])
    if head[4:8] == b"ORTM":
        raise _invalid(
            f"{name} is in ONNX Runtime's own format; send the .onnx file that it was made from."
        )
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic):
            raise _invalid(f"{name} is {kind}; an ONNX model is needed.")


class _Mover:
    """Moves the data of tensors to one file, from the model or from its external data."""

    def __init__(self, folder: Path, weights: WeightFile) -> None:
        self._folder = folder
        self._weights = weights
        self.external_bytes = 0

    def move(self, view: memoryview) -> Pieces | None:
        """Return a serialized TensorProto with its data moved, or None to keep it as it is."""
        payload = _payload(view)
        if payload is None:
            tensor = onnx.TensorProto.FromString(bytes(view))
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                return None
            return self._move_external(tensor)
        rest = bytes(view[: payload.start]) + bytes(view[payload.end :])
        tensor = onnx.TensorProto.FromString(rest)
        if payload.number == _FLOAT_DATA and tensor.data_type != onnx.TensorProto.FLOAT:
            return None
        data = view[payload.begin : payload.end]
        if len(data) != _data_bytes(tensor):
            raise _invalid(
                f"Tensor {tensor.name!r} has {len(data)} bytes of data; its type and shape need "
                f"{_data_bytes(tensor)}."
            )
        return _referring(tensor, self._weights, self._weights.append(data))

    def _move_external(self, tensor: onnx.TensorProto) -> Pieces:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = self._located(location, tensor.name)
        size = _data_bytes(tensor)
        offset = int(entries.get("offset") or 0)
        if offset < 0 or offset + size > file.stat().st_size:
            raise _invalid(
                f"External data {location!r} is cut off: tensor {tensor.name!r} needs bytes "
                f"{offset} to {offset + size}, the file has {file.stat().st_size}."
            )
        self.external_bytes += size
        return _referring(tensor, self._weights, self._weights.copy(file, offset, size))

    def _located(self, location: str, name: str) -> Path:
        """Return the file of external data, which must lie in the model's folder or below."""
        relative = PurePosixPath(location)
        file = self._folder / relative
        inside = self._folder.resolve() in file.resolve().parents
        if not location or relative.is_absolute() or not inside:
            raise _invalid(
                f"Tensor {name!r} refers to external data at {location!r}; it must lie in the "
                "model's own folder."
            )
        if not file.is_file():
            raise _invalid(f"External data {location!r} of tensor {name!r} is missing.")
        return file


def _payload(view: memoryview) -> Field | None:
    """Return the one field that holds all data of a serialized TensorProto, if it is one."""
    found = [
        field
        for field in fields(view)
        if field.is_bytes and field.number in (_FLOAT_DATA, _RAW_DATA)
    ]
    return found[0] if len(found) == 1 else None


def _data_bytes(tensor: onnx.TensorProto) -> int:
    if min(tensor.dims, default=0) < 0 or tensor.data_type not in set(ir.DataType):
        raise _invalid(f"Tensor {tensor.name!r} has an impossible type or shape.")
    bits = ir.DataType(tensor.data_type).bitwidth
    return -(-math.prod(tensor.dims) * bits // 8)


def _referring(tensor: onnx.TensorProto, weights: WeightFile, offset: int) -> Pieces:
    """Return a TensorProto whose data lie in `weights`."""
    entries = {"location": weights.path.name, "offset": offset, "length": _data_bytes(tensor)}
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return [memoryview(tensor.SerializeToString())]


def _parse(runnable: Path) -> onnx.ModelProto:
    try:
        proto = onnx.ModelProto.FromString(runnable.read_bytes())
    except Exception as error:
        raise _invalid(f"The file is no ONNX model, or is damaged: {error}.") from error
    if not proto.HasField("graph") or not proto.graph.output:
        raise _invalid("The file is no ONNX model: it has no graph with outputs.")
    return proto


def _left_out(proto: onnx.ModelProto) -> tuple[report.Warning, ...]:
    if not proto.training_info:
        return ()
    return (
        report.Warning(code="TRAINING_INFO_LEFT_OUT", message="The training graph is left out."),
    )


def _graph_of(proto: onnx.ModelProto, weights: WeightFile) -> ir.Model:
    make_dense(proto, weights)
    try:
        model = ir.serde.deserialize_model(proto)
    except Exception as error:
        raise _invalid(f"The graph cannot be read: {_root(error)}.") from error
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        ir.external_data.set_base_dir(graph, weights.path.parent)
    for graph in model.graphs():
        use_stored_tensors(graph)
    _settle_opset(model)
    return model


def _settle_opset(model: ir.Model) -> None:
    """Put the version of the default operator set under its one name, ""."""
    imports = model.opset_imports
    if "ai.onnx" in imports:
        imports[""] = imports.pop("ai.onnx")
    if "" not in imports:
        if any(node.domain == "" for node in model.graph.all_nodes()):
            raise _invalid("The model does not say which opset it uses.")
        imports[""] = _SMALLEST_USEFUL_OPSET


def _settle_names(model: ir.Model) -> tuple[NodeName, ...]:
    """Give each node a unique name and its origin; return the names that the user knows."""
    nodes = list(model.graph.all_nodes())
    spoken = tuple(NodeName(spoken_name(node), node.op_type) for node in nodes)
    taken = {name.name for name in spoken}
    copies: Counter[str] = Counter()
    for node, (name, _) in zip(nodes, spoken, strict=True):
        add_origins(node, (name,))
        node.name = name
        while copies[name] and node.name in taken:
            copies[name] += 1
            node.name = f"{name}#{copies[name]}"
        taken.add(node.name)
        copies[name] += not copies[name]
    return spoken


def _root(error: BaseException) -> BaseException:
    """Return what an error goes back to: what is around it says where in the graph, at length."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _invalid(message: str) -> ModelError:
    return ModelError("MODEL_INVALID", message)
