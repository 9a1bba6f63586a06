"""The configuration that quantizes all of a model, as `onnxruntime.quantization` makes it."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from zeropoint.client.batches import BatchSource
from zeropoint.client.config import StaticQuantConfig, Type
from zeropoint.client.errors import OptionError
from zeropoint.client.model_files import ModelInput, model_path, unreadable
from zeropoint.client.options import CalibrationMethod, QuantFormat, QuantType
from zeropoint.client.outline import Outline, outline

_NEVER_QUANTIZED = frozenset({"Cast", "DequantizeLinear", "QuantizeLinear"})
_NATIVE_OPSET = 21  # 16 and 4 bits are ONNX's own from here on
_WIDE, _NARROW = frozenset({"QInt16", "QUInt16"}), frozenset({"QInt4", "QUInt4"})
_ONE_FILE_BYTES = 2147483648  # protobuf's limit
_CALIBRATE_ARGS: Mapping[str, str] = MappingProxyType(
    {
        "symmetric": "CalibTensorRangeSymmetric",
        "moving_average": "CalibMovingAverage",
        "averaging_constant": "CalibMovingAverageConstant",
        "max_intermediate_outputs": "CalibMaxIntermediateOutputs",
        "percentile": "CalibPercentile",
    }
)

NodeFilter = Callable[[Any, Any], bool]
"""Given an `onnx.ModelProto` and an `onnx.NodeProto`, tells whether that node stays float."""


def get_qdq_config(
    model_input: ModelInput,
    calibration_data_reader: BatchSource | None,
    calibrate_method: CalibrationMethod | str | Enum = CalibrationMethod.MinMax,
    calibrate_args: Mapping[str, Any] | None = None,
    activation_type: Type = QuantType.QUInt8,
    weight_type: Type = QuantType.QInt8,
    activation_symmetric: bool = False,
    weight_symmetric: bool | None = None,
    per_channel: bool | None = None,
    reduce_range: bool = False,
    keep_removable_activations: bool = False,
    min_real_range: float | None = None,
    tensor_quant_overrides: Mapping[str, Any] | None = None,
    calibration_providers: Sequence[Any] | None = None,
    op_types_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | NodeFilter | None = None,
    extra_options: Mapping[str, Any] | None = None,
) -> StaticQuantConfig:
    """Return a configuration for `quantize` that puts Q/DQ pairs around every operator that can.

    By default `quantize_static` quantizes what has integer kernels in ONNX Runtime; this one names
    all operator types of the model, for runtimes that have kernels for more.

    Args:
        model_input: Path of the model, an `onnx.ModelProto`, or the bytes of a model file.
        calibration_data_reader: As for `quantize_static`.
        calibrate_method: How activation ranges are chosen.
        calibrate_args: "symmetric" and "percentile", for the extra options
            CalibTensorRangeSymmetric and CalibPercentile; others as that package has them.
        activation_type: Integer type of activations.
        weight_type: Integer type of weights.
        activation_symmetric: Activation ranges symmetric around zero, whatever the type.
        weight_symmetric: Weight ranges symmetric around zero; None: for signed types.
        per_channel: One scale for each output channel of a weight; None: where one would lose
            much.
        reduce_range: Weights in 7 bits.
        keep_removable_activations: Keep Relu and Clip where quantized ranges imply them.
        min_real_range: Ranges are at least this wide.
        tensor_quant_overrides: What is otherwise for single tensors.
        calibration_providers: As for `quantize_static`.
        op_types_to_quantize: Operator types; None: all of the model but Cast, QuantizeLinear and
            DequantizeLinear.
        nodes_to_exclude: Names of nodes that stay float, or a function that is asked for each node
            and gets the `onnx.ModelProto` and the `onnx.NodeProto` (which needs onnx installed).
        extra_options: Further options; they win over those that the arguments above make.

    Returns:
        A configuration that `quantize` takes; its attributes may be changed before.

    Raises:
        ModelError: the model cannot be read.
        OptionError: `model_input` is neither a path nor a model.
    """
    seen, size = _outline(model_input)
    named = set(op_types_to_quantize or ())
    excluded = _excluded(model_input, nodes_to_exclude, named)
    op_types = {
        node.op_type
        for node in seen.nodes
        if node.name not in excluded and (not named or node.op_type in named)
    }
    overrides = copy.deepcopy(dict(tensor_quant_overrides or {}))
    extra: dict[str, Any] = {
        "MinimumRealRange": min_real_range,
        "QDQKeepRemovableActivations": keep_removable_activations,
        "ActivationSymmetric": activation_symmetric,
        "WeightSymmetric": weight_symmetric,
        "ForceQuantizeNoInputCheck": True,
        "TensorQuantOverrides": overrides,
    }
    given = calibrate_args or {}
    extra |= {key: given[name] for name, key in _CALIBRATE_ARGS.items() if name in given}
    types = {_type_name(activation_type), _type_name(weight_type), *_types_of(overrides)}
    if seen.opset < _NATIVE_OPSET and types & _NARROW and not types & _WIDE:
        extra["UseQDQContribOps"] = True
    return StaticQuantConfig(
        calibration_data_reader,
        calibrate_method,
        QuantFormat.QDQ,
        activation_type,
        weight_type,
        op_types_to_quantize=op_types_to_quantize or sorted(op_types - _NEVER_QUANTIZED),
        nodes_to_exclude=sorted(excluded),
        per_channel=per_channel,
        reduce_range=reduce_range,
        use_external_data_format=seen.external or size >= _ONE_FILE_BYTES,
        calibration_providers=calibration_providers,
        extra_options=extra | dict(extra_options or {}),
    )


def _outline(model: ModelInput) -> tuple[Outline, int]:
    """Return the outline of a model, and the bytes of its ONNX file."""
    with model_path(model) as path:
        try:
            return outline(path), path.stat().st_size
        except OSError as error:
            raise unreadable(path, error) from error


def _excluded(
    model: ModelInput, excluded: Sequence[str] | NodeFilter | None, op_types: set[str]
) -> set[str]:
    """Return the names of nodes that stay float; a function is asked for those of `op_types`."""
    if not callable(excluded):
        return set(excluded or ())
    proto = _loaded(model)
    asked = (node for node in proto.graph.node if not op_types or node.op_type in op_types)
    return {node.name for node in asked if excluded(proto, node)}


def _loaded(model: ModelInput) -> Any:
    """Return the model as an `onnx.ModelProto`, without external data."""
    if hasattr(model, "graph"):
        return model
    try:
        import onnx  # only a function of the user's needs it
    except ImportError as error:
        message = (
            "nodes_to_exclude is a function, which takes an onnx.ModelProto: pip install onnx, or "
            "give the names of the nodes."
        )
        raise OptionError("OPTION_INVALID", message, {"option": "nodes_to_exclude"}) from error
    with model_path(model) as path:
        return onnx.load(path, load_external_data=False)


def _types_of(overrides: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the types that overrides give to tensors."""
    for entries in overrides.values():
        for entry in entries:
            for part in (entry, entry.get("convert") or {}):
                if part.get("quant_type") is not None:
                    yield _type_name(part["quant_type"])


def _type_name(quant_type: Type) -> str:
    return quant_type.name if isinstance(quant_type, Enum) else str(quant_type)
