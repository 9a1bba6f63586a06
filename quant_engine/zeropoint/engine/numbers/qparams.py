"""Scale and zero point: the only place where these formulas stand.

A real value x and its integer code q belong together by x = scale * (q - zero_point).

The formulas are those of `onnxruntime.quantization` 1.32 (`compute_scale_zp`), to the bit, except
where that tool is wrong:

- A symmetric range without extent (all zeros) keeps the zero point of its type. There it gets 0,
  so one channel of zeros among uint8 channels breaks the rule of integer convolutions that all
  channels share one zero point.
- 7-bit codes (`reduce_range`) stay within 7 bits: saturation is at the reduced limits. The zero
  point is rounded before the scale is chosen, so that both ends of the range are within them: see
  `_enclosing_scale_and_zero_point`.
- Weight scales grow for a large bias whatever the weight's type; there only for symmetric int8.
- What is not finite is refused instead of written as an infinite scale.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from zeropoint.engine.errors import CalibrationError, ModelError
from zeropoint.engine.number_types import INT32, CodeLimits, NumberType, QuantType, number_type
from zeropoint.engine.options import WeightOptions
from zeropoint.engine.tensor_override import TensorQuantOverride

_BIAS_HEADROOM = 1.0001  # the rounding of a float32 scale must not undo the growth


@dataclass(frozen=True, slots=True, eq=False)
class QParams:
    """Quantization parameters of one tensor.

    Attributes:
        scale: Positive, float32 or float16; 0-d, or 1-d with one entry for each channel.
        zero_point: Integer of the quantized type, same shape as `scale`.
        axis: Axis of the channels; None for one scale.
        limits: Codes in use where they are fewer than the type has.
    """

    scale: NDArray[np.floating]
    zero_point: NDArray[np.integer]
    axis: int | None = None
    limits: CodeLimits | None = None

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Type of the codes."""
        return self.zero_point.dtype

    @property
    def number(self) -> NumberType:
        """The row of that type."""
        return number_type(self.dtype)

    @property
    def content(self) -> tuple[str, bytes, bytes]:
        """What is the same for tensors that have the same codes for the same numbers."""
        return str(self.dtype), self.scale.tobytes(), self.zero_point.tobytes()

    @property
    def code_limits(self) -> CodeLimits:
        """Codes in use, with the type's own limits filled in."""
        return self.number.limits if self.limits is None else self.limits

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that codes in use stand for, whatever the channel."""
        low, high = self.code_limits
        zero_point, scale = self.zero_point.astype(np.int64), self.scale.astype(np.float64)
        least, greatest = scale * (low - zero_point), scale * (high - zero_point)
        return float(least.min()), float(greatest.max())


def activation_qparams(
    low: float | NDArray[np.float64],
    high: float | NDArray[np.float64],
    quant_type: QuantType,
    *,
    symmetric: bool,
    restricted: bool = False,
    minimum_real_range: float = 0.0,
    scale_type: DTypeLike = np.float32,
) -> QParams:
    """Choose scale and zero point for the range of an activation, or for many ranges.

    Args:
        low: Lower end of the range, or float64[n]; zero is added to a range where it is outside.
        high: Upper end, or float64[n].
        quant_type: Integer type.
        symmetric: Widen the range to (-m, m).
        restricted: Take 0 or 128 for the zero point; asymmetric uint8 only.
        minimum_real_range: Raise the upper end until the range is as wide as this.
        scale_type: float32, or float16 for a float16 tensor: its QuantizeLinear takes no other.

    Returns:
        0-d parameters, or those of n ranges.

    Raises:
        CalibrationError: NO_FINITE_VALUES, the range is not finite in `scale_type`.
    """
    with np.errstate(over="ignore"):
        ends = np.asarray([low, high], dtype=np.float64).astype(scale_type)
    if not np.isfinite(ends).all():
        raise CalibrationError(
            "NO_FINITE_VALUES",
            f"The range ({np.min(low):g}, {np.max(high):g}) is not finite in "
            f"{np.dtype(scale_type)}.",
            low=float(np.min(low)),
            high=float(np.max(high)),
        )
    number = quant_type.number
    limits = number.spread(symmetric=symmetric)
    bottom, top = np.asarray(np.minimum(ends[0], 0)), np.asarray(np.maximum(ends[1], 0))
    top = _widened(bottom, top, minimum_real_range)
    if restricted:
        scale, zero_point = _restricted_scale_and_zero_point(bottom, top, limits)
    else:
        scale, zero_point = _scale_and_zero_point(bottom, top, limits, symmetric)
    return QParams(scale, zero_point.astype(number.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class CodeGrids:
    """The real values of the codes of several ranges: scale * k for first <= k <= last.

    Attributes:
        scale: float64[n], as it is stored.
        first: int64[n], lowest code less the zero point, none above zero.
        last: int64[n], highest code less the zero point; `last - first` is the same for all.
    """

    scale: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, qparams: QParams) -> "CodeGrids":
        """Return those of parameters that `activation_qparams` has given for many ranges."""
        low, high = qparams.code_limits
        zero = qparams.zero_point.astype(np.int64)
        return cls(qparams.scale.astype(np.float64), low - zero, high - zero)

    @property
    def levels(self) -> int:
        """How many codes there are."""
        return int(self.last[0] - self.first[0]) + 1

    def take(self, numbers: NDArray[np.intp]) -> "CodeGrids":
        """Return those of some ranges."""
        return CodeGrids(self.scale[numbers], self.first[numbers], self.last[numbers])

    def points(self, shift: float, count: int) -> NDArray[np.float64]:
        """Return scale * (first + shift), scale * (first + shift + 1), ..., float64[n, count]."""
        points = (self.first + shift)[:, np.newaxis] + np.arange(count, dtype=np.float64)
        points *= self.scale[:, np.newaxis]
        return points


def weight_qparams(
    weight: NDArray[np.floating],
    options: WeightOptions,
    axis: int | None,
    *,
    name: str = "weight",
    override: TensorQuantOverride | None = None,
) -> QParams:
    """Choose scales and zero points for a constant.

    Args:
        weight: float32 or float16, any shape.
        options: Type, symmetry and reduced range. `options.per_channel` is not looked at: whether
            this tensor has channels is said by `axis`.
        axis: Axis of the channels, negative from the end; None for one scale.
        name: Name of the tensor, for the error.
        override: Scales, or ends of ranges, that are given; `options` has the rest of it.

    Returns:
        Parameters in the weight's own float type: 0-d, or 1-d of `weight.shape[axis]` entries.

    Raises:
        ModelError: MODEL_UNSUPPORTED, the weight has NaN or infinities.
        OptionError: OPTION_INVALID, a figure of the override does not fit in the weight's type.
    """
    axis = None if axis is None else axis % weight.ndim
    if override is not None and override.scale:
        return _as_stored(given_qparams(override, options.codes, axis, weight.dtype), options)
    bottom, top = _extremes(weight, axis)
    if override is not None:
        bottom, top = _given_ends(bottom, top, override)
    if not (np.isfinite(bottom).all() and np.isfinite(top).all()):
        raise ModelError(
            "MODEL_UNSUPPORTED",
            f"Weight {name!r} holds NaN or infinite values and cannot be quantized. Repair the "
            f"weight, or list its nodes in nodes_to_exclude.",
            tensor=name,
        )
    symmetric = options.is_symmetric
    limits = options.codes.number.spread(symmetric=symmetric, reduce_range=options.reduce_range)
    top = _widened(bottom, top, options.minimum_real_range)
    spread = _enclosing_scale_and_zero_point if options.reduce_range else _scale_and_zero_point
    scale, zero_point = spread(bottom, top, limits, symmetric)
    found = QParams(
        scale,
        zero_point.astype(options.codes.number.dtype),
        axis,
        limits if options.reduce_range else None,
    )
    return _as_stored(found, options)


def _as_stored(found: QParams, options: WeightOptions) -> QParams:
    """Return parameters for the same numbers with the codes that are stored.

    Codes of uint8 become int8, the middle one 0: all are less by 128, of seven bits by 64.
    """
    if found.number is options.stored:
        return found
    middle = (found.code_limits.low + found.code_limits.high + 1) // 2
    moved = (found.zero_point.astype(np.int64) - middle).astype(options.stored.dtype)
    limits = found.limits.less(middle) if found.limits is not None else None
    return dataclasses.replace(found, zero_point=moved, limits=limits)


def given_qparams(
    override: TensorQuantOverride,
    quant_type: QuantType,
    axis: int | None = None,
    scale_type: DTypeLike = np.float32,
) -> QParams:
    """Return the scale and zero point of an override that has them; 0-d without an axis.

    Raises:
        OptionError: OPTION_INVALID, a scale is too large or too small for `scale_type`.
    """
    shape = () if axis is None else (-1,)
    scale = _stored(override.scale, scale_type, override).reshape(shape)
    if not scale.all():
        raise override.error(f"a scale is too small for {scale.dtype}, the type of the tensor")
    zero_point = np.array(override.zero_point, quant_type.number.dtype).reshape(shape)
    return QParams(scale, zero_point, axis)


def bias_qparams(input: QParams, weight: QParams) -> QParams:  # noqa: A002 - the field's term
    """Return the int32 parameters of a bias: scale = input scale * weight scale, zero point 0.

    Integer kernels add the bias to the accumulator, so its scale is no free choice.

    Args:
        input: Parameters of the activation, 0-d.
        weight: Parameters of the weight, 0-d or one entry for each channel.

    Returns:
        Parameters with the shape of `weight.scale`, on axis 0 where there are channels. A product
        too small for its float type becomes 1: after `grow_weight_for_bias` that can only happen
        where the bias is zero.
    """
    scale = np.asarray(input.scale * weight.scale)
    scale = np.where(scale == 0, np.ones_like(scale), scale)
    axis = None if weight.axis is None else 0
    return QParams(scale, np.zeros(scale.shape, dtype=INT32.dtype), axis)


def grow_weight_for_bias(
    input: QParams,  # noqa: A002 - the field's term
    weight: QParams,
    bias: NDArray[np.floating],
) -> QParams:
    """Grow weight scales until the bias fits into int32.

    A bias much larger than input scale * weight scale * 2^31 would be clipped. A larger weight
    scale costs precision in weights that hardly matter beside such a bias. (Same rule as
    `_adjust_weight_scale_for_int32_bias` of onnxruntime.quantization; the idea is TensorFlow
    Lite's, lite/tools/optimize/quantization_utils.cc.)

    Args:
        input: Parameters of the activation, 0-d.
        weight: Parameters of the weight.
        bias: One value for each channel, or a single one.

    Returns:
        `weight` itself where nothing has to grow, else the grown parameters.
    """
    magnitude = np.abs(np.asarray(bias, dtype=np.float32))
    if weight.scale.ndim == 0:
        magnitude = magnitude.max(initial=0.0).astype(np.float64)
    else:  # stays float32, as in 1.32, to have its last bit
        magnitude = np.broadcast_to(magnitude.reshape(-1), weight.scale.shape)
    smallest = _BIAS_HEADROOM * magnitude / np.float64(INT32.limits.high)
    scale = weight.scale.astype(np.float64)
    candidate = float(input.scale) * scale
    small = candidate < smallest
    if not small.any():
        return weight
    grown = np.where(small, scale * (smallest / candidate), scale)
    return dataclasses.replace(weight, scale=_not_below(grown, weight.scale.dtype))


def _widened(
    bottom: NDArray[np.floating], top: NDArray[np.floating], least: float
) -> NDArray[np.floating]:
    """Return upper ends that make ranges at least as wide as `least`, or as their type allows."""
    if not least:
        return top
    with np.errstate(over="ignore"):
        wide: NDArray[np.floating] = np.maximum(top, bottom + bottom.dtype.type(least))
    return np.asarray(np.minimum(wide, np.finfo(bottom.dtype).max))


def _restricted_scale_and_zero_point(
    bottom: NDArray[np.floating], top: NDArray[np.floating], limits: CodeLimits
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Spread ranges over unsigned codes: the zero point is 0, or the middle for negative values.

    The formula is `snap_zero_point_to_uint8` of onnxruntime.quantization 1.32.
    """
    low, high = bottom.astype(np.float64), top.astype(np.float64)
    positive, middle = low >= 0, (limits.high + 1) // 2
    two_sided = np.maximum(-low / middle, high / (limits.high - middle))
    scale = np.where(positive, high / limits.high, two_sided)
    scale = np.where(scale < np.finfo(bottom.dtype).tiny, 1.0, scale)
    return scale.astype(bottom.dtype), np.where(positive, 0.0, float(middle))


def _scale_and_zero_point(
    bottom: NDArray[np.floating], top: NDArray[np.floating], limits: CodeLimits, symmetric: bool
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Spread ranges that include zero over the codes.

    A scale too small for its type (float32: subnormal; float16: zero) becomes 1, with the zero
    point of the type where symmetric and 0 where not: nothing in such a range is told from zero.
    """
    stored = bottom.dtype
    low, high = bottom.astype(np.float64), top.astype(np.float64)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    scale = np.asarray((high - low) / (limits.high - limits.low))
    judged = scale.astype(stored) if stored == np.float16 else scale
    flat = judged < _smallest(stored)
    scale = np.where(flat, 1.0, scale)
    if symmetric:
        zero_point = np.full(scale.shape, np.rint((limits.low + limits.high) / 2))
    else:
        zero_point = np.where(flat, 0.0, np.rint(limits.low - low / scale))
    return scale.astype(stored), zero_point


def _smallest(stored: np.dtype[np.floating]) -> np.floating:
    """Return the smallest scale that kernels take."""
    known = np.finfo(stored)
    return known.smallest_subnormal if stored == np.float16 else known.tiny


def _enclosing_scale_and_zero_point(
    bottom: NDArray[np.floating], top: NDArray[np.floating], limits: CodeLimits, symmetric: bool
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Spread ranges over few codes, none of whose ends is cut.

    A zero point that is rounded after the scale was chosen moves the range by up to half a step,
    and the end that is then out of reach is cut: of 7 bits 1/254 of the range, all of it one-sided
    and on the largest weights (-1, 0, 1 with 25 dB). Here the zero point z is rounded first, down
    or up, whichever gives the smaller scale, and the scale is the least that holds both ends:

        scale = max(-bottom / (z - first code), top / (last code - z))

    which for (-m, m) and codes 0..127 is m / 63 with z = 64, and for -64..64 m / 64 with z = 0.
    """
    scale, zero_point = _scale_and_zero_point(bottom, top, limits, symmetric)
    low, high = bottom.astype(np.float64), top.astype(np.float64)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    share = np.divide(-low, high - low, out=np.zeros_like(low), where=high > low)
    exact = limits.low + share * (limits.high - limits.low)
    first, last = limits.low + (low < 0), limits.high - (high > 0)  # so that each end has a code
    least, best = np.full(low.shape, np.inf), exact
    for rounded in np.clip([np.ceil(exact), np.floor(exact)], first, last):
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([-low / (rounded - limits.low), high / (limits.high - rounded)])
        held = np.nan_to_num(ends, nan=0.0).max(axis=0)  # 0 / 0: there is no such end
        least, best = np.minimum(held, least), np.where(held < least, rounded, best)
    told = least.astype(bottom.dtype) >= _smallest(bottom.dtype)
    return (
        np.where(told, least, scale).astype(bottom.dtype),
        np.where(told, best, zero_point),
    )


def _extremes(
    weight: NDArray[np.floating], axis: int | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return minimum and maximum, zero included, of the tensor or of each channel."""
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    zero = weight.dtype.type(0)
    bottom = np.asarray(np.min(weight, axis=others, initial=zero))
    top = np.asarray(np.max(weight, axis=others, initial=zero))
    return bottom, top


def _given_ends(
    bottom: NDArray[np.floating], top: NDArray[np.floating], override: TensorQuantOverride
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return extremes with those replaced that an override has; zero is included."""
    low, high = (
        _stored(given, bottom.dtype, override).reshape(bottom.shape) if given else found
        for given, found in ((override.rmin, bottom), (override.rmax, top))
    )
    return np.asarray(np.minimum(low, 0)), np.asarray(np.maximum(high, 0))


def _stored(
    given: tuple[float, ...], dtype: DTypeLike, override: TensorQuantOverride
) -> NDArray[np.floating]:
    """Return figures of an override in the type of its tensor.

    Raises:
        OptionError: OPTION_INVALID, one is too large.
    """
    with np.errstate(over="ignore"):
        stored = np.array(given, dtype)
    if not np.isfinite(stored).all():
        raise override.error(f"a figure is too large for {stored.dtype}, the type of the tensor")
    return stored


def _not_below(exact: NDArray[np.float64], stored: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Store scales; float16 rounds up, float32 is fine enough for `_BIAS_HEADROOM`."""
    scale = exact.astype(stored)
    if stored == np.float16:
        scale = np.where(scale < exact, np.nextafter(scale, stored.type(np.inf)), scale)
    return np.asarray(scale)
