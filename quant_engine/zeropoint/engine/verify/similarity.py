"""How close two tensors are: sums over their values, and figures made of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import Similarity

_BLOCK = 1 << 20  # elements; bounds the float64 temporaries


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums over pairs (x, y) of an original and a quantized value.

    Pairs that are equal without being finite (both NaN, or the same infinity) count as no
    difference and enter no sum. A pair of which only one is finite, or a tensor whose shape
    changed, makes `noise` and `peak` infinite.

    Attributes:
        signal: Sum of x^2.
        result: Sum of y^2.
        cross: Sum of x y.
        noise: Sum of (x - y)^2.
        peak: Greatest |x - y|.
    """

    signal: float = 0.0
    result: float = 0.0
    cross: float = 0.0
    noise: float = 0.0
    peak: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        """Join the sums over two sets of pairs."""
        return Sums(
            signal=self.signal + other.signal,
            result=self.result + other.result,
            cross=self.cross + other.cross,
            noise=self.noise + other.noise,
            peak=max(self.peak, other.peak),
        )

    @property
    def similarity(self) -> Similarity:
        """The figures. Nothing in common with a signal of zeros: -infinity dB and cosine 0."""
        return Similarity(
            sqnr_db=self._sqnr_db(), cosine=self._cosine(), max_abs_difference=self.peak
        )

    def _sqnr_db(self) -> float:
        if self.noise == 0.0:
            return math.inf
        if self.signal == 0.0 or math.isinf(self.noise):
            return -math.inf
        return 10.0 * (math.log10(self.signal) - math.log10(self.noise))

    def _cosine(self) -> float:
        if self.signal == 0.0 and self.result == 0.0:
            return 1.0
        length = math.sqrt(self.signal) * math.sqrt(self.result)
        return max(-1.0, min(1.0, self.cross / length)) if length else 0.0


DIFFERENT = Sums(noise=math.inf, peak=math.inf)
"""Sums over tensors that cannot be compared element by element."""


def compare(original: NDArray[np.generic], result: NDArray[np.generic]) -> Sums:
    """Compare two tensors.

    Args:
        original: float, integer, bool or text, any shape. Integers are compared as float64, bool
            as 0 and 1; a text counts as 1, and one that differs from it as 0.
        result: The same shape and type; another shape gives `DIFFERENT`.
    """
    if original.shape != result.shape:
        return DIFFERENT
    total = Sums()
    for x, y in _blocks(original, result):
        total += _compare_block(x, y)
    return total


def is_float(array: NDArray[np.generic]) -> bool:
    """Whether an array holds floats of any width."""
    return np.issubdtype(array.dtype, np.floating)


def is_finite(array: NDArray[np.generic]) -> bool:
    """Whether an array holds neither NaN nor infinities."""
    return not is_float(array) or bool(np.isfinite(array).all())


def numeric_pair(
    original: NDArray[np.generic], result: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two arrays of one shape as float64; of text, 1 and whether it is the same."""
    if original.dtype.kind in "USO":
        equal = np.asarray(original == result)
        return np.ones(equal.shape), equal.astype(np.float64)
    return original.astype(np.float64), result.astype(np.float64)


def _blocks(
    original: NDArray[np.generic], result: NDArray[np.generic]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    x, y = original.reshape(-1), result.reshape(-1)
    for start in range(0, x.size, _BLOCK):
        yield numeric_pair(x[start : start + _BLOCK], y[start : start + _BLOCK])


def _compare_block(x: NDArray[np.float64], y: NDArray[np.float64]) -> Sums:
    finite = np.isfinite(x) & np.isfinite(y)
    differ = False
    if not finite.all():
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        differ = not bool((finite | same).all())
        x, y = x[finite], y[finite]
    difference = x - y
    sums = Sums(
        signal=float(x @ x),
        result=float(y @ y),
        cross=float(x @ y),
        noise=float(difference @ difference),
        peak=float(np.abs(difference).max(initial=0.0)),
    )
    return sums + DIFFERENT if differ else sums
