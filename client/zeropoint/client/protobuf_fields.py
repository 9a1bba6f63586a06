"""Fields of a protobuf message, read from a file one by one, without the message's classes.

What is not looked at is seeked over, weights above all: memory stays flat, and most of the file is
never read.
"""

from collections.abc import Iterator
from io import BufferedReader

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_MAX_STRING = 1 << 16
_MAX_PEEK = 1 << 16


class MalformedError(Exception):
    """The bytes are no protobuf message."""


class Fields:
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
                raise MalformedError(f"unexpected wire type {kind}")
            if after > end or tag >> 3 == 0:
                raise MalformedError(f"a field that starts at byte {position} runs too far")
            yield tag >> 3, value, after
            self._file.seek(after)

    def text(self, end: int) -> str:
        """Return the string from the file's position to `end`."""
        size = end - self._file.tell()
        if size > _MAX_STRING:
            raise MalformedError(f"a name of {size} bytes")
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
                raise MalformedError("the file ends too early")
            result |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return result
        raise MalformedError("a number is too long")
