"""The files that make up the user's model, and their bytes in chunks."""

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from google.protobuf.message import EncodeError

from zeropoint.client.errors import LimitError, ModelError, ModelFileError, OptionError
from zeropoint.client.external_data import external_tensors

CHUNK_BYTES = 1 << 20
"""Most bytes of data in one message of the contract."""


@runtime_checkable
class SerializableModel(Protocol):
    """A model in memory, such as `onnx.ModelProto`."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - the name that protobuf gives it
        """Return the model as the bytes of an ONNX file."""


ModelInput = str | os.PathLike[str] | SerializableModel | bytes
"""Path of an ONNX file, or a model in memory: an `onnx.ModelProto`, or the bytes of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of the user's model.

    Attributes:
        path: Where it is.
        name: What the manifest calls it: relative to the model's folder, as the model writes it.
        size: Bytes.
        sha256: Digest of the whole file, 32 bytes.
    """

    path: Path
    name: str
    size: int
    sha256: bytes


@contextlib.contextmanager
def open_model(model: object) -> Iterator[tuple[SourceFile, ...]]:
    """Give the files of a model: the ONNX file first, then its external data.

    Args:
        model: Path of an ONNX file, or a model in memory, as for `model_path`.

    Raises:
        ModelError: a file is missing or cannot be read, or the model names a file outside its
            folder.
        LimitError: a model in memory is too large to be serialized.
        OptionError: `model` is neither a path nor a model.
    """
    with model_path(model) as path:
        yield _source_files(path)


@contextlib.contextmanager
def model_path(model: object) -> Iterator[Path]:
    """Give the path of a model's ONNX file.

    Args:
        model: That path; or a model in memory, which is written to a private temporary folder for
            as long as the context lasts.

    Raises:
        LimitError: a model in memory is too large to be serialized.
        OptionError: `model` is neither a path nor a model.
    """
    if isinstance(model, str | os.PathLike):
        yield Path(model)
        return
    if not isinstance(model, SerializableModel | bytes):
        message = f"model_input must be a path or an onnx.ModelProto, not {type(model).__name__}."
        raise OptionError("OPTION_INVALID", message, {"option": "model_input"})
    with tempfile.TemporaryDirectory(prefix="zeropoint-") as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(model if isinstance(model, bytes) else _serialized(model))
        yield path


def read_chunks(file: SourceFile, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of a file, at most 1 MiB at a time.

    Raises:
        ModelError: the file cannot be read, or is no longer as long as it was.
    """
    try:
        with file.path.open("rb") as stream:
            stream.seek(offset)
            while offset < file.size:
                data = stream.read(min(CHUNK_BYTES, file.size - offset))
                if not data:
                    message = f"{file.path} became shorter while it was being sent."
                    raise ModelError("UPLOAD_INCOMPLETE", message, {"path": str(file.path)})
                yield offset, data
                offset += len(data)
    except OSError as error:
        raise unreadable(file.path, error) from error


def _serialized(model: SerializableModel) -> bytes:
    try:
        return model.SerializeToString()
    except (EncodeError, ValueError) as error:
        message = (
            f"The model in memory cannot be serialized ({error}); protobuf takes at most 2 GB. "
            "Save it with external data and give its path."
        )
        raise LimitError("MODEL_TOO_LARGE", message) from error


def _source_files(path: Path) -> tuple[SourceFile, ...]:
    try:
        first = source_file(path, path.name)
        tensors = {tensor.location: tensor.name for tensor in external_tensors(path)}
    except OSError as error:
        raise unreadable(path, error) from error
    tensors.pop(path.name, None)
    return first, *(_external_file(path, *item) for item in tensors.items())


def _external_file(model: Path, location: str, tensor: str) -> SourceFile:
    metadata = {"location": location, "tensor": tensor}
    relative = PurePosixPath(location)
    if relative.is_absolute() or Path(location).is_absolute() or ".." in relative.parts:
        message = (
            f"The tensor {tensor!r} of {model} points to {location!r}; external data must be "
            "inside the model's folder. Move the file there and save the model again."
        )
        raise ModelError("MANIFEST_INVALID", message, metadata)
    try:
        return source_file(model.parent / location, location)
    except OSError as error:
        message = (
            f"The external data file {location!r} of the tensor {tensor!r} cannot be read from "
            f"{model.parent}: {error.strerror or error}. Put it beside the model; for a model in "
            "memory give the path of its file instead."
        )
        metadata["path"] = str(model.parent / location)
        raise ModelFileError("FILE_NOT_FOUND", message, metadata) from error


def source_file(path: Path, name: str) -> SourceFile:
    """Return a file under the name that a manifest gives it.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    if path.exists() and not path.is_file():  # a pipe or a device could be read for ever
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
        return SourceFile(path=path, name=name, size=stream.tell(), sha256=digest)


def unreadable(path: Path, error: OSError) -> ModelFileError:
    """Return what to raise where a file of the model cannot be read."""
    message = f"The model file {path} cannot be read: {error.strerror or error}."
    return ModelFileError("FILE_NOT_FOUND", message, {"path": str(path)})
