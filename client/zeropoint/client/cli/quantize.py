"""The commands that quantize: each translates its arguments and calls the Python API."""

import typer

from zeropoint.client import api
from zeropoint.client.cli import arguments as args
from zeropoint.client.cli.connection import connection
from zeropoint.client.cli.data import open_data
from zeropoint.client.cli.decisions import read_decisions
from zeropoint.client.cli.evaluate import evaluated_by
from zeropoint.client.cli.job import job, tell, verification
from zeropoint.client.errors import OptionError
from zeropoint.client.options import (
    AccuracyMode,
    CalibrationMethod,
    Objective,
    QuantFormat,
    QuantType,
)

quantize = typer.Typer(help="Quantize a model.", no_args_is_help=True, rich_markup_mode=None)


@quantize.command("static", short_help="Ranges of activations come from calibration data.")
def quantize_static(
    model: args.Model,
    output: args.Output,
    data: args.Data = None,
    calibration_cache: args.CalibrationCache = None,
    verification_data: args.VerificationData = None,
    batch_size: args.BatchSize = None,
    quant_format: args.Format = QuantFormat.QDQ,
    activation_type: args.ActivationType = QuantType.QUInt8,
    weight_type: args.WeightType = None,
    per_channel: args.PerChannel = None,
    reduce_range: args.ReduceRange = False,
    op_type: args.OpTypes = None,
    node: args.Nodes = None,
    exclude: args.Excluded = None,
    method: args.Method = CalibrationMethod.MinMax,
    percentile: args.Percentile = None,
    activation_symmetric: args.ActivationSymmetric = None,
    weight_symmetric: args.WeightSymmetric = None,
    range_symmetric: args.RangeSymmetric = False,
    extra_option: args.ExtraOptions = None,
    external_data: args.ExternalData = False,
    min_sqnr_db: args.MinSqnr = None,
    min_agreement: args.MinAgreement = None,
    state: args.StatePairs = None,
    strict: args.Strict = False,
    accuracy: args.Accuracy = AccuracyMode.guard,
    objective: args.ObjectiveOption = Objective.latency,
    sensitivity: args.MeasureNodes = False,
    decisions: args.Decisions = None,
    evaluate: args.EvaluateProgram = None,
    max_drop: args.MaxDrop = None,
    report: args.ReportPage = None,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Quantize weights and activations, with activation ranges from calibration data."""
    with job(json_output, report) as progress:
        result = api.quantize_static(
            model,
            output,
            None if data is None else open_data(data, batch_size),
            calibration_cache_path=calibration_cache,
            verification_data=verification(verification_data, batch_size),
            quant_format=quant_format,
            activation_type=activation_type,
            weight_type=weight_type,
            per_channel=per_channel,
            reduce_range=reduce_range,
            op_types_to_quantize=op_type,
            nodes_to_quantize=node,
            nodes_to_exclude=exclude,
            calibrate_method=method,
            extra_options=args.extra_options(
                extra_option,
                ActivationSymmetric=activation_symmetric,
                WeightSymmetric=weight_symmetric,
                CalibPercentile=percentile,
                CalibTensorRangeSymmetric=range_symmetric or None,
            ),
            use_external_data_format=external_data,
            min_sqnr_db=min_sqnr_db,
            min_agreement=min_agreement,
            state=args.state(state),
            strict=strict,
            accuracy=accuracy,
            objective=objective,
            sensitivity=sensitivity,
            decisions=read_decisions(decisions),
            evaluate=evaluated_by(evaluate),
            max_drop=max_drop,
            progress=progress,
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
        )
    tell(result, json_output, report)


@quantize.command("dynamic", short_help="Activations are quantized as the model runs.")
def quantize_dynamic(
    model: args.Model,
    output: args.Output,
    data: args.OptionalData = None,
    batch_size: args.BatchSize = None,
    weight_type: args.WeightType = None,
    per_channel: args.PerChannel = None,
    reduce_range: args.ReduceRange = False,
    op_type: args.OpTypes = None,
    node: args.Nodes = None,
    exclude: args.Excluded = None,
    weight_symmetric: args.WeightSymmetric = None,
    extra_option: args.ExtraOptions = None,
    external_data: args.ExternalData = False,
    min_sqnr_db: args.MinSqnr = None,
    min_agreement: args.MinAgreement = None,
    state: args.StatePairs = None,
    strict: args.Strict = False,
    accuracy: args.Accuracy = AccuracyMode.guard,
    objective: args.ObjectiveOption = Objective.latency,
    sensitivity: args.MeasureNodes = False,
    decisions: args.Decisions = None,
    evaluate: args.EvaluateProgram = None,
    max_drop: args.MaxDrop = None,
    report: args.ReportPage = None,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Quantize weights; activations are quantized as the model runs."""
    with job(json_output, report) as progress:
        result = api.quantize_dynamic(
            model,
            output,
            weight_type=weight_type,
            per_channel=per_channel,
            reduce_range=reduce_range,
            op_types_to_quantize=op_type,
            nodes_to_quantize=node,
            nodes_to_exclude=exclude,
            extra_options=args.extra_options(extra_option, WeightSymmetric=weight_symmetric),
            use_external_data_format=external_data,
            min_sqnr_db=min_sqnr_db,
            min_agreement=min_agreement,
            state=args.state(state),
            strict=strict,
            accuracy=accuracy,
            objective=objective,
            sensitivity=sensitivity,
            decisions=read_decisions(decisions),
            evaluate=evaluated_by(evaluate),
            max_drop=max_drop,
            verification_data=() if data is None else open_data(data, batch_size),
            progress=progress,
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
        )
    tell(result, json_output, report)


@quantize.command("qat", short_help="Keep what fake quantization has learned.")
def quantize_qat(
    model: args.Model,
    output: args.Output,
    data: args.OptionalData = None,
    verification_data: args.VerificationData = None,
    batch_size: args.BatchSize = None,
    calibrate: args.Calibrate = False,
    quant_format: args.Format = QuantFormat.QDQ,
    activation_type: args.LearnedActivationType = None,
    weight_type: args.LearnedWeightType = None,
    per_channel: args.LearnedPerChannel = None,
    op_type: args.OpTypes = None,
    node: args.Nodes = None,
    exclude: args.Excluded = None,
    quantize_bias: args.QuantizeBias = False,
    extra_option: args.ExtraOptions = None,
    exact: args.Exact = False,
    external_data: args.ExternalData = False,
    min_sqnr_db: args.MinSqnr = None,
    min_agreement: args.MinAgreement = None,
    state: args.StatePairs = None,
    strict: args.Strict = False,
    accuracy: args.Accuracy = AccuracyMode.guard,
    objective: args.ObjectiveOption = Objective.latency,
    sensitivity: args.MeasureNodes = False,
    decisions: args.Decisions = None,
    evaluate: args.EvaluateProgram = None,
    max_drop: args.MaxDrop = None,
    report: args.ReportPage = None,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Quantize a model that was trained with fake quantization, with what it learned."""
    with job(json_output, report) as progress:
        source = None if data is None else open_data(data, batch_size)
        if calibrate and source is None:
            message = "--calibrate needs --data to choose parameters from."
            raise OptionError("OPTION_CONFLICT", message, {"option": "calibrate"})
        if verification_data is not None and source is not None and not calibrate:
            message = "Without --calibrate, --data and --verification-data say the same; give one."
            raise OptionError("OPTION_CONFLICT", message, {"option": "verification_data"})
        verifying = verification(verification_data, batch_size)
        result = api.quantize_qat(
            model,
            output,
            quant_format=quant_format,
            activation_type=activation_type,
            weight_type=weight_type,
            per_channel=per_channel,
            op_types_to_quantize=op_type,
            nodes_to_quantize=node,
            nodes_to_exclude=exclude,
            extra_options=args.extra_options(extra_option, QuantizeBias=quantize_bias or None),
            exact=exact,
            use_external_data_format=external_data,
            min_sqnr_db=min_sqnr_db,
            min_agreement=min_agreement,
            state=args.state(state),
            strict=strict,
            accuracy=accuracy,
            objective=objective,
            sensitivity=sensitivity,
            decisions=read_decisions(decisions),
            evaluate=evaluated_by(evaluate),
            max_drop=max_drop,
            calibration_data_reader=source if calibrate else None,
            verification_data=verifying if calibrate or source is None else source,
            progress=progress,
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
        )
    tell(result, json_output, report)
