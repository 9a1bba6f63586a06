"""Which files an ONNX file names as external data.

A walk over the protobuf wire format that descends only where tensors can be and seeks over all
the rest, weights above all: memory stays flat and most of the file is never read. Field numbers
are those of onnx.proto.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from io import BufferedReader
from pathlib import Path

from zeropoint.client.errors import ModelError


class _Message(Enum):
    MODEL = auto()
    TRAINING = auto()
    FUNCTION = auto()
    GRAPH = auto()
    NODE = auto()
    ATTRIBUTE = auto()
    SPARSE_TENSOR = auto()
    TENSOR = auto()


# Field number to kind of message, for each message on a path to a tensor.
_CHILDREN: Mapping[_Message, Mapping[int, _Message]] = {
    _Message.MODEL: {7: _Message.GRAPH, 20: _Message.TRAINING, 25: _Message.FUNCTION},
    _Message.TRAINING: {1: _Message.GRAPH, 2: _Message.GRAPH},
    _Message.FUNCTION: {7: _Message.NODE, 11: _Message.ATTRIBUTE},
    _Message.GRAPH: {1: _Message.NODE, 5: _Message.TENSOR, 15: _Message.SPARSE_TENSOR},
    _Message.NODE: {5: _Message.ATTRIBUTE},
    _Message.ATTRIBUTE: {
        5: _Message.TENSOR,
        6: _Message.GRAPH,
        10: _Message.TENSOR,
        11: _Message.GRAPH,
        22: _Message.SPARSE_TENSOR,
        23: _Message.SPARSE_TENSOR,
    },
    _Message.SPARSE_TENSOR: {1: _Message.TENSOR, 2: _Message.TENSOR},
}
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 8, 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_EXTERNAL = 1
_LOCATION = b"location"  # what has it nowhere, as most nodes, need not be taken apart
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_MAX_DEPTH = 100
_MAX_STRING = 1 << 16
_MAX_PEEK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTensor:
    """A tensor whose bytes stand in another file.

    Attributes:
        name: Name of the tensor.
        location: The file, as the model writes it: relative to the model's folder.
    """

    name: str
    location: str


def external_tensors(path: Path) -> Iterator[ExternalTensor]:
    """Yield the tensors of an ONNX file that stand in other files.

    Args:
        path: The ONNX file.

    Raises:
        ModelError: the file is no protobuf message.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            yield from _walk(_Wire(file), _Message.MODEL, path.stat().st_size, 0)
        except _MalformedError as error:
            message = f"{path} is not an ONNX model: {error} at byte {file.tell()}."
            raise ModelError("MODEL_INVALID", message, {"path": str(path)}) from None


class _MalformedError(Exception):
    """The bytes are no protobuf message."""


class _Wire:
    """Reads fields of a protobuf message from a file."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file

    def fields(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield (field number, value, end of the field) up to `end`, a position in the file.

        The value of a length-delimited field is the position where it starts; the file stands
        there too. Whatever the caller reads, the next field is found.
        """
        while (position := self._file.tell()) < end:
            tag = self._varint()
            kind, value = tag & 7, 0
            if kind == _VARINT:
                value = self._varint()
                after = self._file.tell()
            elif kind == _BYTES:
                size = self._varint()
                value = self._file.tell()
                after = value + size
            elif kind in (_FIXED64, _FIXED32):
                after = self._file.tell() + (8 if kind == _FIXED64 else 4)
            else:
                raise _MalformedError(f"unexpected wire type {kind}")
            if after > end or tag >> 3 == 0:
                raise _MalformedError(f"a field that starts at byte {position} runs too far")
            yield tag >> 3, value, after
            self._file.seek(after)

    def text(self, end: int) -> str:
        """Return the string from the file's position to `end`."""
        size = end - self._file.tell()
        if size > _MAX_STRING:
            raise _MalformedError(f"a name of {size} bytes")
        return self._file.read(size).decode("utf-8", errors="replace")

    def may_hold(self, word: bytes, end: int) -> bool:
        """Return False if the bytes up to `end` do not hold `word`."""
        start = self._file.tell()
        if end - start > _MAX_PEEK:
            return True
        holds = word in self._file.read(end - start)
        self._file.seek(start)
        return holds

    def _varint(self) -> int:
        result = 0
        for shift in range(0, 70, 7):
            byte = self._file.read(1)
            if not byte:
                raise _MalformedError("the file ends too early")
            result |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return result
        raise _MalformedError("a number is too long")


def _walk(wire: _Wire, kind: _Message, end: int, depth: int) -> Iterator[ExternalTensor]:
    if depth > _MAX_DEPTH:
        raise _MalformedError("graphs are nested too deeply")
    children = _CHILDREN[kind]
    for number, _, field_end in wire.fields(end):
        child = children.get(number)
        if child is None or not wire.may_hold(_LOCATION, field_end):
            continue
        if child is _Message.TENSOR:
            yield from _tensor(wire, field_end)
        else:
            yield from _walk(wire, child, field_end, depth + 1)


def _tensor(wire: _Wire, end: int) -> Iterator[ExternalTensor]:
    name = location = ""
    external = False
    for number, value, field_end in wire.fields(end):
        if number == _TENSOR_NAME:
            name = wire.text(field_end)
        elif number == _TENSOR_EXTERNAL_DATA:
            key, text = _entry(wire, field_end)
            location = text if key == _LOCATION.decode() else location
        elif number == _TENSOR_DATA_LOCATION:
            external = value == _EXTERNAL
    if external and location:
        yield ExternalTensor(name=name, location=location)


def _entry(wire: _Wire, end: int) -> tuple[str, str]:
    key = text = ""
    for number, _, field_end in wire.fields(end):
        if number == _ENTRY_KEY:
            key = wire.text(field_end)
        elif number == _ENTRY_VALUE:
            text = wire.text(field_end)
    return key, text
