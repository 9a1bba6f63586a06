"""Codes of a layer's weight with which its result is nearest to the float model's."""

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.improve.bias_correction import corrected_bias
from zeropoint.engine.improve.gptq import gptq, nearest
from zeropoint.engine.improve.moments import Moments
from zeropoint.engine.number_types import CodeLimits

Array = NDArray[np.float64]


def rounded_codes(
    moments: Moments,
    weight: Array,
    bias: Array,
    scale: Array,
    zero_point: Array,
    limits: CodeLimits,
    *,
    free_bias: bool,
) -> NDArray[np.int32]:
    """Choose codes at given scales; for no output are they worse than the nearest ones.

    Args:
        moments: Of the layer.
        weight: float64[groups, outputs, inputs].
        bias: float64[groups, outputs].
        scale: Of each weight, broadcast against `weight`.
        zero_point: Likewise.
        limits: Codes in use.
        free_bias: Whether the bias may follow: then the mean of the data does not count.

    Returns:
        int32 codes of the shape of `weight`.
    """
    plain = nearest(weight, scale, zero_point, limits)
    hessian = moments.centred if free_bias else moments.second
    chosen = gptq(weight, hessian, scale, zero_point, limits)

    def error(codes: NDArray[np.int32]) -> Array:
        values = (codes - zero_point) * scale
        moved = corrected_bias(moments, values, bias) if free_bias else bias
        return moments.error(values, moved)

    better = error(chosen) < error(plain)
    return np.where(better[..., np.newaxis], chosen, plain)
