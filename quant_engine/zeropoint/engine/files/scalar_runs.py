"""Passing over many scalar fields of a serialized message at once.

Tree ensembles hold millions of numbers and words as attributes, each a field of its own. Regular
expressions with possessive repeats walk over them in constant memory, many times as fast.
"""

import re

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_VALUES = {
    VARINT: rb"[\x80-\xff]{0,9}[\x00-\x7f]",
    FIXED64: rb"[\x00-\xff]{8}",
    FIXED32: rb"[\x00-\xff]{4}",
}
_SHORTEST_REST = 4096  # below, there is nothing to gain
_WORDS = 16  # different ones that are recognized
_LONGEST_WORD = 64


class Runs:
    """Finds where runs of like fields end in one message."""

    def __init__(self, kept: frozenset[int]) -> None:
        """Take note of what is looked for.

        Args:
            kept: Numbers of the fields of bytes that are looked at one by one.
        """
        self._kept = kept
        self._words: dict[bytes, None] = {}
        self._patterns: dict[tuple[bytes, ...], re.Pattern[bytes]] = {}

    def end(self, view: memoryview, number: int, kind: int, at: int, begin: int, end: int) -> int:
        """Return the end of the run that one field begins; that of the field where it is alone.

        Args:
            view: The message.
            number: That of the field.
            kind: Its wire type.
            at: Where its tag is.
            begin: Where its payload is.
            end: Where it ends.
        """
        if len(view) - end < _SHORTEST_REST:
            return end
        if kind != BYTES:
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
