"""Real values to integer codes and back, by given scales and zero points.

The rounding is that of `quantize_nparray` of `onnxruntime.quantization` 1.32, and of ONNX Runtime.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.numbers.qparams import QParams

_BLOCK = 1 << 16  # elements; a block's temporaries stay in the CPU's cache


def quantize(array: NDArray[np.floating], qparams: QParams) -> NDArray[np.integer]:
    """Turn real values into codes: round(x / scale) + zero_point, saturated.

    Rounding is half to even, in float32 as QuantizeLinear of ONNX Runtime does it, and in float64
    for int32. Values are finite, of any shape, which codes have, too.
    """
    work = np.dtype(np.float64 if qparams.dtype.itemsize > 2 else np.float32)
    codes = np.empty(array.shape, dtype=qparams.dtype)
    low, high = qparams.code_limits
    for source, target, scale, zero_point in _blocks(array, codes, qparams):
        with np.errstate(over="ignore"):
            block = np.divide(source, scale.astype(work), dtype=work)
        np.rint(block, out=block)
        block += zero_point
        np.clip(block, low, high, out=block)
        target[...] = block.astype(qparams.dtype)
    return codes


def unsigned_codes(codes: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return int8 codes as uint8, each greater by 128; others as they are."""
    return codes.view(np.uint8) ^ np.uint8(128) if codes.dtype == np.int8 else codes


def dequantize(array: NDArray[np.integer], qparams: QParams) -> NDArray[np.floating]:
    """Turn codes into real values: scale * (q - zero_point), as DequantizeLinear does it.

    Values have the shape of the codes and the type of `qparams.scale`.
    """
    values = np.empty(array.shape, dtype=qparams.scale.dtype)
    for source, target, scale, zero_point in _blocks(array, values, qparams):
        block = source.astype(np.int32)
        block -= zero_point
        target[...] = block.astype(np.float32) * scale.astype(np.float32)
    return values


def _blocks(
    source: NDArray[Any], target: NDArray[Any], qparams: QParams
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[np.floating], NDArray[np.integer]]]:
    """Cut two arrays of one shape into views of at most `_BLOCK` elements.

    Each pair of views comes with the scales and zero points that apply to it, shaped to broadcast.
    `target` must be contiguous.
    """
    shape = _around_axis(source.shape, qparams.axis)
    source, target = source.reshape(shape), target.reshape(shape)
    scale, zero_point = qparams.scale.reshape(-1), qparams.zero_point.reshape(-1)
    inner = min(shape[2], _BLOCK)
    channels = min(shape[1], max(1, _BLOCK // max(1, inner)))
    outer = max(1, _BLOCK // max(1, inner * channels))
    steps = (outer, max(1, channels), max(1, inner))
    for corner in product(*(range(0, size, step) for size, step in zip(shape, steps, strict=True))):
        at = tuple(slice(start, start + step) for start, step in zip(corner, steps, strict=True))
        yield (
            source[at],
            target[at],
            scale[at[1]].reshape(1, -1, 1),
            zero_point[at[1]].reshape(1, -1, 1),
        )


def _around_axis(shape: tuple[int, ...], axis: int | None) -> tuple[int, int, int]:
    """Return the sizes before, on and after the axis."""
    if axis is None:
        return 1, 1, math.prod(shape)
    axis %= len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
