"""The grid: a code is the upper 16 bits of a float32 pattern, a bin is what shares a code.

Codes of finite values are 0x0000-0x7F7F (zero and above) and 0x8000-0xFF7F (below zero). A bin is
at most 2^-7 wide relative to its values; below 2^-126 at most 2^-133 absolute.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

CODES: Final = 1 << 16
SIGN: Final = 0x8000
FIRST_NON_FINITE: Final = 0x7F80  # of the magnitude
LARGEST_FINITE: Final = float(np.finfo(np.float32).max)


class Bins(NamedTuple):
    """Bins that hold something, in ascending order of their values.

    Attributes:
        low: float64, lower edge of each; belongs to the bin where it is zero or above.
        high: float64, upper edge of each; belongs to the bin where it is zero or below.
        counts: uint64, how many values each holds.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.uint64]


def code_of(value: float) -> int:
    """Return the code of a finite float32 value; that of -0 is that of 0."""
    bits = int(np.float32(value + 0.0).view(np.uint32))
    return bits >> 16


def is_finite(codes: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Tell which codes are those of finite values."""
    return (codes & np.uint16(SIGN - 1)) < np.uint16(FIRST_NON_FINITE)


def bins_by_value(codes: NDArray[np.uint16], counts: NDArray[np.uint64]) -> Bins:
    """Order the bins of a sketch by value.

    Args:
        codes: Codes of finite values, ascending.
        counts: Count of each.

    Returns:
        The same bins with their edges, from the lowest value to the highest.
    """
    below = len(codes) - int(np.searchsorted(codes, SIGN))
    positive = len(codes) - below
    codes = np.concatenate([codes[positive:][::-1], codes[:positive]])
    counts = np.concatenate([counts[positive:][::-1], counts[:positive]])
    near, far = _value(codes), _value(codes + np.uint16(1))
    low = np.concatenate([far[:below], near[below:]])
    high = np.concatenate([near[:below], far[below:]])
    return Bins(low, high, counts)


def _value(codes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the value nearest to zero with each code; 2^128 in place of infinity."""
    values = (codes.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return np.clip(values, -(2.0**128), 2.0**128)
