"""The `extra_options` of `onnxruntime.quantization` 1.32: honoured, or refused by name.

Those of its `quantize_static` and `quantize_dynamic`, and those of its `create_calibrator`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypedDict

from zeropoint.client.coercion import flag, number, reject_unknown
from zeropoint.client.errors import OptionError

_NOT_YET = "is not supported yet."
_ORDER_FREE = (
    "is not supported: moving averages depend on the order of batches, and results here do not. "
    "Drop it."
)
_CONSTANT_MEMORY = "is not needed: memory does not grow with the number of batches. Drop it."
_FIXED_BINS = "has no meaning here: bins are those of the statistics, whatever the data. Drop it."

_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "ActivationRestrictedAsymmetric": _NOT_YET,
        "AddQDQPairToWeight": "is not supported: weights are always stored as integers.",
        "BlockSize": _NOT_YET,
        "CalibMaxIntermediateOutputs": _CONSTANT_MEMORY,
        "CalibMovingAverage": _ORDER_FREE,
        "CalibMovingAverageConstant": _ORDER_FREE,
        "CalibStridedMinMax": _CONSTANT_MEMORY,
        "DedicatedQDQPair": "is not supported: one pair serves all consumers of a tensor.",
        "DefaultTensorType": "is not needed: types are taken from the runtime. Drop it.",
        "EnableSubgraph": "is not supported yet: nodes in subgraphs stay float.",
        "ForceQuantizeNoInputCheck": _NOT_YET,
        "MatMulConstBOnly": "is not supported: keep MatMul nodes float with nodes_to_exclude.",
        "MinimumRealRange": _NOT_YET,
        "OpTypesToExcludeOutputQuantization": _NOT_YET,
        "QDQDisableWeightAdjustForInt32Bias": _NOT_YET,
        "QDQKeepRemovableActivations": _NOT_YET,
        "QDQOpTypePerChannelSupportToAxis": (
            "is not supported: per_channel=True takes each operator's own axis."
        ),
        "QuantizeBias": _NOT_YET,
        "SmoothQuant": _NOT_YET,
        "SmoothQuantAlpha": _NOT_YET,
        "SmoothQuantFolding": _NOT_YET,
        "TensorQuantOverrides": _NOT_YET,
        "UseQDQContribOps": "is not needed: domain and opset are chosen for the model. Drop it.",
        "averaging_constant": _ORDER_FREE,
        "max_intermediate_outputs": _CONSTANT_MEMORY,
        "moving_average": _ORDER_FREE,
        "num_bins": _FIXED_BINS,
        "num_quantized_bins": "has no meaning here: levels are those of the integer type. Drop it.",
        "per_channel": "is not supported: activations have one scale. Drop it.",
        "percentile": "is called CalibPercentile here.",
        "scenario": "belongs to the Distribution method, which is not supported.",
        "symmetric": "is called CalibTensorRangeSymmetric here.",
        "extra.Sigmoid.nnapi": "belongs to the QOperator format, which is not supported yet.",
    }
)

_STATIC = ("ActivationSymmetric", "WeightSymmetric", "CalibPercentile", "CalibTensorRangeSymmetric")
_DYNAMIC = ("WeightSymmetric",)


class WeightExtras(TypedDict, total=False):
    """What `extra_options` can say about dynamic quantization."""

    weight_symmetric: bool


class StaticExtras(WeightExtras, total=False):
    """What `extra_options` can say about static quantization."""

    activation_symmetric: bool
    percentile: float
    calibration_range_symmetric: bool


class QatExtras(TypedDict, total=False):
    """What `extra_options` can say about a model that was trained with fake quantization."""

    quantize_bias: bool


def dynamic_extras(extra: Mapping[str, Any] | None) -> WeightExtras:
    """Return the fields of `DynamicOptions` that `extra` sets.

    Raises:
        OptionError: a key is unknown, not supported, or not for dynamic quantization.
    """
    extra = _checked(extra, _DYNAMIC, "dynamic")
    fields = WeightExtras()
    if "WeightSymmetric" in extra:
        fields["weight_symmetric"] = flag(extra["WeightSymmetric"], "WeightSymmetric")
    return fields


def static_extras(extra: Mapping[str, Any] | None) -> StaticExtras:
    """Return the fields of `StaticOptions` that `extra` sets.

    Raises:
        OptionError: a key is unknown or not supported.
    """
    extra = _checked(extra, _STATIC, "static")
    fields = StaticExtras()
    if "WeightSymmetric" in extra:
        fields["weight_symmetric"] = flag(extra["WeightSymmetric"], "WeightSymmetric")
    if "ActivationSymmetric" in extra:
        fields["activation_symmetric"] = flag(extra["ActivationSymmetric"], "ActivationSymmetric")
    if "CalibPercentile" in extra:
        fields["percentile"] = number(extra["CalibPercentile"], "CalibPercentile")
    if "CalibTensorRangeSymmetric" in extra:
        fields["calibration_range_symmetric"] = flag(
            extra["CalibTensorRangeSymmetric"], "CalibTensorRangeSymmetric"
        )
    return fields


def qat_extras(extra: Mapping[str, Any] | None) -> QatExtras:
    """Return the fields of `QatOptions` that `extra` sets.

    Raises:
        OptionError: a key is unknown, or says nothing about a trained model.
    """
    extra = _checked(extra, ("QuantizeBias",), "a trained model's")
    fields = QatExtras()
    if "QuantizeBias" in extra:
        fields["quantize_bias"] = flag(extra["QuantizeBias"], "QuantizeBias")
    return fields


def _checked(extra: object, honoured: tuple[str, ...], mode: str) -> Mapping[str, Any]:
    """Return the options that were given a value, once all of them can be honoured."""
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        message = f"extra_options must be a dict, not {type(extra).__name__}."
        raise OptionError("OPTION_INVALID", message, {"option": "extra_options"})
    reject_unknown(tuple(extra), (*_STATIC, *_REFUSED), "extra option")
    for key in extra:
        if key not in honoured:
            reason = _REFUSED.get(key, f"has no meaning in {mode} quantization. Drop it.")
            message = f"The extra option {key} {reason}"
            raise OptionError("OPTION_INVALID", message, {"option": key})
    return {key: value for key, value in extra.items() if value is not None}
