"""How far outputs of a float model change, for many small changes of it on the same samples."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.verify.comparison import unit_sums
from zeropoint.engine.verify.output_forms import OutputForm
from zeropoint.engine.verify.saturating import Values, distribution_axis, in_front
from zeropoint.engine.verify.similarity import Sums, compare, is_float

_ROW: Final = 4096  # values; longer sums lose digits in float32


class Undisturbed:
    """One output of the float model, in front of what saturates it."""

    def __init__(self, parts: Sequence[NDArray[Any]], form: OutputForm, *, apart: bool) -> None:
        """Take an output.

        Args:
            parts: Its arrays.
            form: How it ends.
            apart: Whether entries along the first axis are samples; else it is all of one.
        """
        self._parts = [_Part(part, form, apart=apart and len(parts) == 1) for part in parts]

    def units(self, parts: Sequence[NDArray[Any]]) -> Values:
        """Return signal, noise and number of values of each sample: float64 [samples, 3].

        Args:
            parts: The arrays of the output when something was changed. One of another shape has as
                much noise as signal.
        """
        if len(parts) != len(self._parts):
            return np.array([[1.0, 1.0, 1.0]])
        found = [part.units(array) for part, array in zip(self._parts, parts, strict=True)]
        return found[0] if len(found) == 1 else sum(found, np.zeros((1, 3)))


class _Part:
    def __init__(self, array: NDArray[Any], form: OutputForm, *, apart: bool) -> None:
        self._array = array
        joined = form.joined
        self._joined = joined if joined is not None and joined.fits(array) else None
        self._saturation = form.saturation if is_float(array) else None
        self._axis = distribution_axis(array, self._saturation)
        self._rows = len(array) if apart and self._axis != 0 and array.ndim else 1
        if self._joined is not None:
            self._rows = len(array) if apart and self._joined.axis != 0 and array.ndim else 1
        self._front = self._in_front(array) if is_float(array) else np.zeros(0)

    def units(self, array: NDArray[Any]) -> Values:
        if array.shape != self._array.shape:
            return np.full((self._rows, 3), 1.0)
        if not is_float(self._array):
            changed = np.asarray(array != self._array).reshape(self._rows, -1)
            count = np.full(self._rows, float(changed.shape[1]))
            return np.stack([count, changed.sum(1).astype(np.float64), count], 1)
        if self._joined is not None:
            one, other = self._array.astype(np.float64), array.astype(np.float64)
            return unit_sums(*self._joined.in_front(one, other, array.dtype, self._rows))
        return unit_sums(self._front, self._in_front(array))

    def _in_front(self, array: NDArray[Any]) -> Values:
        values = array.astype(np.float64)
        front = in_front(values, self._saturation, self._axis, array.dtype)
        return front.reshape(self._rows, -1)


def own_noise(original: NDArray[Any], result: NDArray[Any]) -> Sums:
    """Compare what a node gives, fast: only signal and noise are told, in float32 by rows.

    Args:
        original: Of any shape.
        result: Another shape is nothing in common.
    """
    if original.dtype != np.float32 or original.shape != result.shape:
        return compare(original, result)
    with np.errstate(invalid="ignore"):  # infinities; they are compared elsewhere
        signal, noise = (_power(array) for array in (original, original - result))
    if not np.isfinite(signal + noise):
        return compare(original, result)
    return Sums(signal=signal, noise=noise)


def _power(array: NDArray[np.float32]) -> float:
    flat = array.reshape(-1)
    whole = flat.size - flat.size % _ROW
    rows, rest = flat[:whole].reshape(-1, _ROW), flat[whole:]
    found = np.einsum("ij,ij->i", rows, rows).astype(np.float64).sum()
    return float(found + rest.astype(np.float64) @ rest)
