"""What lies in front of operators that saturate, found from their results.

Where Softmax or Sigmoid end a model, the SQNR of its outputs says little: close to 0 and 1 all
errors vanish, and one sample that is not close to them decides the figure. What they were given can
be told from what they gave, without a second session and without an exposed tensor, which would
keep ONNX Runtime from fusing kernels: logits up to a common shift of each distribution, and
log-odds. Where results hold no more information, as within a rounding of 1, both sides end at the
same bound.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import ComparedAs

Values = NDArray[np.float64]

_SUM_TOLERANCE: Final = 5e-3  # float16 and 8-bit codes add up to 1 only so nearly
_LOST_BITS: Final = 8.0  # function values near 1 are good to some units in the last place


class Saturation(StrEnum):
    """An operator that saturates, at the end of a model."""

    SOFTMAX = "Softmax"
    LOG_SOFTMAX = "LogSoftmax"
    SIGMOID = "Sigmoid"
    TANH = "Tanh"
    SOFTSIGN = "Softsign"
    HARD_SIGMOID = "HardSigmoid"


def distribution_axis(values: NDArray[Any], saturation: Saturation | None) -> int | None:
    """Return the axis along which values are distributions; None where there is none.

    Looked for in the values: so it is found behind whatever moves them.

    Args:
        values: Of the original model, float of any width and shape.
        saturation: What ends the model.
    """
    if saturation not in (Saturation.SOFTMAX, Saturation.LOG_SOFTMAX) or not values.size:
        return None
    shares = values.astype(np.float64)
    if saturation is Saturation.LOG_SOFTMAX:
        shares = np.exp(shares)
    axes = list(range(shares.ndim))
    for axis in (*axes[-1:], *axes[1:2], *axes[:-1]):
        if shares.shape[axis] > 1 and _add_up(shares, axis):
            return axis
    return None


def _add_up(shares: Values, axis: int) -> bool:
    return bool(np.abs(shares.sum(axis) - 1.0).max() < _SUM_TOLERANCE)


def compared_as(saturation: Saturation | None, axis: int | None) -> ComparedAs:
    """Return what `in_front` makes of an output with distributions along an axis, or without."""
    if saturation is Saturation.SOFTMAX and axis is None:
        return ComparedAs.LOG_ODDS
    return ComparedAs.VALUES if saturation is None else _MEANING[saturation]


def in_front(
    values: Values,
    saturation: Saturation | None,
    axis: int | None,
    dtype: np.dtype[Any],
    step: float = 0.0,
) -> Values:
    """Return what the final operator was given, as far as its results tell.

    Args:
        values: Results of the original or of the quantized model, any shape.
        saturation: The operator; None: values are returned as they are.
        axis: Of distributions, as `distribution_axis` finds it.
        dtype: Of the results, a float, whose precision bounds what can be told.
        step: Distance of two neighbouring codes, where the quantized model rounds its results to
            codes; 0 where it does not. It bounds both sides.
    """
    if saturation is None:
        return values
    found: Any = np.finfo(dtype)
    coarse = max(float(found.eps) * _LOST_BITS, step / 2)
    if saturation is Saturation.SOFTMAX and axis is not None:
        return _centred(np.log(np.maximum(values, max(float(found.tiny), step / 2))), axis)
    if saturation is Saturation.LOG_SOFTMAX:
        least = np.maximum(values, np.log(float(found.tiny)))
        return least if axis is None else _centred(least, axis)
    return _INVERSES[saturation](values, coarse)


def _centred(logits: Values, axis: int) -> Values:
    return np.asarray(logits - logits.mean(axis, keepdims=True))


def _log_odds(shares: Values, resolved: float) -> Values:
    inside = np.clip(shares, resolved, 1.0 - resolved)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _tanh(values: Values, resolved: float) -> Values:
    return np.asarray(np.arctanh(np.clip(values, resolved - 1.0, 1.0 - resolved)))


def _softsign(values: Values, resolved: float) -> Values:
    inside = np.clip(values, resolved - 1.0, 1.0 - resolved)
    return np.asarray(inside / (1.0 - np.abs(inside)))


def _hard_sigmoid(values: Values, _resolved: float) -> Values:
    return values - 0.5


_INVERSES: Final[dict[Saturation, Callable[[Values, float], Values]]] = {
    Saturation.SOFTMAX: _log_odds,
    Saturation.SIGMOID: _log_odds,
    Saturation.TANH: _tanh,
    Saturation.SOFTSIGN: _softsign,
    Saturation.HARD_SIGMOID: _hard_sigmoid,
}
_MEANING: Final = {
    Saturation.SOFTMAX: ComparedAs.LOGITS,
    Saturation.LOG_SOFTMAX: ComparedAs.LOGITS,
    Saturation.SIGMOID: ComparedAs.LOG_ODDS,
    Saturation.TANH: ComparedAs.PRE_ACTIVATIONS,
    Saturation.SOFTSIGN: ComparedAs.PRE_ACTIVATIONS,
    Saturation.HARD_SIGMOID: ComparedAs.PRE_ACTIVATIONS,
}
