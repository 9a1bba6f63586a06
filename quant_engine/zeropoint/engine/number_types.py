"""The integer types that codes have: a row a type.

Formulas, options, reports and rewrites ask these rows; a further type is a further row, and a
member of `QuantType` where users may choose it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike


class CodeLimits(NamedTuple):
    """Smallest and greatest code in use, both inclusive."""

    low: int
    high: int

    def less(self, offset: int) -> "CodeLimits":
        """Return the limits of codes that are less by an offset."""
        return CodeLimits(self.low - offset, self.high - offset)


@dataclass(frozen=True, slots=True)
class NumberType:
    """An integer type of codes.

    Attributes:
        dtype: As numpy, or ml_dtypes, has it.
        element_type: As a number of onnx.TensorProto.DataType.
        bits: Of one code.
        signed: Whether negative codes exist.
        least_opset: First opset whose QuantizeLinear and DequantizeLinear take it.
    """

    dtype: np.dtype[Any]
    element_type: int
    bits: int
    signed: bool
    least_opset: int

    @property
    def limits(self) -> CodeLimits:
        """All codes."""
        half = 1 << (self.bits - 1)
        return CodeLimits(-half, half - 1) if self.signed else CodeLimits(0, 2 * half - 1)

    @property
    def levels(self) -> int:
        """How many codes there are."""
        return 1 << self.bits

    def spread(self, *, symmetric: bool, reduce_range: bool = False) -> CodeLimits:
        """Return the codes over which a range is spread.

        Args:
            symmetric: Whether the range is symmetric; signed codes then are, too.
            reduce_range: Take one bit less, as 1.32 does: -64..64 of int8, 0..127 of uint8.
        """
        low, high = self.limits
        if reduce_range:
            quarter = 1 << (self.bits - 2)
            return CodeLimits(-quarter, quarter) if self.signed else CodeLimits(0, high // 2)
        return CodeLimits(-high, high) if self.signed and symmetric else CodeLimits(low, high)

    def multiplies(self, weight: "NumberType") -> bool:
        """Whether ONNX Runtime has integer kernels for data of this type and such weights."""
        return weight.signed or not self.signed


INT8 = NumberType(np.dtype(np.int8), 3, 8, True, 10)
UINT8 = NumberType(np.dtype(np.uint8), 2, 8, False, 10)
INT16 = NumberType(np.dtype(np.int16), 5, 16, True, 21)
UINT16 = NumberType(np.dtype(np.uint16), 4, 16, False, 21)
INT4 = NumberType(np.dtype(ml_dtypes.int4), 22, 4, True, 21)
UINT4 = NumberType(np.dtype(ml_dtypes.uint4), 21, 4, False, 21)
INT32 = NumberType(np.dtype(np.int32), 6, 32, True, 10)
"""Of biases: DequantizeLinear alone takes it."""

_BY_DTYPE = {row.dtype: row for row in (INT8, UINT8, INT16, UINT16, INT4, UINT4, INT32)}
_BY_ELEMENT_TYPE = {row.element_type: row for row in _BY_DTYPE.values()}


def number_type(dtype: DTypeLike) -> NumberType:
    """Return the row of codes that are there."""
    return _BY_DTYPE[np.dtype(dtype)]


def known_number_type(element_type: int | None) -> NumberType | None:
    """Return the row of an onnx.TensorProto.DataType; None where codes have no such type."""
    return None if element_type is None else _BY_ELEMENT_TYPE.get(element_type)


class QuantType(StrEnum):
    """Integer type of quantized values."""

    QINT8 = "QInt8"
    QUINT8 = "QUInt8"

    @property
    def number(self) -> NumberType:
        """Its row."""
        return _CHOSEN[self]

    @property
    def signed(self) -> bool:
        """Whether negative codes exist."""
        return self.number.signed


_CHOSEN = {QuantType.QINT8: INT8, QuantType.QUINT8: UINT8}


def quant_type(dtype: DTypeLike) -> QuantType | None:
    """Return the type that users choose by this name; None where they cannot."""
    found = _BY_DTYPE.get(np.dtype(dtype))
    return next((kind for kind, row in _CHOSEN.items() if row is found), None)
