"""Which files an ONNX file names as external data.

A walk that descends only where tensors can be. Field numbers are those of onnx.proto.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from zeropoint.client.errors import ModelError
from zeropoint.client.protobuf_fields import Fields, MalformedError


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

_MAX_DEPTH = 100


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
            yield from _walk(Fields(file), _Message.MODEL, path.stat().st_size, 0)
        except MalformedError as error:
            message = f"{path} is not an ONNX model: {error} at byte {file.tell()}."
            raise ModelError("MODEL_INVALID", message, {"path": str(path)}) from None


def _walk(wire: Fields, kind: _Message, end: int, depth: int) -> Iterator[ExternalTensor]:
    if depth > _MAX_DEPTH:
        raise MalformedError("graphs are nested too deeply")
    children = _CHILDREN[kind]
    for number, _, field_end in wire.fields(end):
        child = children.get(number)
        if child is None or not wire.may_hold(_LOCATION, field_end):
            continue
        if child is _Message.TENSOR:
            yield from _tensor(wire, field_end)
        else:
            yield from _walk(wire, child, field_end, depth + 1)


def _tensor(wire: Fields, end: int) -> Iterator[ExternalTensor]:
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


def _entry(wire: Fields, end: int) -> tuple[str, str]:
    key = text = ""
    for number, _, field_end in wire.fields(end):
        if number == _ENTRY_KEY:
            key = wire.text(field_end)
        elif number == _ENTRY_VALUE:
            text = wire.text(field_end)
    return key, text
