"""Replacing tensors inside a serialized ONNX model without parsing the model.

A model is read through one buffer (usually a memory map) and rewritten as a list of pieces that
mostly are views of that buffer, so weights of any size pass through without being held in memory.
Protobuf's wire format: https://protobuf.dev/programming-guides/encoding.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MAX_DEPTH = 100
# TensorProto.data_location = EXTERNAL: what does not contain these bytes has no external data.
_EXTERNAL = b"\x70\x01"

_VALUES = {
    _VARINT: rb"[\x80-\xff]{0,9}[\x00-\x7f]",
    _FIXED64: rb"[\x00-\xff]{8}",
    _FIXED32: rb"[\x00-\xff]{4}",
}
_SHORTEST_REST = 4096  # below, there is nothing to gain
_WORDS = 16  # different ones that are recognized
_LONGEST_WORD = 64


class _Runs:
    """Finds where runs of like fields end in one message: many scalars are passed over at once.

    Tree ensembles hold millions of numbers and words as attributes, each a field of its own.
    Regular expressions with possessive repeats walk over them in constant memory, many times as
    fast.
    """

    def __init__(self, kept: frozenset[int]) -> None:
        self._kept = kept  # numbers of the fields of bytes that are looked at one by one
        self._words: dict[bytes, None] = {}
        self._patterns: dict[tuple[bytes, ...], re.Pattern[bytes]] = {}

    def end(self, view: memoryview, number: int, kind: int, at: int, begin: int, end: int) -> int:
        """Return the end of the run that one field begins; that of the field where it is alone.

        The field has its tag at `at`, and its payload from `begin` to `end`.
        """
        if len(view) - end < _SHORTEST_REST:
            return end
        if kind != _BYTES:
            pattern = self._pattern((bytes(view[at:begin]),), _VALUES[kind])
        elif number in self._kept or end - at > _LONGEST_WORD:
            return end
        else:
            if len(self._words) < _WORDS:
                self._words[bytes(view[at:end])] = None
            pattern = self._pattern(tuple(self._words), b"")
        found = pattern.match(view, end)
        return end if found is None else found.end()

    def _pattern(self, heads: tuple[bytes, ...], value: bytes) -> re.Pattern[bytes]:
        if heads not in self._patterns:
            one = b"|".join(map(re.escape, heads))
            self._patterns[heads] = re.compile(rb"(?:(?:%b)%b)++" % (one, value), re.DOTALL)
        return self._patterns[heads]


Pieces = list[memoryview]
TensorRewrite = Callable[[memoryview], Sequence[bytes | memoryview] | None]


class WireError(ValueError):
    """The bytes are not a protobuf message of the expected kind."""


class Field(NamedTuple):
    """One field of a message: `start` of its tag, then its payload from `begin` to `end`."""

    number: int
    is_bytes: bool
    start: int
    begin: int
    end: int


class Message(Enum):
    """Messages of onnx.proto that can hold a tensor somewhere inside."""

    MODEL = 0
    GRAPH = 1
    NODE = 2
    ATTRIBUTE = 3
    FUNCTION = 4
    TENSOR = 5


# Field numbers of onnx.proto that lead to tensors.
CHILDREN = {
    Message.MODEL: {7: Message.GRAPH, 25: Message.FUNCTION},
    Message.GRAPH: {1: Message.NODE, 5: Message.TENSOR},
    Message.NODE: {5: Message.ATTRIBUTE},
    Message.ATTRIBUTE: {
        5: Message.TENSOR,
        6: Message.GRAPH,
        10: Message.TENSOR,
        11: Message.GRAPH,
    },
    Message.FUNCTION: {7: Message.NODE, 11: Message.ATTRIBUTE},
}


def fields(view: memoryview, runs: _Runs | None = None) -> Iterator[Field]:
    """Yield the top-level fields of a message in order; the first of a run may stand for all.

    Raises:
        WireError: the bytes do not follow the wire format.
    """
    at, size = 0, len(view)
    while at < size:
        tag, begin = _varint(view, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError(f"field number 0 at byte {at}")
        if kind == _VARINT:
            _, end = _varint(view, begin)
        elif kind == _BYTES:
            length, begin = _varint(view, begin)
            end = begin + length
        elif kind in _FIXED_SIZES:
            end = begin + _FIXED_SIZES[kind]
        else:
            raise WireError(f"wire type {kind} at byte {at}")
        if end > size:
            raise WireError(f"field {number} at byte {at} ends {end - size} bytes past the end")
        if runs is not None:
            end = runs.end(view, number, kind, at, begin, end)
        yield Field(number, kind == _BYTES, at, begin, end)
        at = end


def rewrite_tensors(model: memoryview, rewrite: TensorRewrite, *, threshold: int) -> Pieces:
    """Return a serialized ModelProto with its tensors replaced.

    Args:
        model: A serialized ModelProto.
        rewrite: Gets each serialized TensorProto of at least `threshold` bytes, and each smaller
            one that refers to external data, and returns the pieces of its replacement, or None
            to leave it alone.
        threshold: Size in bytes below which inline tensors are passed over.

    Returns:
        Pieces whose concatenation is the new ModelProto.

    Raises:
        WireError: the bytes do not follow the wire format, or nest too deeply.
    """
    pieces = _Rewriter(rewrite, threshold).fields(model, Message.MODEL, 0)
    return [model] if pieces is None else pieces


def bytes_field_head(number: int, size: int) -> bytes:
    """Return what stands before the `size` bytes of a field's payload: its tag and its length."""
    return _encoded(number << 3 | _BYTES) + _encoded(size)


class _Rewriter:
    """Walks down the messages that can hold tensors, as far as it must."""

    def __init__(self, rewrite: TensorRewrite, threshold: int) -> None:
        self._rewrite = rewrite
        self._threshold = threshold

    def message(self, view: memoryview, kind: Message, depth: int) -> Pieces | None:
        """Return the pieces of a rewritten message, or None where nothing changes."""
        if len(view) < self._threshold and _EXTERNAL not in bytes(view):
            return None
        if depth > _MAX_DEPTH:
            raise WireError(f"messages nest deeper than {_MAX_DEPTH} levels")
        if kind is Message.TENSOR:
            replaced = self._rewrite(view)
            return None if replaced is None else [memoryview(piece) for piece in replaced]
        return self.fields(view, kind, depth)

    def fields(self, view: memoryview, kind: Message, depth: int) -> Pieces | None:
        """Do the same field by field."""
        children = CHILDREN[kind]
        pieces: Pieces = []
        kept = 0
        for field in fields(view, _Runs(frozenset(children))):
            if not field.is_bytes or field.number not in children:
                continue
            child = children[field.number]
            replaced = self.message(view[field.begin : field.end], child, depth + 1)
            if replaced is None:
                continue
            size = sum(piece.nbytes for piece in replaced)
            head = bytes_field_head(field.number, size)
            pieces += [view[kept : field.start], memoryview(head), *replaced]
            kept = field.end
        if not pieces:
            return None
        return [*pieces, view[kept:]]


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number at `at` and the position after it."""
    value = shift = 0
    end = min(len(view), at + 10)
    while at < end:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise WireError(f"a number does not end before byte {at}")


def _encoded(value: int) -> bytes:
    """Return a number as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
