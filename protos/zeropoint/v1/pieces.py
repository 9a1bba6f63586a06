"""Long messages in pieces that fit gRPC's default limit of 4 MiB.

The pieces of a message are messages of its type that give it when they are merged: lists, at any
depth, are continued by the next piece; everything else is in one piece only.
"""

from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, TypeVar

from google.protobuf.message import Message

PIECE_BYTES = 1 << 20
"""Bytes of a piece, about: an entry of a list is in one piece, unless it has a long list itself."""

_FRAME_BYTES = 4  # tag and length of an entry, which is shorter than a piece
_NUMBER_BYTES = 10

_MessageT = TypeVar("_MessageT", bound=Message)


def pieces(message: _MessageT, size: int = PIECE_BYTES) -> Iterator[_MessageT]:
    """Yield the pieces of a message, at least one; each but the last has `size` bytes, about."""
    piece = type(message)()
    filled = 0
    for part in _parts(message, size):
        more = part.ByteSize()
        if filled and filled + more > size:
            yield piece
            piece, filled = type(message)(), 0
        piece.MergeFrom(part)
        filled += more
    yield piece


def _parts(message: _MessageT, size: int) -> Iterator[_MessageT]:
    """Yield parts that have no more than `size` bytes where lists can be cut so."""
    if message.ByteSize() <= size:
        yield message
        return
    kind = type(message)
    yield _without_lists(message)
    for field, value in message.ListFields():
        if isinstance(value, MutableSequence):
            for run in _runs(value, size):
                yield kind(**{field.name: run})
        elif field.message_type is not None:
            for part in _parts(value, size):
                yield kind(**{field.name: part})


def _without_lists(message: _MessageT) -> _MessageT:
    """Return only what is neither a list nor a message."""
    plain = {
        field.name: value
        for field, value in message.ListFields()
        if field.message_type is None and not isinstance(value, MutableSequence)
    }
    return type(message)(**plain)


def _runs(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield runs of a list; an entry that has a long list itself becomes several."""
    run: list[Any] = []
    filled = 0
    for item in items:
        for entry in _entries(item, size):
            more = _bytes(entry)
            if run and filled + more > size:
                yield run
                run, filled = [], 0
            run.append(entry)
            filled += more
    yield run


def _entries(item: Any, size: int) -> Iterator[Any]:
    if not isinstance(item, Message) or item.ByteSize() <= size:
        yield item
        return
    first, *parts = _parts(item, size)
    if not parts:
        yield item
    for part in parts:
        entry = type(item)()
        entry.CopyFrom(first)
        entry.MergeFrom(part)
        yield entry


def _bytes(item: Any) -> int:
    if isinstance(item, Message):
        return item.ByteSize() + _FRAME_BYTES
    return len(item.encode()) + _FRAME_BYTES if isinstance(item, str) else _NUMBER_BYTES
