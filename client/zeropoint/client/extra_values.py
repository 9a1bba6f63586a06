"""Values of extra options that ask for what is done in any case, and why others are refused."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

_NOT_YET = "is not supported yet."
_ORDER_FREE = (
    "is not supported: moving averages depend on the order of batches, and results here do not. "
    "Drop it."
)
_CONSTANT_MEMORY = (
    "has no effect and must be a positive whole number: memory does not grow with the number of "
    "batches, and the result is that of all data. Drop it."
)
_FIXED_BINS = "has no meaning here: bins are those of the statistics, whatever the data. Drop it."
_SMOOTH = "belongs to SmoothQuant, which is not supported yet."

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "BlockSize": "is not supported yet: weights have one scale, or one for each channel.",
        "CalibMaxIntermediateOutputs": _CONSTANT_MEMORY,
        "CalibMovingAverage": _ORDER_FREE,
        "CalibMovingAverageConstant": _ORDER_FREE,
        "CalibStridedMinMax": _CONSTANT_MEMORY,
        "DefaultTensorType": (
            "is not needed: types are taken from the runtime, and only float32 and float16 are "
            "quantized. Drop it."
        ),
        "QDQDisableWeightAdjustForInt32Bias": (
            "is not supported: biases that do not fit into int32 would be clipped. Leave such "
            "nodes float with nodes_to_exclude; the warning WEIGHT_SCALE_GROWN names them."
        ),
        "QDQKeepRemovableActivations": (
            "must be True or False, and has no effect: Relu and Clip stay in the graph, and "
            "runtimes drop them where the quantized range implies them."
        ),
        "QDQOpTypePerChannelSupportToAxis": (
            "is supported only as far as it names the axis of output channels, which "
            "per_channel=True takes by itself: 0 for Conv, 1 for MatMul and ConvTranspose. "
            "Integer kernels take scales along no other."
        ),
        "SmoothQuant": _NOT_YET,
        "SmoothQuantAlpha": _SMOOTH,
        "SmoothQuantFolding": _SMOOTH,
        "averaging_constant": _ORDER_FREE,
        "extra.Sigmoid.nnapi": "fixes Sigmoid's scale at 1/256, in which small gates are lost.",
        "max_intermediate_outputs": _CONSTANT_MEMORY,
        "moving_average": _ORDER_FREE,
        "num_bins": _FIXED_BINS,
        "num_quantized_bins": "has no meaning here: levels are those of the integer type. Drop it.",
        "per_channel": "is not supported: activations have one scale. Drop it.",
        "percentile": "is called CalibPercentile here.",
        "scenario": "belongs to the Distribution method, which is not supported.",
        "symmetric": "is called CalibTensorRangeSymmetric here.",
    }
)
"""Why a key is refused with a value other than those that `is_what_is_done` takes."""

# Defaults of onnxruntime.quantization, for keys that are refused, or have no meaning in dynamic
# quantization, with another value.
_DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        "ActivationRestrictedAsymmetric": False,
        "ActivationSymmetric": False,
        "AddQDQPairToWeight": False,
        "BlockSize": 0,
        "CalibMovingAverage": False,
        "CalibMovingAverageConstant": 0.01,
        "CalibTensorRangeSymmetric": False,
        "DedicatedQDQPair": False,
        "ForceQuantizeNoInputCheck": False,
        "KeepActivationType": False,
        "QDQDisableWeightAdjustForInt32Bias": False,
        "QuantizeBias": True,
        "SmoothQuant": False,
        "SmoothQuantAlpha": 0.5,
        "SmoothQuantFolding": True,
        "UseQDQContribOps": False,
        "averaging_constant": 0.01,
        "extra.Sigmoid.nnapi": False,
        "moving_average": False,
        "per_channel": False,
    }
)
_OUTPUT_CHANNELS = {"Conv": (0,), "ConvTranspose": (1,), "MatMul": (1, -1)}
_FLOAT = 1  # onnx.TensorProto.FLOAT


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value > 0)


def _is_output_channels(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        axis in _OUTPUT_CHANNELS.get(op_type, ()) for op_type, axis in value.items()
    )


def _is_empty(value: object) -> bool:
    return isinstance(value, list | tuple | Mapping) and not value


_DONE: Mapping[str, Callable[[object], bool]] = MappingProxyType(
    {
        "CalibMaxIntermediateOutputs": _is_count,
        "CalibStridedMinMax": _is_count,
        "DefaultTensorType": lambda value: value == _FLOAT,
        "OpTypesToExcludeOutputQuantization": _is_empty,
        "QDQKeepRemovableActivations": lambda value: isinstance(value, bool),
        "QDQOpTypePerChannelSupportToAxis": _is_output_channels,
        "max_intermediate_outputs": _is_count,
    }
)


def is_what_is_done(key: str, value: object) -> bool:
    """Whether a key has a value that asks for what is done without it, too."""
    if key in _DONE:
        return _DONE[key](value)
    default = _DEFAULTS.get(key)
    if isinstance(default, bool) or isinstance(value, bool):
        return value is default
    return default is not None and value == default
