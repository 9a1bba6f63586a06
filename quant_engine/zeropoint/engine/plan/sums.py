"""Sums of products that may not fit into int32: fewer bits for weights, or floats."""

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.errors import OptionError
from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.number_types import INT8, INT32, UINT8
from zeropoint.engine.numbers import (
    SAFE_TERMS,
    QParams,
    data_zero,
    fit_weight,
    least_scale,
    quantize,
    sums_fit,
)
from zeropoint.engine.operators import OpRule, Role, dequantizer_of, read_qparams, summed_axes
from zeropoint.engine.plan.quant_plan import ConstantInput
from zeropoint.engine.reasons import Kept, Reason

_MOST_GROWTH = 2.0  # of a scale: 7 bits are left
_COMPUTED_TERMS = INT32.limits.high // UINT8.limits.high**2


def too_long(node: ir.Node, rule: OpRule) -> Kept | None:
    """Return why a layer stays float; None where its sums fit, with weights of 7 bits at least.

    That holds for all data; what is known of their zero point later leaves more bits.
    """
    if rule.role is not Role.COMPUTE or rule.weight is None:
        return None
    weight = input_at(node, rule.weight)
    array, terms = constant(weight), _terms(node, weight)
    if array is None:
        return _too_long(terms) if terms > _COMPUTED_TERMS else None
    if terms <= SAFE_TERMS or not array.size:
        return None
    axes = summed_axes(node, array.ndim)
    peak = float(np.abs(array).max()) / INT8.limits.high
    least = least_scale(array, axes, data_zero(None))
    return _too_long(terms) if float(least.max()) > _MOST_GROWTH * peak else None


def stored_too_long(node: ir.Node) -> Kept | None:
    """Return why a layer whose codes are there already stays float; None where its sums fit."""
    weight = dequantizer_of(input_at(node, 1))
    if weight is None or (codes := constant(weight.inputs[0])) is None:
        return None
    qparams, data = read_qparams(weight), dequantizer_of(node.inputs[0])
    if qparams is None or qparams.number not in (INT8, UINT8):
        return None
    read = read_qparams(data) if data is not None else None
    zero = data_zero(read if read is not None and read.number in (INT8, UINT8) else None)
    axes = summed_axes(node, codes.ndim)
    if sums_fit(codes, qparams.zero_point.reshape(-1), axes, zero):
        return None
    return _too_long(_terms(node, weight.outputs[0]))


def fit_layer(
    node: ir.Node,
    array: NDArray[np.floating],
    qparams: QParams,
    where: ConstantInput,
    data: QParams | None,
    bias: NDArray[np.floating] | None = None,
) -> QParams:
    """Return parameters of a layer's weight with which its sums fit into int32.

    Args:
        node: The layer.
        array: Its weight.
        qparams: Those that options give.
        where: How the weight is planned.
        data: Parameters of the data; None where they are known only as they come.
        bias: One value, or one for each output channel; None where floats are added.

    Raises:
        OptionError: OPTION_CONFLICT, the scale is given, and with it sums do not fit.
    """
    axes, zero = summed_axes(node, array.ndim), data_zero(data)
    offset: NDArray[np.float64] | float = 0.0
    if bias is not None and data is not None:
        offset = np.abs(bias.astype(np.float64)) / float(data.scale)
    if where.override is None or not where.override.scale:
        return fit_weight(array, qparams, axes, zero, offset)
    scale = qparams.scale.astype(np.float64)
    if not sums_fit(quantize(array, qparams), qparams.zero_point, axes, zero, offset / scale):
        raise OptionError(
            "OPTION_CONFLICT",
            f"TensorQuantOverrides gives {where.override.tensor_name!r} a scale with which the "
            f"sums of {name_of(node)!r} do not fit into int32. Give a larger one, or leave it out.",
            option="tensor_quant_overrides",
            tensor=where.override.tensor_name,
        )
    return qparams


def _terms(node: ir.Node, weight: ir.Value | None) -> int:
    """Return how many products are summed up, as far as that is known."""
    if weight is None or weight.shape is None:
        return 0
    sizes = [weight.shape[axis] for axis in summed_axes(node, len(weight.shape))]
    return math.prod(size if isinstance(size, int) else 1 for size in sizes)


def _too_long(terms: int) -> Kept:
    return Kept(
        Reason.SUM_TOO_LONG,
        f"its sums of {terms} products may not fit into the int32 that integer kernels sum up in",
    )
