"""The command that tells which nodes matter: a static job whose model is not kept."""

import tempfile
from pathlib import Path

from zeropoint.client import api, sensitivity_table
from zeropoint.client.cli import arguments as args
from zeropoint.client.cli.connection import connection
from zeropoint.client.cli.data import open_data
from zeropoint.client.cli.display import print_answer
from zeropoint.client.cli.job import job, save_page, verification
from zeropoint.client.options import AccuracyMode, CalibrationMethod, QuantType


def sensitivity(
    model: args.Model,
    data: args.Data = None,
    calibration_cache: args.CalibrationCache = None,
    verification_data: args.VerificationData = None,
    batch_size: args.BatchSize = None,
    activation_type: args.ActivationType = QuantType.QUInt8,
    weight_type: args.WeightType = None,
    per_channel: args.PerChannel = None,
    reduce_range: args.ReduceRange = False,
    op_type: args.OpTypes = None,
    node: args.Nodes = None,
    exclude: args.Excluded = None,
    method: args.Method = CalibrationMethod.MinMax,
    percentile: args.Percentile = None,
    extra_option: args.ExtraOptions = None,
    limit: args.Limit = 40,
    report: args.ReportPage = None,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Tell how much each node loses by static quantization, and by what; keep no model."""
    with job(json_output, report) as progress, tempfile.TemporaryDirectory() as folder:
        result = api.quantize_static(
            model,
            Path(folder) / "result.onnx",
            None if data is None else open_data(data, batch_size),
            calibration_cache_path=calibration_cache,
            verification_data=verification(verification_data, batch_size),
            activation_type=activation_type,
            weight_type=weight_type,
            per_channel=per_channel,
            reduce_range=reduce_range,
            op_types_to_quantize=op_type,
            nodes_to_quantize=node,
            nodes_to_exclude=exclude,
            calibrate_method=method,
            extra_options=args.extra_options(extra_option, CalibPercentile=percentile),
            accuracy=AccuracyMode.off,
            sensitivity=True,
            progress=progress,
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
        )
        save_page(result, report)
    rows = sensitivity_table.rows(result.report)
    values = {"job": result.job, "nodes": sensitivity_table.to_json(rows)}
    print_answer(sensitivity_table.as_text(result.report, limit), values, json_output)
