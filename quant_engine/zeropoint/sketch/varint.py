"""Unsigned LEB128 numbers, many at a time: seven bits a byte, least significant first.

The canonical form only: no superfluous last byte of zero, and at most 64 bits.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch.errors import SketchFormatError

MAX_BYTES: Final = 10
_MORE = np.uint8(0x80)
_SEVEN = np.uint64(7)
_LOW = np.uint64(0x7F)


def encode(numbers: NDArray[np.uint64]) -> bytes:
    """Write numbers one after another."""
    lengths = np.ones(len(numbers), dtype=np.int64)
    for groups in range(1, MAX_BYTES):
        lengths += (numbers >> np.uint64(7 * groups)) != 0
    ends = np.cumsum(lengths)
    encoded = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    starts = ends - lengths
    rest = numbers
    for group in range(int(lengths.max(initial=0))):
        here = lengths > group
        more = np.where(lengths > group + 1, _MORE, np.uint8(0))
        encoded[(starts + group)[here]] = ((rest & _LOW).astype(np.uint8) | more)[here]
        rest = rest >> _SEVEN
    return encoded.tobytes()


def decode(data: bytes, offset: int) -> NDArray[np.uint64]:
    """Read numbers up to the end of `data`.

    Args:
        data: A buffer.
        offset: Where the first number starts.

    Returns:
        The numbers.

    Raises:
        SketchFormatError: the last number is cut off, or one is not canonical.
    """
    encoded = np.frombuffer(data, dtype=np.uint8, offset=offset)
    ends = np.flatnonzero(encoded < _MORE) + 1
    if len(encoded) and (not len(ends) or ends[-1] != len(encoded)):
        raise SketchFormatError("the last number is cut off", len(data))
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(ends)]
    lengths = ends - starts
    last = encoded[ends - 1]
    bad = (lengths > MAX_BYTES) | ((lengths == MAX_BYTES) & (last > 1))
    bad |= (lengths > 1) & (last == 0)
    if bad.any():
        where = offset + int(starts[np.argmax(bad)])
        raise SketchFormatError("a number is too long or beyond 64 bits", where)
    numbers = np.zeros(len(ends), dtype=np.uint64)
    for group in range(int(lengths.max(initial=0))):
        here = lengths > group
        bits = encoded[starts[here] + group].astype(np.uint64) & _LOW
        numbers[here] |= bits << np.uint64(7 * group)
    return numbers
