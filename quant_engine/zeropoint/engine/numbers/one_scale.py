"""What a weight loses by one scale for all of its channels."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

LEAST_DB = 40.0
"""Below this much signal to noise one scale is too coarse.

Channels that are spread alike have about 41 dB with 8 bits. Networks whose work one scale destroys
(the PP-OCRv4 recogniser, EfficientNet-lite0) have layers far below 30 dB; some lost points with a
limit of 30 still. Scales for each channel cost no time.
"""

_SQUARED = 1e-12  # scales whose squares, and those of 255 of them, are ordinary float32


def one_scale_db(weight: NDArray[np.floating], axes: Collection[int], scale: float) -> float:
    """Return the signal to noise that channels keep on the average if `scale` serves them all.

    Rounding adds scale^2 / 12 to the square of each element (the variance of an even spread). What
    a channel loses is that over the mean of its own squares, and at most 1: one that is rounded to
    zeros is gone, and no more. Channels of zeros lose nothing and do not count.

    Args:
        weight: Floats of any shape.
        axes: Those along which channels lie.
        scale: The distance of two codes.

    Returns:
        -10 log10 of the mean loss, in dB; infinity where nothing is lost.
    """
    if not scale:
        return float("inf")
    floats, step = weight.astype(np.float32, copy=False), scale
    if not _SQUARED < scale < 1 / _SQUARED:
        floats, step = floats / np.float32(scale), 1.0
    letters = [chr(ord("a") + axis) for axis in range(weight.ndim)]
    kept = "".join(letters[axis] for axis in sorted(axis % weight.ndim for axis in axes))
    term = "".join(letters)
    power = np.einsum(f"{term},{term}->{kept}", floats, floats).astype(np.float64)
    power = power[power > 0] / (weight.size // max(1, power.size))
    if not power.size:
        return float("inf")
    loss = np.minimum(1.0, step * step / 12 / power).mean()
    return float(-10 * np.log10(loss))
