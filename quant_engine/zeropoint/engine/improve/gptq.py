"""Rounding a weight so that what it is multiplied into changes least; knows no graph.

The error of codes whose values differ by D from a weight, over rows x of data, is sum |D x|^2 =
tr(D H D^T) with H = sum x x^T. GPTQ (Frantar et al. 2022) rounds one input after the other, each so
that it makes up for the errors of those before. Here in the form of which Chee et al. 2023 ("QuIP")
prove that it is the same: with H = M diag(d) M^T, M upper triangular with a diagonal of ones,

    D_k is rounded from  - sum of D_j M_jk over j < k,

which needs one factorization of H, and no inverse.
"""

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.number_types import CodeLimits

Array = NDArray[np.float64]

_DAMPING = 0.01  # of the mean of the diagonal of H, as GPTQ has it
_MORE_DAMPING = 10.0
_MOST_DAMPING = 10.0
_BLOCK = 64  # inputs that are rounded before their errors are handed on in one product


def gptq(
    weight: Array,
    hessian: Array,
    scale: Array,
    zero_point: Array,
    limits: CodeLimits,
    *,
    damping: float = _DAMPING,
) -> NDArray[np.int32]:
    """Choose codes for which the error of products is small.

    Args:
        weight: float64[..., outputs, inputs]; the leading axes are groups.
        hessian: Sum of x x^T over rows of data, float64[..., inputs, inputs].
        scale: Of each weight, as far as they differ: float64, broadcast against `weight`.
        zero_point: Likewise.
        limits: Codes in use.
        damping: What is added to the diagonal of `hessian`, as a share of its mean: it holds codes
            near the weight in directions that the data do not show.

    Returns:
        int32 codes of the shape of `weight`. Codes of inputs that are always zero are the nearest.
    """
    steps = np.broadcast_to(scale, weight.shape)
    order = np.argsort(-np.diagonal(hessian, axis1=-2, axis2=-1), axis=-1, kind="stable")
    factor = _unit_upper(_ordered(hessian, order, both=True), damping)
    if factor is None:
        return nearest(weight, steps, zero_point, limits)
    target = _ordered(weight, order)
    steps = _ordered(steps, order)
    zeros = _ordered(np.broadcast_to(zero_point, weight.shape), order)
    codes = np.empty(weight.shape, np.int32)
    error = np.zeros(weight.shape)
    for start in range(0, weight.shape[-1], _BLOCK):
        stop = min(start + _BLOCK, weight.shape[-1])
        wanted = target[..., start:stop] - error[..., :start] @ factor[..., :start, start:stop]
        for k in range(start, stop):
            inside = error[..., start:k] @ factor[..., start:k, k, np.newaxis]
            shifted = wanted[..., k - start] - inside[..., 0]
            code = np.rint(shifted / steps[..., k]) + zeros[..., k]
            np.clip(code, limits.low, limits.high, out=code)
            error[..., k] = (code - zeros[..., k]) * steps[..., k] - target[..., k]
            codes[..., k] = code
    back = np.argsort(order, axis=-1, kind="stable")
    return np.take_along_axis(codes, back[..., np.newaxis, :], axis=-1)


def nearest(
    weight: Array, scale: Array, zero_point: Array, limits: CodeLimits
) -> NDArray[np.int32]:
    """Return the codes nearest to a weight."""
    codes = np.rint(weight / scale) + zero_point
    return np.clip(codes, limits.low, limits.high).astype(np.int32)


def _ordered(array: Array, order: NDArray[np.intp], *, both: bool = False) -> Array:
    """Put the last axis, or both axes of square matrices, into an order."""
    taken = np.take_along_axis(array, order[..., np.newaxis, :], axis=-1)
    return np.take_along_axis(taken, order[..., :, np.newaxis], axis=-2) if both else taken


def _unit_upper(hessian: Array, damping: float) -> Array | None:
    """Return M of H = M diag(d) M^T, upper triangular with a diagonal of ones; H is damped.

    None where H holds what is not finite. `hessian` is used up.
    """
    diagonal = np.einsum("...ii->...i", hessian)  # a view
    known = diagonal.copy()
    mean = known.mean(axis=-1, keepdims=True)
    while damping <= _MOST_DAMPING:
        diagonal[...] = known + np.where(mean > 0, damping * mean, 1.0)
        try:
            lower = np.linalg.cholesky(hessian[..., ::-1, ::-1])
        except np.linalg.LinAlgError:
            damping *= _MORE_DAMPING
            continue
        upper: NDArray[np.floating] = lower[..., ::-1, ::-1]
        upper /= np.einsum("...ii->...i", upper).copy()[..., np.newaxis, :]
        return upper.astype(np.float64, copy=False) if np.isfinite(upper).all() else None
    return None
