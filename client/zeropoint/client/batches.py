"""Calibration batches: from whatever the user's reader gives to bytes and their digest."""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zeropoint.client.errors import DataError, OptionError
from zeropoint.client.model_files import CHUNK_BYTES

# onnx.TensorProto.DataType by name of the numpy type; bfloat16 and the like come from ml_dtypes.
ELEMENT_TYPES: Mapping[str, int] = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 12,
    "uint64": 13,
    "complex64": 14,
    "complex128": 15,
    "bfloat16": 16,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
}
"""Numbers of onnx.TensorProto.DataType, by the name of the numpy type."""

_TEXT = 8  # of onnx.TensorProto.DataType
_TEXT_KINDS = "USO"  # numpy's kinds that may hold text

Batch = Mapping[str, ArrayLike] | NDArray[Any]
"""Arrays by input name; an array alone stands for the only input of a model."""


@runtime_checkable
class DataReader(Protocol):
    """What `onnxruntime.quantization` calls a CalibrationDataReader."""

    def get_next(self) -> Mapping[str, ArrayLike] | None:
        """Return the next batch, None after the last."""


BatchSource = DataReader | Iterable[Batch]
"""A reader with `get_next()`, or any iterable of batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedTensor:
    """One array of a batch, ready to be sent.

    Attributes:
        name: Model input that it feeds.
        element_type: Number of onnx.TensorProto.DataType.
        shape: Sizes, outermost first.
        data: The array's own memory, row-major and little-endian; of text, each element's length
            in bytes as a uint32 and its UTF-8.
    """

    name: str
    element_type: int
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedBatch:
    """One batch, ready to be sent.

    Attributes:
        tensors: In the order in which their bytes are sent.
        size: Bytes of all of them.
        sha256: Digest of those bytes, 32 bytes.
    """

    tensors: tuple[EncodedTensor, ...]
    size: int
    sha256: bytes

    def chunks(self) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield (offset, bytes), 1 MiB at a time; small tensors share a chunk.

        What is yielded may be the memory of an array.
        """
        offset, room = 0, CHUNK_BYTES
        parts: list[memoryview] = []
        for tensor in self.tensors:
            rest = tensor.data
            while len(rest):
                parts.append(rest[:room])
                rest = rest[room:]
                room -= len(parts[-1])
                if not room:
                    yield offset, _joined(parts)
                    offset, room = offset + CHUNK_BYTES, CHUNK_BYTES
                    parts.clear()
        if parts:
            yield offset, _joined(parts)


def _joined(parts: Sequence[memoryview]) -> bytes | memoryview:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def iterate(source: BatchSource) -> Iterator[object]:
    """Return the batches of a reader or an iterable, each taken only when it is asked for.

    Raises:
        OptionError: `source` is neither.
    """
    if isinstance(source, DataReader):
        return _drain(source)
    if isinstance(source, Iterable) and not isinstance(source, Mapping | str | bytes):
        return iter(source)
    message = (
        "Calibration data must be an object with get_next() or an iterable of dicts, "
        f"not {type(source).__name__}. One batch alone goes into a list: [batch]."
    )
    raise OptionError("OPTION_INVALID", message, {"option": "calibration_data_reader"})


def _drain(reader: DataReader) -> Iterator[object]:
    while (batch := reader.get_next()) is not None:
        yield batch


def count(source: object) -> int:
    """Return how many batches there are, 0 where the source does not tell."""
    try:
        return len(source)  # type: ignore[arg-type]  # asking is the way to find out
    except (TypeError, NotImplementedError, AttributeError):  # readers inherit a raising __len__
        return 0


def encode(batch: object, number: int, inputs: Sequence[str]) -> EncodedBatch:
    """Return a batch as bytes with their digest; arrays are not copied where they need not be.

    Args:
        batch: Arrays by input name, or one array for a model with one input.
        number: Position of the batch, from 1, for messages.
        inputs: Names of the model's inputs.

    Raises:
        DataError: the batch is neither, or an array has a type that ONNX does not know.
    """
    if isinstance(batch, np.ndarray) and len(inputs) == 1:
        batch = {inputs[0]: batch}
    if not isinstance(batch, Mapping):
        names = ", ".join(inputs)
        message = (
            f"Batch {number} is of type {type(batch).__name__}; "
            f"give a dict of arrays by input name ({names})."
        )
        raise DataError("DATA_INVALID", message, {"batch": str(number)})
    encoded = (_encode_tensor(name, value, number) for name, value in batch.items())
    # Sorted, so that equal batches are equal bytes, and known again by their digest.
    tensors = tuple(sorted(encoded, key=attrgetter("name")))
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.data)
    size = sum(len(tensor.data) for tensor in tensors)
    return EncodedBatch(tensors=tensors, size=size, sha256=digest.digest())


def _encode_tensor(name: object, value: Any, number: int) -> EncodedTensor:
    metadata = {"batch": str(number), "input": str(name)}
    if not isinstance(name, str):
        message = f"Batch {number} has the key {name!r}; keys are names of model inputs."
        raise DataError("DATA_INVALID", message, metadata)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        message = f"Batch {number}: {name!r} cannot be made an array: {error}"
        raise DataError("DATA_INVALID", message, metadata) from error
    if array.dtype.kind in _TEXT_KINDS:
        try:
            data = _text(array)
        except ValueError as error:
            message = (
                f"Batch {number}: {name!r} has elements of type {array.dtype} that are no text: "
                f"{error}. Convert it to the type of the model's input."
            )
            raise DataError("DATA_INVALID", message, metadata) from error
        return EncodedTensor(name=name, element_type=_TEXT, shape=array.shape, data=data)
    element_type = ELEMENT_TYPES.get(array.dtype.name)
    if element_type is None:
        message = (
            f"Batch {number}: {name!r} has elements of type {array.dtype}, which has no place in "
            "an ONNX tensor. Convert it to the type of the model's input."
        )
        raise DataError("DATA_INVALID", message, metadata)
    return EncodedTensor(
        name=name, element_type=element_type, shape=array.shape, data=_little_endian(array)
    )


def _little_endian(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array, row-major and little-endian, copied only if they are not."""
    ordered = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    return ordered.reshape(-1).view(np.uint8).data


def _text(array: NDArray[Any]) -> memoryview:
    """Return the bytes of text of any of numpy's types: `str_`, `bytes_`, or objects of both.

    Raises:
        ValueError: with the reason, an element is none, or has no form in UTF-8.
    """
    parts = bytearray()
    for index, item in enumerate(array.reshape(-1).tolist()):
        if not isinstance(item, str | bytes):
            raise ValueError(f"element {index} is of type {type(item).__name__}")
        try:
            data = (item.decode() if isinstance(item, bytes) else item).encode()
        except (UnicodeEncodeError, UnicodeDecodeError) as error:
            raise ValueError(f"element {index} has no form in UTF-8: {error.reason}") from error
        parts += struct.pack("<I", len(data)) + data
    return memoryview(bytes(parts))
