"""Splitting the weights off a model file, at wire level, so that none is held in memory."""

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
import onnx_ir as ir

from zeropoint.engine.errors import ModelError
from zeropoint.engine.files.weight_file import INLINE_BYTES, WeightFile
from zeropoint.engine.wire import Field, Pieces, WireError, fields, map_file, rewrite_tensors

# Field numbers of onnx.TensorProto that hold little-endian data.
_FLOAT_DATA, _RAW_DATA = 4, 9

# Heads of files that are often sent by mistake.
_FOREIGN = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"PK\x03\x04": "a zip archive, such as a PyTorch checkpoint",
    b"\x80\x02": "a Python pickle, such as a PyTorch checkpoint",
    b"\x89HDF": "an HDF5 file, such as a Keras model",
    b"<": "an HTML or XML page",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalData:
    """What of a model lies outside of its file.

    Attributes:
        files: The files, in the order in which the model first names them.
        size: Bytes of the tensors in them.
    """

    files: tuple[Path, ...]
    size: int


def split_weights(source: Path, runnable: Path, weights: WeightFile) -> ExternalData:
    """Write a model whose tensors of 1 KiB and more, and all external ones, are in `weights`.

    It is written to the folder of `weights`; external data lie beside the source.

    Returns:
        The data that were external already.

    Raises:
        ModelError: MODEL_INVALID, the file is no ONNX model or is cut off, or its external data
            are missing, cut off or outside of its folder.
    """
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
    return ExternalData(files=tuple(mover.external_files), size=mover.external_bytes)


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
        self.external_files: dict[Path, None] = {}

    def move(self, view: memoryview) -> Pieces | None:
        """Return a serialized TensorProto with its data moved, or None to keep it as it is."""
        payload = _payload(view)
        if payload is None:
            tensor = _tensor(bytes(view))
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                return None
            return self._move_external(tensor)
        rest = bytes(view[: payload.start]) + bytes(view[payload.end :])
        tensor = _tensor(rest)
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
        entries = {
            entry.key: entry.value
            for entry in tensor.external_data
            if isinstance(entry.value, str)  # what is no UTF-8 comes as bytes
        }
        location = entries.get("location", "")
        file = self._located(location, tensor.name)
        size = _data_bytes(tensor)
        text = entries.get("offset") or "0"
        if not text.isdecimal():
            raise _invalid(f"Tensor {tensor.name!r} has external data at offset {text!r}.")
        offset = int(text)
        if offset + size > file.stat().st_size:
            raise _invalid(
                f"External data {location!r} is cut off: tensor {tensor.name!r} needs bytes "
                f"{offset} to {offset + size}, the file has {file.stat().st_size}."
            )
        self.external_bytes += size
        self.external_files[file] = None
        return _referring(tensor, self._weights, self._weights.copy(file, offset, size))

    def _located(self, location: str, name: str) -> Path:
        """Return the file of external data, which must lie in the model's folder or below."""
        file = self._folder / PurePosixPath(location)
        try:
            inside = self._folder.resolve() in file.resolve().parents
            present = file.is_file()
        except (OSError, ValueError):  # a name that no file system takes
            inside = present = False
        if not location or not inside:
            raise _invalid(
                f"Tensor {name!r} refers to external data at {location!r}; it must lie in the "
                "model's own folder."
            )
        if not present:
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


def _tensor(serialized: bytes) -> onnx.TensorProto:
    try:
        return onnx.TensorProto.FromString(serialized)
    except Exception as error:  # DecodeError is of protobuf, which the engine does not know
        raise WireError("a tensor is damaged") from error


def _data_bytes(tensor: onnx.TensorProto) -> int:
    try:
        bits = ir.DataType(tensor.data_type).bitwidth
    except (TypeError, ValueError) as error:  # none, or text
        raise _invalid(f"Tensor {tensor.name!r} has data of an impossible type.") from error
    if min(tensor.dims, default=0) < 0:
        raise _invalid(f"Tensor {tensor.name!r} has an impossible shape.")
    return -(-math.prod(tensor.dims) * bits // 8)


def _referring(tensor: onnx.TensorProto, weights: WeightFile, offset: int) -> Pieces:
    """Return a TensorProto whose data lie in `weights`."""
    entries = {"location": weights.path.name, "offset": offset, "length": _data_bytes(tensor)}
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return [memoryview(tensor.SerializeToString())]


def _invalid(message: str) -> ModelError:
    return ModelError("MODEL_INVALID", message)
