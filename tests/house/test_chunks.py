"""Chunks coded by hand are the messages that protobuf makes, bit by bit, and reads."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from zeropoint import v1
from zeropoint.v1.chunks import Chunk, ChunkCodec

CASES: list[tuple[type[Message], str]] = [
    (v1.JobRequest, "model_chunk"),
    (v1.JobRequest, "batch_chunk"),
    (v1.JobResponse, "model_chunk"),
    (v1.JobResponse, "candidate_chunk"),
]
LARGE = bytes(range(256)) * 64
OFFSETS = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1))
FILES = st.one_of(st.integers(0, 300), st.integers(0, (1 << 32) - 1))


def by_protobuf(message: type[Message], chunk: Chunk) -> Any:
    fields: dict[str, Any] = {"offset": chunk.offset, "data": bytes(chunk.data)}
    if chunk.field != "batch_chunk":
        fields["file"] = chunk.file
    made: Any = message(**{chunk.field: fields})
    return made


def as_protobuf(message: type[Message], decoded: Message | Chunk) -> Message:
    if isinstance(decoded, Chunk):
        made: Message = by_protobuf(message, decoded)
        return made
    return decoded


@given(case=st.sampled_from(CASES), offset=OFFSETS, file=FILES, size=st.integers(0, len(LARGE)))
def test_the_bytes_are_those_of_protobuf(
    case: tuple[type[Message], str], offset: int, file: int, size: int
) -> None:
    message, field = case
    codec = ChunkCodec(message)
    file = 0 if field == "batch_chunk" else file
    chunk = Chunk(field, memoryview(LARGE)[:size], offset, file)
    encoded = codec.encode(chunk)
    expected = by_protobuf(message, chunk)
    assert encoded == expected.SerializeToString(deterministic=True)
    decoded = codec.decode(encoded)
    assert as_protobuf(message, decoded) == expected
    assert isinstance(decoded, Chunk) == (len(encoded) >= 4096 and offset < 1 << 63)


@given(
    case=st.sampled_from(CASES),
    changes=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 255)), min_size=1, max_size=3),
    extra=st.binary(max_size=3),
)
def test_anything_else_is_left_to_protobuf(
    case: tuple[type[Message], str], changes: list[tuple[int, int]], extra: bytes
) -> None:
    message, field = case
    chunk = Chunk(field, LARGE, 1 << 20, 0 if field == "batch_chunk" else 2)
    data = bytearray(ChunkCodec(message).encode(chunk))
    for place, value in changes:
        data[place] = value
    data += extra
    expected: Message | None
    try:
        expected = message.FromString(bytes(data))
    except DecodeError:
        expected = None
    try:
        decoded = ChunkCodec(message).decode(bytes(data))
    except DecodeError:
        assert expected is None
        return
    assert as_protobuf(message, decoded) == expected


@pytest.mark.parametrize(("message", "field"), CASES)
def test_data_before_the_numbers_is_read_too(message: type[Message], field: str) -> None:
    """Nobody promises the order of fields in a message."""
    data = by_protobuf(message, Chunk(field, LARGE, 0)).SerializeToString()
    trailing = b"\x08\x05" if field == "batch_chunk" else b"\x10\x05"
    tag, size = data[:1], len(data) - 4 + len(trailing)
    whole = (
        tag + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + data[4:] + trailing
    )
    decoded = as_protobuf(message, ChunkCodec(message).decode(whole))
    assert decoded == by_protobuf(message, Chunk(field, LARGE, 5))


def test_a_chunk_is_a_view() -> None:
    codec = ChunkCodec(v1.JobRequest)
    encoded = codec.encode(Chunk("batch_chunk", LARGE, 7))
    decoded = codec.decode(encoded)
    assert isinstance(decoded, Chunk)
    assert isinstance(decoded.data, memoryview)
    assert decoded.data.obj is encoded
