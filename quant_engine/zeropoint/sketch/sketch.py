"""The sketch: what is kept of one activation tensor."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch.counting import form
from zeropoint.sketch.errors import SketchOverflowError
from zeropoint.sketch.grid import Bins, bins_by_value
from zeropoint.sketch.pages import Pages
from zeropoint.sketch.serialized import decode, encode
from zeropoint.sketch.tally import Tally

MAX_ELEMENTS: Final = (1 << 63) - 1
_SINGLE: Final = np.dtype(np.float32)
_HALF: Final = np.dtype(np.float16)
_HALF_BLOCK: Final = 1 << 18  # elements of float16 converted at once


class Sketch:
    """Histogram of float32 values on the grid of their upper 16 bits, with exact extremes.

    Sketches form a commutative monoid under `merge`, with `Sketch()` as the neutral element: any
    order and any grouping of `update` and `merge` gives equal sketches and equal bytes. -0 counts
    as +0; NaN and infinities are counted apart and enter neither bins nor extremes.

    One sketch is to be changed by one thread at a time; counting releases the GIL.
    """

    __slots__ = ("_pages", "_tally")

    def __init__(self) -> None:
        self._pages = Pages()
        self._tally = Tally()

    def update(self, array: NDArray[np.floating]) -> None:
        """Count every element of an array.

        Args:
            array: float32, or float16 (which float32 holds exactly); any shape, empty included.

        Raises:
            TypeError: another type.
            SketchOverflowError: more than 2^63 - 1 elements in all.
        """
        if array.dtype != _SINGLE and array.dtype != _HALF:
            raise TypeError(f"a sketch takes float32 or float16, not {array.dtype}")
        self._check_room(array.size)
        values = (array if array.flags.aligned else array.copy()).ravel(order="K")
        count = form().counts
        if array.dtype == _SINGLE:
            self._tally = self._tally.plus(count(values, self._pages))
            return
        for start in range(0, len(values), _HALF_BLOCK):
            block = values[start : start + _HALF_BLOCK].astype(_SINGLE)
            self._tally = self._tally.plus(count(block, self._pages))

    def merge(self, other: "Sketch") -> None:
        """Add what another sketch has counted.

        Raises:
            SketchOverflowError: more than 2^63 - 1 elements in all; nothing is changed.
        """
        self._check_room(other.elements)
        form().merges(self._pages, other._pages)
        self._tally = self._tally.plus(other._tally)

    def copy(self) -> "Sketch":
        """Return an independent sketch of the same values."""
        copied = Sketch()
        copied.merge(self)
        return copied

    def empty_copy(self) -> "Sketch":
        """Return a sketch of nothing, with room for the values of this one.

        Values like these are counted faster there than in a new one.
        """
        copied = Sketch.__new__(Sketch)
        copied._pages = self._pages.empty_copy()
        copied._tally = Tally()
        return copied

    def move(self, other: "Sketch") -> None:
        """Add what another sketch has counted, which is then empty, with room for the same values.

        Raises:
            SketchOverflowError: more than 2^63 - 1 elements in all; nothing is changed.
        """
        self._check_room(other.elements)
        form().merges(self._pages, other._pages, leave=False)
        self._tally = self._tally.plus(other._tally)
        other._tally = Tally()

    def to_bytes(self) -> bytes:
        """Return the serialized form; equal sketches have equal bytes."""
        return encode(self._tally, *self._pages.codes_and_counts())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Sketch":
        """Read the serialized form.

        Raises:
            SketchFormatError: `data` is not what `to_bytes` gives for any sketch.
        """
        tally, codes, counts = decode(data)
        sketch = cls()
        sketch._tally = tally
        sketch._pages.add(codes, counts)
        return sketch

    @property
    def elements(self) -> int:
        """How many elements were counted, of any value."""
        return self._tally.elements

    @property
    def finite(self) -> int:
        """How many of them are finite."""
        return self._tally.finite

    @property
    def nan(self) -> int:
        """How many are NaN."""
        return self._tally.nan

    @property
    def positive_infinity(self) -> int:
        """How many are +Inf."""
        return self._tally.positive_infinity

    @property
    def negative_infinity(self) -> int:
        """How many are -Inf."""
        return self._tally.negative_infinity

    @property
    def minimum(self) -> float | None:
        """Exact least finite value; None where there is none."""
        return self._tally.minimum if self.finite else None

    @property
    def maximum(self) -> float | None:
        """Exact greatest finite value; None where there is none."""
        return self._tally.maximum if self.finite else None

    @property
    def codes(self) -> NDArray[np.uint16]:
        """Codes whose count is not zero, ascending."""
        return self._pages.codes_and_counts()[0]

    @property
    def counts(self) -> NDArray[np.uint64]:
        """Count of each of `codes`."""
        return self._pages.codes_and_counts()[1]

    @property
    def bins(self) -> Bins:
        """The bins that hold something, in ascending order of their values."""
        return bins_by_value(*self._pages.codes_and_counts())

    @property
    def nbytes(self) -> int:
        """Memory that the counts take."""
        return self._pages.nbytes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sketch):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def __repr__(self) -> str:
        return (
            f"Sketch(elements={self.elements}, minimum={self.minimum}, maximum={self.maximum}, "
            f"codes={len(self.codes)})"
        )

    def _check_room(self, elements: int) -> None:
        if self._tally.elements + elements > MAX_ELEMENTS:
            raise SketchOverflowError("a sketch counts at most 2^63 - 1 elements")
