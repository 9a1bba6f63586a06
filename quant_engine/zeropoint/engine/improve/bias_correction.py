"""Biases that make up for the mean error of a layer (Nagel et al. 2019, section 4.2).

What a layer of the quantized model gives differs from what that of the float model gives by a mean
that is no noise: the rounding of its weight times the mean of its data, and what earlier layers
left. Moving the bias by that mean costs nothing.
"""

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.improve.moments import Means

Array = NDArray[np.float64]

_LEAST_PARTS = 2


def corrected_bias(means: Means, weight: Array, bias: Array) -> Array:
    """Return the bias with which the mean error of each channel is gone, where that holds.

    A channel's correction is kept where it lowers the squared error of parts of the data that had
    no say in it, each part left out in turn.

    Args:
        means: Of the layer.
        weight: As it is rounded, float64[groups, outputs, inputs].
        bias: float64[groups, outputs].
    """
    offsets, rows = means.offsets(weight, bias), means.rows[:, np.newaxis, np.newaxis]
    if len(offsets) < _LEAST_PARTS:
        return bias
    total, count = (offsets * rows).sum(axis=0), rows.sum(axis=0)
    without = (total - offsets * rows) / (count - rows)
    change = (rows * (without**2 - 2 * without * offsets)).sum(axis=0)
    return np.where(change < 0, bias + total / count, bias)
