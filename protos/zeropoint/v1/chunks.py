"""Chunks by hand: the messages that carry bytes, without the copies that protobuf makes of them.

Nearly all bytes of a stream are in `BatchChunk` and `ModelChunk`. As messages they would be copied
three times on the way out and twice on the way in. The encoding here is that of protobuf: each side
may use it, or not, whatever the other does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

_CHUNKS = ("batch_chunk", "model_chunk", "candidate_chunk")
_VARINT, _BYTES = 0, 2
_SHORT, _LONG = 5, 9  # most bytes of a tag or a length, and of a number
_WORTH_BYTES = 4 << 10
"""Shorter messages are left to protobuf."""

_MessageT = TypeVar("_MessageT", bound=Message)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A `BatchChunk`, or a `ModelChunk`, as the field of a stream's message.

    Attributes:
        field: Name of the field: "batch_chunk", "model_chunk", "candidate_chunk".
        data: The bytes.
        offset: Where they belong.
        file: To which file of the manifest; 0 in a batch.
    """

    field: str
    data: bytes | memoryview
    offset: int
    file: int = 0


class ChunkCodec(Generic[_MessageT]):
    """To and from bytes, for one type of message whose field `message` may be a chunk."""

    def __init__(self, message: type[_MessageT]) -> None:
        """Take the numbers of the fields from the contract."""
        self._message = message
        fields = [field for field in message.DESCRIPTOR.fields if field.name in _CHUNKS]
        self._tags = {field.name: _tag(field.number, _BYTES) for field in fields}
        self._inner = {field.name: _Inner.of(field.message_type) for field in fields}
        self._fields = {self._tags[name]: name for name in self._tags}

    def encode(self, message: _MessageT | Chunk) -> bytes:
        """Return the bytes of a message; those of a chunk are copied once."""
        if not isinstance(message, Chunk):
            return message.SerializeToString()
        inner = self._inner[message.field]
        head = bytearray()
        for tag, number in ((inner.file, message.file), (inner.offset, message.offset)):
            if number:  # as in all of proto3, a zero is left out
                head += _varint(tag) + _varint(number)
        if message.data:
            head += _varint(inner.data) + _varint(len(message.data))
        size = len(head) + len(message.data)
        return b"".join((_varint(self._tags[message.field]), _varint(size), head, message.data))

    def decode(self, data: bytes) -> _MessageT | Chunk:
        """Return a message; a large chunk as views into `data`, everything else by protobuf.

        Raises:
            DecodeError: `data` is no such message.
        """
        chunk = self._chunk(data) if len(data) >= _WORTH_BYTES else None
        return self._message.FromString(data) if chunk is None else chunk

    def _chunk(self, data: bytes) -> Chunk | None:
        """Return the chunk that is all of the message; None for anything out of the ordinary."""
        tag, at = _read_varint(data, 0, _SHORT)
        field = self._fields.get(tag)
        if field is None:
            return None
        size, at = _read_varint(data, at, _SHORT)
        if at + size != len(data):
            return None
        return self._inner[field].read(field, data, at)


@dataclass(frozen=True, slots=True)
class _Inner:
    """Tags of a chunk's own fields; -1 for one that it does not have."""

    file: int
    offset: int
    data: int

    @classmethod
    def of(cls, descriptor: Any) -> "_Inner":
        fields: Mapping[str, Any] = descriptor.fields_by_name
        return cls(
            file=_tag(fields["file"].number, _VARINT) if "file" in fields else -1,
            offset=_tag(fields["offset"].number, _VARINT),
            data=_tag(fields["data"].number, _BYTES),
        )

    def read(self, field: str, data: bytes, at: int) -> Chunk | None:
        """Return the chunk from `at` on if its bytes are the last that it has."""
        numbers = {self.file: 0, self.offset: 0}
        while at < len(data):
            tag, at = _read_varint(data, at, _SHORT)
            value, at = _read_varint(data, at, _SHORT if tag == self.data else _LONG)
            if tag == self.data:
                if at + value != len(data) or numbers[self.file] >= 1 << 32:
                    return None
                return Chunk(field, memoryview(data)[at:], numbers[self.offset], numbers[self.file])
            if tag not in numbers or tag < 0:
                return None
            numbers[tag] = value
        return None


def _tag(number: int, wire_type: int) -> int:
    return number << 3 | wire_type


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, at: int, most: int) -> tuple[int, int]:
    """Return a number and where it ends; one that is cut off or too long is -1, which is no tag."""
    value = 0
    for index, byte in enumerate(data[at : at + most]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    return -1, len(data)
