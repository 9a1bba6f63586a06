"""Whether what an integer kernel sums up fits into int32.

ONNX Runtime's kernels (MLAS) multiply uint8 data a with int8 weights w, whose zero points are za
and zw; of other types they shift the codes by 128. In int32 they compute

    sum (a - za) (w - zw) + b  =  sum a w  -  zw sum a  -  za sum (w - zw)  +  b

from the corrections on, and some add the products with instructions that saturate. So the result
is right whatever the data if nothing can leave int32 on the way: for each output channel

    255 (sum |w| + n |zw|)  +  za |sum (w - zw)|  +  |b|  <  2^31
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zeropoint.engine.number_types import INT8, INT32, UINT8
from zeropoint.engine.numbers.codes import quantize, unsigned_codes
from zeropoint.engine.numbers.qparams import QParams

_TOP = UINT8.limits.high
_MIDDLE = 128
_LIMIT = INT32.limits.high

SAFE_TERMS = _LIMIT // (3 * _MIDDLE * _TOP)
"""Products that fit into a sum whatever their codes are, without a bias: 21,931."""

_HEADROOM = 1.0001  # the rounding of a float32 scale must not undo the growth


def data_zero(qparams: QParams | None) -> int:
    """Return the zero point of data as uint8; the largest where it is known only as they come."""
    return _TOP if qparams is None else int(_shifted(qparams.zero_point) + _MIDDLE)


def largest_sums(
    codes: NDArray[np.integer], zero_point: NDArray[np.integer], axes: Sequence[int], data: int
) -> NDArray[np.float64]:
    """Return the bound of what is summed up for each output channel, without a bias.

    Args:
        codes: int8 or uint8 weights.
        zero_point: Of the same type: one, or one for each output channel.
        axes: Axes that are summed up; what is left are output channels.
        data: Zero point of the data, as uint8.
    """
    along = tuple(axes)
    weights, zero = _shifted(codes), _shifted(zero_point).astype(np.float64)
    terms = _terms(codes.shape, axes)
    absolute = np.abs(weights).sum(axis=along, dtype=np.float64)
    centred = weights.sum(axis=along, dtype=np.float64) - terms * zero
    return np.asarray(_TOP * (absolute + terms * np.abs(zero)) + data * np.abs(centred))


def sums_fit(
    codes: NDArray[np.integer],
    zero_point: NDArray[np.integer],
    axes: Sequence[int],
    data: int,
    bias: ArrayLike = 0.0,
) -> bool:
    """Return whether all sums fit into int32, with biases of this magnitude, in codes."""
    largest = np.asarray(bias, np.float64)
    if _terms(codes.shape, axes) > SAFE_TERMS or float(largest.max(initial=0)) > _left(codes, axes):
        return bool((largest_sums(codes, zero_point, axes, data) + largest <= _LIMIT).all())
    return True


def fit_weight(
    weight: NDArray[np.floating],
    qparams: QParams,
    axes: Sequence[int],
    data: int,
    bias: ArrayLike = 0.0,
) -> QParams:
    """Return parameters of a weight with which all sums fit into int32.

    Where those given do not, the scale grows, which is fewer bits; and of very long sums int8 codes
    have the zero point 0.

    Args:
        weight: float32 or float16, any shape.
        qparams: int8 or uint8, one scale or one for each output channel.
        axes: Axes that are summed up.
        data: Zero point of the data, as uint8.
        bias: Magnitude of the biases over the scale of the data: one, or one for each output
            channel.

    Returns:
        `qparams` itself where it serves, or where no scale would.
    """
    magnitude = np.asarray(bias, np.float64)
    terms, smallest = _terms(weight.shape, axes), float(qparams.scale.min())
    if terms <= SAFE_TERMS and magnitude.max(initial=0) / smallest <= _left(weight, axes):
        return qparams
    codes = quantize(weight, qparams)
    scale = qparams.scale.astype(np.float64)
    if sums_fit(codes, qparams.zero_point, axes, data, magnitude / scale):
        return qparams
    zero = int(np.abs(_shifted(qparams.zero_point)).max())
    if zero and terms > SAFE_TERMS:
        number, zero = INT8, 0
        peak = _peaks(weight, qparams.axis) / number.limits.high
        qparams = QParams(
            peak.astype(qparams.scale.dtype), np.zeros(peak.shape, np.int8), qparams.axis
        )
    least = least_scale(weight, axes, data, magnitude, zero)
    if not np.isfinite(least).all():
        return qparams
    least = least if qparams.scale.ndim else np.asarray(least.max())
    grown = np.maximum(qparams.scale.astype(np.float64), least * _HEADROOM)
    return dataclasses.replace(qparams, scale=grown.astype(qparams.scale.dtype))


def least_scale(
    weight: NDArray[np.floating],
    axes: Sequence[int],
    data: int,
    bias: ArrayLike = 0.0,
    zero: int = 0,
) -> NDArray[np.float64]:
    """Return the least scale of each output channel with which its sums fit; inf where none does.

    Args:
        weight: See `fit_weight`.
        axes: Axes that are summed up.
        data: Zero point of the data, as uint8.
        bias: See `fit_weight`.
        zero: Magnitude of the weights' zero point, as int8.
    """
    along, terms = tuple(axes), _terms(weight.shape, axes)
    absolute = np.abs(weight).sum(axis=along, dtype=np.float64)
    signed = np.abs(weight.sum(axis=along, dtype=np.float64))
    rounded = terms * (_TOP + data) / 2  # each code by half of one
    left = _LIMIT - rounded - 2 * _TOP * terms * zero
    if left <= 0:
        return np.full(np.shape(absolute), np.inf)
    return np.asarray((_TOP * absolute + data * signed + np.asarray(bias, np.float64)) / left)


def _peaks(weight: NDArray[np.floating], axis: int | None) -> NDArray[np.float64]:
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    return np.asarray(np.abs(weight).max(axis=others), np.float64)


def _left(weight: NDArray[np.generic], axes: Sequence[int]) -> int:
    """Return what a bias may be at most, whatever the codes of a weight."""
    return _LIMIT - 3 * _MIDDLE * _TOP * _terms(weight.shape, axes)


def _terms(shape: Sequence[int], axes: Sequence[int]) -> int:
    return int(np.prod([shape[axis] for axis in axes]))


def _shifted(codes: NDArray[np.integer]) -> NDArray[np.int16]:
    """Return codes as int8 kernels have them."""
    shifted: NDArray[np.int16] = unsigned_codes(codes).astype(np.int16) - np.int16(_MIDDLE)
    return shifted
