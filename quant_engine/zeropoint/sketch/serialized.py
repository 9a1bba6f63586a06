"""The serialized form, as docs/sketch-format.md lays it down byte by byte."""

import math
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch import varint
from zeropoint.sketch.errors import SketchFormatError
from zeropoint.sketch.grid import CODES, SIGN, code_of, is_finite
from zeropoint.sketch.tally import Tally

MAGIC: Final = b"ZPSK"
VERSION: Final = 1
MAX_BYTES: Final = 1 << 20  # a sketch with every bin in use and 64-bit counts takes less

_HEADER = struct.Struct("<4sBff")
_FIGURES = 5  # elements, nan, +Inf, -Inf, number of codes

_Codes = NDArray[np.uint16]
_Counts = NDArray[np.uint64]


def encode(tally: Tally, codes: _Codes, counts: _Counts) -> bytes:
    """Write a sketch.

    Args:
        tally: Its figures.
        codes: Codes whose count is not zero, ascending.
        counts: Count of each.
    """
    extremes = (tally.minimum, tally.maximum) if tally.finite else (0.0, 0.0)
    numbers = np.empty(_FIGURES + 2 * len(codes), dtype=np.uint64)
    numbers[:_FIGURES] = (
        tally.elements,
        tally.nan,
        tally.positive_infinity,
        tally.negative_infinity,
        len(codes),
    )
    numbers[_FIGURES::2] = np.diff(codes.astype(np.int64), prepend=-1) - 1
    numbers[_FIGURES + 1 :: 2] = counts
    return _HEADER.pack(MAGIC, VERSION, *extremes) + varint.encode(numbers)


def decode(data: bytes) -> tuple[Tally, _Codes, _Counts]:
    """Read a sketch written by anyone: nothing is believed that was not checked.

    Raises:
        SketchFormatError: `data` is not what `encode` gives for any sketch.
    """
    if len(data) > MAX_BYTES:
        raise SketchFormatError(f"longer than {MAX_BYTES} bytes", MAX_BYTES)
    minimum, maximum = _decode_header(data)
    numbers = varint.decode(data, _HEADER.size)
    if len(numbers) < _FIGURES:
        raise SketchFormatError("the figures are cut off", len(data))
    elements, nan, positive, negative, length = (int(number) for number in numbers[:_FIGURES])
    if len(numbers) != _FIGURES + 2 * length:
        raise SketchFormatError("the number of codes is not that of what follows", len(data))
    codes = _decode_codes(numbers[_FIGURES::2])
    counts = numbers[_FIGURES + 1 :: 2]
    _check_counts(elements, nan + positive + negative, counts)
    _check_extremes(minimum, maximum, codes)
    if minimum != maximum and elements - nan - positive - negative < 2:
        raise SketchFormatError("two extremes of one value", 5)
    if not length:
        minimum, maximum = math.inf, -math.inf
    return Tally(elements, nan, positive, negative, minimum, maximum), codes, counts


def _decode_header(data: bytes) -> tuple[float, float]:
    """Return the extremes."""
    if len(data) < _HEADER.size:
        raise SketchFormatError("the header is cut off", len(data))
    magic, version, minimum, maximum = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SketchFormatError(f"starts with {magic!r} instead of {MAGIC!r}", 0)
    if version != VERSION:
        raise SketchFormatError(f"version {version} is unknown; {VERSION} is understood", 4)
    return minimum, maximum


def _decode_codes(deltas: NDArray[np.uint64]) -> _Codes:
    """Add up the distances between codes."""
    if np.any(deltas >= CODES):
        raise SketchFormatError("a code is beyond 16 bits", _HEADER.size)
    codes = np.cumsum(deltas.astype(np.int64) + 1) - 1
    if len(codes) and codes[-1] >= CODES:
        raise SketchFormatError("a code is beyond 16 bits", _HEADER.size)
    narrow = codes.astype(np.uint16)
    if not is_finite(narrow).all():
        raise SketchFormatError("a code is that of NaN or infinity", _HEADER.size)
    return narrow


def _check_counts(elements: int, non_finite: int, counts: _Counts) -> None:
    if np.any(counts == 0):
        raise SketchFormatError("a code has the count 0", _HEADER.size)
    if elements >= 1 << 63:
        raise SketchFormatError("more than 2^63 - 1 elements", _HEADER.size)
    if non_finite + sum(counts.tolist()) != elements:
        raise SketchFormatError("the counts do not add up to the elements", _HEADER.size)


def _check_extremes(minimum: float, maximum: float, codes: _Codes) -> None:
    """Check that the extremes are what a sketch with these codes can have."""
    bits = struct.pack("<ff", minimum, maximum)
    if not len(codes):
        if bits != bytes(8):
            raise SketchFormatError("extremes without finite values", 5)
        return
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
        raise SketchFormatError("the extremes are not finite and in order", 5)
    if struct.pack("<ff", minimum + 0.0, maximum + 0.0) != bits:
        raise SketchFormatError("an extreme is -0", 5)
    above = int(np.searchsorted(codes, SIGN))
    lowest = codes[-1] if above < len(codes) else codes[0]
    highest = codes[above - 1] if above else codes[0]
    if code_of(minimum) != lowest or code_of(maximum) != highest:
        raise SketchFormatError("the extremes are not in the outermost bins", 5)
