"""The functions that people know: to quantize static, dynamic or after training, and to inspect."""

import os
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Unpack

import grpc

from zeropoint.client.batches import BatchSource
from zeropoint.client.client import QuantizationClient, QuantizationResult
from zeropoint.client.evaluation import Evaluate
from zeropoint.client.keywords import Mode
from zeropoint.client.link import CancelSignal
from zeropoint.client.model_files import ModelInput
from zeropoint.client.options import (
    AccuracyMode,
    CalibrationMethod,
    InspectKeywords,
    Objective,
    QuantFormat,
    QuantType,
)
from zeropoint.client.progress import ProgressCallback
from zeropoint.client.report import Inspection


def quantize_static(
    model_input: ModelInput,
    model_output: str | os.PathLike[str],
    calibration_data_reader: BatchSource | None = None,
    quant_format: QuantFormat | str | Enum = QuantFormat.QDQ,
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool | None = None,
    reduce_range: bool = False,
    activation_type: QuantType | str | int | Enum = QuantType.QUInt8,
    weight_type: QuantType | str | int | Enum | None = None,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    calibrate_method: CalibrationMethod | str | Enum = CalibrationMethod.MinMax,
    calibration_providers: Sequence[Any] | None = None,
    extra_options: Mapping[str, Any] | None = None,
    calibration_cache_path: str | os.PathLike[str] | None = None,
    *,
    min_sqnr_db: float | None = None,
    min_agreement: float | None = None,
    state: Mapping[str, str] | None = None,
    strict: bool = False,
    accuracy: AccuracyMode | str = AccuracyMode.guard,
    objective: Objective | str = Objective.latency,
    sensitivity: bool = False,
    decisions: str = "",
    evaluate: Evaluate | None = None,
    max_drop: float | None = None,
    verification_data: BatchSource = (),
    server: str | None = None,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    progress: ProgressCallback | None = None,
    timeout: float | None = None,
    cancel: CancelSignal | None = None,
) -> QuantizationResult:
    """Quantize weights and activations, with activation ranges from calibration batches.

    The arguments of `onnxruntime.quantization.quantize_static` stand where they stand there; what
    is Zeropoint's own is given by name. Enums written for that package, their members' names, and
    for types the numbers of `onnx.TensorProto` are understood.

    Args:
        model_input: Path of the model, an `onnx.ModelProto`, or the bytes of a model file. It is
            never touched.
        model_output: Path of the quantized model; written by rename, when whole.
        calibration_data_reader: Any object with `get_next()`, or any iterable, that gives dicts
            of arrays by input name; for a model with one input, arrays alone will do. None where
            `calibration_cache_path` is there.
        quant_format: Form of the result.
        op_types_to_quantize: Operator types to quantize; None: all that are supported.
        per_channel: One scale for each output channel of a weight (True), or one for the whole
            (False); default: for each channel where one scale would lose much.
        reduce_range: Weights in 7 bits, for CPUs whose 8-bit multiply-add saturates.
        activation_type: Integer type of activations.
        weight_type: Integer type of weights; None: codes of QUInt8, stored as int8 and less by
            128, which is the same numbers and faster.
        nodes_to_quantize: Names or shell patterns of nodes; None: all.
        nodes_to_exclude: Names or shell patterns of nodes that stay float.
        use_external_data_format: Put weights into a data file beside the model, whatever its size;
            a result over 2 GB always gets one.
        calibrate_method: How activation ranges are chosen: MinMax, Percentile, Entropy, MSE or
            Auto, the best of them for each tensor.
        calibration_providers: Accepted, with a warning where it names another provider than
            CPUExecutionProvider: the server runs the model on its CPU.
        extra_options: Those of `onnxruntime.quantization`, such as TensorQuantOverrides; what
            cannot be honoured is refused by name. `docs/extra-options.md` lists them all.
        calibration_cache_path: Statistics of this model. If the file is there, it is used and no
            data are taken, whatever the other options; else it is written when the job is done.
        min_sqnr_db: Floor of the result's SQNR in dB, for a warning; None: 12.
        min_agreement: Least share of decisions that are the original's, where outputs make at
            least 100; None: 0.95.
        state: Outputs that feed inputs of the next call, {"output": "input"}; None: those that
            names, types and shapes show. Batches in their order are then a sequence, and the result
            is verified on it with its own state: `report.verification.roll_out`.
        strict: Refuse a result below these floors, or that could not be compared.
        accuracy: What is done about a result below them. "guard": the nodes that cause it get the
            least costly remedy; "auto": what is asked for are limits, within which the best model
            that keeps them is looked for; "off": it is told.
        objective: What counts in "auto": "latency" or "size".
        sensitivity: Have the effect of each node measured, for `report.accuracy.sensitivities`.
        decisions: `report.accuracy.decisions` of an earlier job on this model: the same is done
            again, and nothing is searched.
        evaluate: A figure of your own, of which more is better, as a function of the path of a
            model. Candidates come here and are evaluated in this thread; that figure then counts
            instead of the floors above. Minus infinity: a candidate cannot be used.
        max_drop: By how much that figure may be less than the original's, in its own unit; None:
            by 1 % of the original's.
        verification_data: Batches to compare the result with the original on, given as the others,
            which then all serve for ranges. Without any, about one in eight of 32 calibration
            samples or more is held out for that; of fewer none is.
        server: Address, "host:port" or "unix:/path"; None: ZEROPOINT_SERVER, or else a server of
            this process's own.
        token: Token to show to the server; None: ZEROPOINT_TOKEN.
        credentials: TLS credentials, `grpc.ssl_channel_credentials()`; None: a plain connection.
        progress: Told how far the job is, in this thread.
        timeout: Seconds for the whole job, in which what a busy or absent server refuses is tried
            again; None: no limit for the job, and 10 minutes for that.
        cancel: Something like `threading.Event`; the job ends soon after it is set.

    Returns:
        Where the result is, and the proof that it works.

    Raises:
        ZeropointError: of a class that tells what was wrong; no file is left then.
        Exception: what the reader, the callback or `evaluate` raises, as it is.
    """
    with QuantizationClient(server, token=token, credentials=credentials) as client:
        return client.quantize_static(
            model_input,
            model_output,
            calibration_data_reader,
            calibration_cache_path=calibration_cache_path,
            verification_data=verification_data,
            calibration_providers=calibration_providers,
            quant_format=quant_format,
            op_types_to_quantize=op_types_to_quantize,
            per_channel=per_channel,
            reduce_range=reduce_range,
            activation_type=activation_type,
            weight_type=weight_type,
            nodes_to_quantize=nodes_to_quantize,
            nodes_to_exclude=nodes_to_exclude,
            use_external_data_format=use_external_data_format,
            calibrate_method=calibrate_method,
            extra_options=extra_options,
            min_sqnr_db=min_sqnr_db,
            min_agreement=min_agreement,
            state=state,
            strict=strict,
            accuracy=accuracy,
            objective=objective,
            sensitivity=sensitivity,
            decisions=decisions,
            evaluate=evaluate,
            max_drop=max_drop,
            progress=progress,
            timeout=timeout,
            cancel=cancel,
        )


def quantize_dynamic(
    model_input: ModelInput,
    model_output: str | os.PathLike[str],
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool | None = None,
    reduce_range: bool = False,
    weight_type: QuantType | str | int | Enum | None = None,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    extra_options: Mapping[str, Any] | None = None,
    *,
    min_sqnr_db: float | None = None,
    min_agreement: float | None = None,
    state: Mapping[str, str] | None = None,
    strict: bool = False,
    accuracy: AccuracyMode | str = AccuracyMode.guard,
    objective: Objective | str = Objective.latency,
    sensitivity: bool = False,
    decisions: str = "",
    evaluate: Evaluate | None = None,
    max_drop: float | None = None,
    verification_data: BatchSource = (),
    server: str | None = None,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    progress: ProgressCallback | None = None,
    timeout: float | None = None,
    cancel: CancelSignal | None = None,
) -> QuantizationResult:
    """Quantize weights; activations are quantized as the model runs.

    Args:
        model_input: Path of the model, an `onnx.ModelProto`, or the bytes of a model file. It is
            never touched.
        model_output: Path of the quantized model; written by rename, when whole.
        op_types_to_quantize: Operator types to quantize; None: all that are supported.
        per_channel: One scale for each output channel of a weight (True), or one for the whole
            (False); default: for each channel where one scale would lose much.
        reduce_range: Weights in 7 bits, for CPUs whose 8-bit multiply-add saturates.
        weight_type: Integer type of weights; None: codes of QUInt8, stored as int8 and less by
            128, which is the same numbers and faster.
        nodes_to_quantize: Names or shell patterns of nodes; None: all.
        nodes_to_exclude: Names or shell patterns of nodes that stay float.
        use_external_data_format: Put weights into a data file beside the model, whatever its size;
            a result over 2 GB always gets one.
        extra_options: As for `quantize_static`, as far as they have a meaning here.
        min_sqnr_db: Floor of the result's SQNR in dB, for a warning; None: 12.
        min_agreement: Least share of decisions that are the original's, where outputs make at
            least 100; None: 0.95.
        state: As for `quantize_static`.
        strict: Refuse a result below these floors, or that could not be compared.
        accuracy: What is done about a result below them. "guard": the nodes that cause it get the
            least costly remedy; "auto": what is asked for are limits, within which the best model
            that keeps them is looked for; "off": it is told.
        objective: What counts in "auto": "latency" or "size".
        sensitivity: Have the effect of each node measured, for `report.accuracy.sensitivities`.
        decisions: `report.accuracy.decisions` of an earlier job on this model: the same is done
            again, and nothing is searched.
        evaluate: As for `quantize_static`.
        max_drop: As for `quantize_static`.
        verification_data: Batches to compare the result with the original on, given as those
            of `quantize_static`; half of them are kept for candidates, where these are compared.
        server: Address, "host:port" or "unix:/path"; None: ZEROPOINT_SERVER, or else a server of
            this process's own.
        token: Token to show to the server; None: ZEROPOINT_TOKEN.
        credentials: TLS credentials, `grpc.ssl_channel_credentials()`; None: a plain connection.
        progress: Told how far the job is, in this thread.
        timeout: Seconds for the whole job, in which what a busy or absent server refuses is tried
            again; None: no limit for the job, and 10 minutes for that.
        cancel: Something like `threading.Event`; the job ends soon after it is set.

    Returns:
        Where the result is, and the proof that it works.

    Raises:
        ZeropointError: of a class that tells what was wrong; no file is left then.
        Exception: what the data source, the callback or `evaluate` raises, as it is.
    """
    with QuantizationClient(server, token=token, credentials=credentials) as client:
        return client.quantize_dynamic(
            model_input,
            model_output,
            op_types_to_quantize=op_types_to_quantize,
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type=weight_type,
            nodes_to_quantize=nodes_to_quantize,
            nodes_to_exclude=nodes_to_exclude,
            use_external_data_format=use_external_data_format,
            extra_options=extra_options,
            min_sqnr_db=min_sqnr_db,
            min_agreement=min_agreement,
            state=state,
            strict=strict,
            accuracy=accuracy,
            objective=objective,
            sensitivity=sensitivity,
            decisions=decisions,
            evaluate=evaluate,
            max_drop=max_drop,
            verification_data=verification_data,
            progress=progress,
            timeout=timeout,
            cancel=cancel,
        )


def quantize_qat(
    model_input: ModelInput,
    model_output: str | os.PathLike[str],
    op_types_to_quantize: Sequence[str] | None = None,
    per_channel: bool | None = None,
    reduce_range: bool = False,
    activation_type: QuantType | str | int | Enum | None = None,
    weight_type: QuantType | str | int | Enum | None = None,
    nodes_to_quantize: Sequence[str] | None = None,
    nodes_to_exclude: Sequence[str] | None = None,
    use_external_data_format: bool = False,
    *,
    quant_format: QuantFormat | str | Enum = QuantFormat.QDQ,
    extra_options: Mapping[str, Any] | None = None,
    exact: bool = False,
    min_sqnr_db: float | None = None,
    min_agreement: float | None = None,
    state: Mapping[str, str] | None = None,
    strict: bool = False,
    accuracy: AccuracyMode | str = AccuracyMode.guard,
    objective: Objective | str = Objective.latency,
    sensitivity: bool = False,
    decisions: str = "",
    evaluate: Evaluate | None = None,
    max_drop: float | None = None,
    calibration_data_reader: BatchSource | None = None,
    verification_data: BatchSource = (),
    server: str | None = None,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    progress: ProgressCallback | None = None,
    timeout: float | None = None,
    cancel: CancelSignal | None = None,
) -> QuantizationResult:
    """Quantize a model that was trained with fake quantization, with what it learned.

    The model has QuantizeLinear and DequantizeLinear pairs around float weights and activations.
    Their scales and zero points are kept as they are; an option that says otherwise is refused.

    Args:
        model_input: Path of the model, an `onnx.ModelProto`, or the bytes of a model file. It is
            never touched.
        model_output: Path of the quantized model; written by rename, when whole.
        op_types_to_quantize: Operator types that may compute on integers; None: all.
        per_channel: Refuse weights that were trained with one scale (True), or with one for each
            output channel (False); None: as learned.
        reduce_range: Only False; the range of the weights was learned.
        activation_type: Refuse activations that were trained with another type; None: as learned.
        weight_type: Refuse weights that were trained with another type; None: as learned.
        nodes_to_quantize: Names or shell patterns of nodes that may compute on integers; None: all.
        nodes_to_exclude: Names or shell patterns of nodes that compute on floats, with what was
            learned.
        use_external_data_format: Put weights into a data file beside the model, whatever its size.
        quant_format: Form of the result: QDQ, QOperator or IntegerOps.
        extra_options: QuantizeBias, which stores biases as int32; others are refused.
        exact: Take only steps that keep the last bit, even where they cost integer kernels.
        min_sqnr_db: Floor of the result's SQNR in dB, for a warning; None: 12.
        min_agreement: Least share of decisions that are the original's, where outputs make at
            least 100; None: 0.95.
        state: As for `quantize_static`.
        strict: Refuse a result below these floors, or that could not be compared.
        accuracy: What is done about a result below them. "guard": the nodes that cause it get the
            least costly remedy; "auto": what is asked for are limits, within which the best model
            that keeps them is looked for; "off": it is told.
        objective: What counts in "auto": "latency" or "size".
        sensitivity: Have the effect of each node measured, for `report.accuracy.sensitivities`.
        decisions: `report.accuracy.decisions` of an earlier job on this model: the same is done
            again, and nothing is searched.
        evaluate: As for `quantize_static`.
        max_drop: As for `quantize_static`.
        calibration_data_reader: Batches to choose parameters from for what was not trained with
            any, given as those of `quantize_static`, with which the result is then verified. What
            they complete gets the types above, else those that were learned and QInt8 weights with
            a scale for each channel.
        verification_data: Batches only to verify the result with, instead of those.
        server: Address, "host:port" or "unix:/path"; None: ZEROPOINT_SERVER, or else a server of
            this process's own.
        token: Token to show to the server; None: ZEROPOINT_TOKEN.
        credentials: TLS credentials, `grpc.ssl_channel_credentials()`; None: a plain connection.
        progress: Told how far the job is, in this thread.
        timeout: Seconds for the whole job, in which what a busy or absent server refuses is tried
            again; None: no limit for the job, and 10 minutes for that.
        cancel: Something like `threading.Event`; the job ends soon after it is set.

    Returns:
        Where the result is, and the proof that it works; `report.verification.exactness` tells
        whether every code is still the one that was trained.

    Raises:
        ZeropointError: of a class that tells what was wrong; no file is left then.
        Exception: what the data source, the callback or `evaluate` raises, as it is.
    """
    with QuantizationClient(server, token=token, credentials=credentials) as client:
        return client.quantize_qat(
            model_input,
            model_output,
            quant_format=quant_format,
            op_types_to_quantize=op_types_to_quantize,
            per_channel=per_channel,
            reduce_range=reduce_range,
            activation_type=activation_type,
            weight_type=weight_type,
            nodes_to_quantize=nodes_to_quantize,
            nodes_to_exclude=nodes_to_exclude,
            use_external_data_format=use_external_data_format,
            extra_options=extra_options,
            exact=exact,
            min_sqnr_db=min_sqnr_db,
            min_agreement=min_agreement,
            state=state,
            strict=strict,
            accuracy=accuracy,
            objective=objective,
            sensitivity=sensitivity,
            decisions=decisions,
            evaluate=evaluate,
            max_drop=max_drop,
            calibration_data_reader=calibration_data_reader,
            verification_data=verification_data,
            progress=progress,
            timeout=timeout,
            cancel=cancel,
        )


def inspect(
    model_input: ModelInput,
    *,
    mode: Mode = "static",
    server: str | None = None,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    timeout: float | None = None,
    cancel: CancelSignal | None = None,
    **options: Unpack[InspectKeywords],
) -> Inspection:
    """Tell what would be done with a model, without data and without a result.

    Args:
        model_input: Path of the model, or an `onnx.ModelProto`.
        mode: "static", "dynamic" or "qat".
        server: Address, "host:port" or "unix:/path"; None: ZEROPOINT_SERVER, or else a server of
            this process's own.
        token: Token to show to the server; None: ZEROPOINT_TOKEN.
        credentials: TLS credentials, `grpc.ssl_channel_credentials()`; None: a plain connection.
        timeout: Seconds for the whole call; None: no limit.
        cancel: Something like `threading.Event`; the call ends soon after it is set.
        **options: As for `quantize_static`, `quantize_dynamic` or `quantize_qat`; for the last
            also `calibrate=True`, in place of batches.

    Raises:
        ZeropointError: of a class that tells what was wrong.
    """
    with QuantizationClient(server, token=token, credentials=credentials) as client:
        return client.inspect(model_input, mode=mode, timeout=timeout, cancel=cancel, **options)
