"""Quantization by a configuration object, as in `onnxruntime.quantization`.

Names, order and defaults are those of that package's classes: weights are int8, and activations in
static quantization, too. Those of `quantize_static` and `quantize_dynamic` are uint8.
"""

import os
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypedDict, Unpack

import grpc

from zeropoint.client import api
from zeropoint.client.batches import BatchSource
from zeropoint.client.client import QuantizationResult
from zeropoint.client.errors import OptionError
from zeropoint.client.evaluation import Evaluate
from zeropoint.client.link import CancelSignal
from zeropoint.client.model_files import ModelInput
from zeropoint.client.options import (
    AccuracyMode,
    CalibrationMethod,
    Objective,
    QuantFormat,
    QuantType,
)
from zeropoint.client.progress import ProgressCallback

Type = QuantType | str | int | Enum


class QuantConfig:
    """What static and dynamic quantization have in common; attributes may be changed.

    Attributes:
        activation_type: Integer type of activations.
        weight_type: Integer type of weights.
        op_types_to_quantize: Operator types to quantize; empty: all that are supported.
        nodes_to_quantize: Names or shell patterns of nodes; empty: all.
        nodes_to_exclude: Names or shell patterns of nodes that stay float.
        per_channel: One scale for each output channel of a weight; None: where one would lose
            much.
        reduce_range: Weights in 7 bits.
        use_external_data_format: Put weights into a data file beside the model.
    """

    def __init__(
        self,
        activation_type: Type = QuantType.QUInt8,
        weight_type: Type = QuantType.QInt8,
        op_types_to_quantize: Sequence[str] | None = None,
        nodes_to_quantize: Sequence[str] | None = None,
        nodes_to_exclude: Sequence[str] | None = None,
        per_channel: bool | None = None,
        reduce_range: bool = False,
        use_external_data_format: bool = False,
    ) -> None:
        """Keep the options; they are checked when a model is quantized."""
        self.activation_type = activation_type
        self.weight_type = weight_type
        self.op_types_to_quantize = op_types_to_quantize or []
        self.nodes_to_quantize = nodes_to_quantize or []
        self.nodes_to_exclude = nodes_to_exclude or []
        self.per_channel = per_channel
        self.reduce_range = reduce_range
        self.use_external_data_format = use_external_data_format


class StaticQuantConfig(QuantConfig):
    """Options of static quantization; the attributes have the names of the arguments."""

    def __init__(
        self,
        calibration_data_reader: BatchSource | None,
        calibrate_method: CalibrationMethod | str | Enum = CalibrationMethod.MinMax,
        quant_format: QuantFormat | str | Enum = QuantFormat.QDQ,
        activation_type: Type = QuantType.QInt8,
        weight_type: Type = QuantType.QInt8,
        op_types_to_quantize: Sequence[str] | None = None,
        nodes_to_quantize: Sequence[str] | None = None,
        nodes_to_exclude: Sequence[str] | None = None,
        per_channel: bool | None = None,
        reduce_range: bool = False,
        use_external_data_format: bool = False,
        calibration_providers: Sequence[Any] | None = None,
        extra_options: dict[str, Any] | None = None,
    ) -> None:
        """Keep the options of `quantize_static`, with the defaults of `onnxruntime.quantization`.

        Activations are QInt8, which are symmetric unless `extra_options` has
        `ActivationSymmetric: False`.
        """
        super().__init__(
            activation_type,
            weight_type,
            op_types_to_quantize,
            nodes_to_quantize,
            nodes_to_exclude,
            per_channel,
            reduce_range,
            use_external_data_format,
        )
        self.calibration_data_reader = calibration_data_reader
        self.calibrate_method = calibrate_method
        self.quant_format = quant_format
        self.calibration_providers = calibration_providers
        self.extra_options: dict[str, Any] = extra_options or {}


class DynamicQuantConfig(QuantConfig):
    """Options of dynamic quantization; the attributes have the names of the arguments."""

    def __init__(
        self,
        weight_type: Type = QuantType.QInt8,
        op_types_to_quantize: Sequence[str] | None = None,
        nodes_to_quantize: Sequence[str] | None = None,
        nodes_to_exclude: Sequence[str] | None = None,
        per_channel: bool | None = None,
        reduce_range: bool = False,
        use_external_data_format: bool = False,
        extra_options: dict[str, Any] | None = None,
    ) -> None:
        """Keep the options of `quantize_dynamic`, with the defaults of `onnxruntime.quantization`.

        Activations are always quantized to uint8.
        """
        super().__init__(
            weight_type=weight_type,
            op_types_to_quantize=op_types_to_quantize,
            nodes_to_quantize=nodes_to_quantize,
            nodes_to_exclude=nodes_to_exclude,
            per_channel=per_channel,
            reduce_range=reduce_range,
            use_external_data_format=use_external_data_format,
        )
        self.extra_options: dict[str, Any] = extra_options or {}


class JobKeywords(TypedDict, total=False):
    """What the functions of Zeropoint take beside options of quantization."""

    min_sqnr_db: float | None
    min_agreement: float | None
    state: Mapping[str, str] | None
    strict: bool
    accuracy: AccuracyMode | str
    objective: Objective | str
    sensitivity: bool
    decisions: str
    evaluate: Evaluate | None
    max_drop: float | None
    server: str | None
    token: str | None
    credentials: grpc.ChannelCredentials | None
    progress: ProgressCallback | None
    timeout: float | None
    cancel: CancelSignal | None


_COMMON = (
    "weight_type",
    "op_types_to_quantize",
    "nodes_to_quantize",
    "nodes_to_exclude",
    "per_channel",
    "reduce_range",
    "use_external_data_format",
    "extra_options",
)
_STATIC = (
    "calibration_data_reader",
    "calibrate_method",
    "quant_format",
    "activation_type",
    "calibration_providers",
)


def quantize(
    model_input: ModelInput,
    model_output: str | os.PathLike[str],
    quant_config: QuantConfig,
    **job: Unpack[JobKeywords],
) -> QuantizationResult:
    """Quantize a model as a configuration says.

    Args:
        model_input: Path of the model, an `onnx.ModelProto`, or the bytes of a model file.
        model_output: Path of the quantized model; written by rename, when whole.
        quant_config: A `StaticQuantConfig` or `DynamicQuantConfig`; those of
            `onnxruntime.quantization` are understood, too.
        **job: As for `quantize_static`.

    Returns:
        Where the result is, and the proof that it works.

    Raises:
        ZeropointError: of a class that tells what was wrong; no file is left then.
        Exception: what the reader or the callback raises, as it is.
    """
    kinds = {kind.__name__ for kind in type(quant_config).__mro__}
    if "StaticQuantConfig" in kinds:
        options = {name: getattr(quant_config, name) for name in (*_STATIC, *_COMMON)}
        return api.quantize_static(model_input, model_output, **options, **job)
    if "DynamicQuantConfig" in kinds:
        options = {name: getattr(quant_config, name) for name in _COMMON}
        return api.quantize_dynamic(model_input, model_output, **options, **job)
    message = (
        "quant_config must be a StaticQuantConfig or a DynamicQuantConfig, not "
        f"{type(quant_config).__name__}."
    )
    raise OptionError("OPTION_INVALID", message, {"option": "quant_config"})
