"""The commands: each translates its arguments, calls the Python API and prints the answer."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zeropoint.client import api, embedded
from zeropoint.client.batches import BatchSource
from zeropoint.client.cli import arguments as args
from zeropoint.client.cli.connection import connection
from zeropoint.client.cli.data import SAMPLE_SUFFIXES, open_data
from zeropoint.client.cli.display import exit_codes, print_answer, progress_display
from zeropoint.client.client import QuantizationResult
from zeropoint.client.errors import OptionError
from zeropoint.client.json_values import to_json_values
from zeropoint.client.options import CalibrationMethod, InspectKeywords, QuantFormat, QuantType
from zeropoint.client.printable import printable
from zeropoint.client.progress import ProgressCallback

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut names where the terminal is narrow
)
quantize = typer.Typer(help="Quantize a model.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(quantize, name="quantize")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"zeropoint {metadata.version('zeropoint')}")
        raise typer.Exit


@app.callback()
def everything(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Quantize ONNX models, on a Zeropoint server or on one started for the job."""


def main() -> None:
    """Run the command line; the exit codes are those of `zeropoint.client.cli`."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # clean up first
    app()


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
    strict: args.Strict = False,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Quantize weights and activations, with activation ranges from calibration data."""
    with _job(json_output) as progress:
        result = api.quantize_static(
            model,
            output,
            None if data is None else open_data(data, batch_size),
            calibration_cache_path=calibration_cache,
            verification_data=_verification(verification_data, batch_size),
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
            strict=strict,
            progress=progress,
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
        )
    _print_result(result, json_output)


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
    strict: args.Strict = False,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Quantize weights; activations are quantized as the model runs."""
    with _job(json_output) as progress:
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
            strict=strict,
            verification_data=() if data is None else open_data(data, batch_size),
            progress=progress,
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
        )
    _print_result(result, json_output)


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
    strict: args.Strict = False,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Quantize a model that was trained with fake quantization, with what it learned."""
    with _job(json_output) as progress:
        source = None if data is None else open_data(data, batch_size)
        if calibrate and source is None:
            message = "--calibrate needs --data to choose parameters from."
            raise OptionError("OPTION_CONFLICT", message, {"option": "calibrate"})
        if verification_data is not None and source is not None and not calibrate:
            message = "Without --calibrate, --data and --verification-data say the same; give one."
            raise OptionError("OPTION_CONFLICT", message, {"option": "verification_data"})
        verifying = _verification(verification_data, batch_size)
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
            strict=strict,
            calibration_data_reader=source if calibrate else None,
            verification_data=verifying if calibrate or source is None else source,
            progress=progress,
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
        )
    _print_result(result, json_output)


@app.command()
def inspect(
    model: args.Model,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Plan dynamic quantization.")] = False,
    qat: Annotated[
        bool, typer.Option("--qat", help="Plan for a model trained with fake quantization.")
    ] = False,
    activation_type: args.InspectActivationType = None,
    weight_type: args.InspectWeightType = None,
    per_channel: args.PerChannel = None,
    reduce_range: args.ReduceRange = False,
    op_type: args.OpTypes = None,
    node: args.Nodes = None,
    exclude: args.Excluded = None,
    extra_option: args.ExtraOptions = None,
    server: args.Server = None,
    token: args.Token = None,
    token_file: args.TokenFile = None,
    tls: args.Tls = False,
    ca_file: args.CaFile = None,
    timeout: args.Timeout = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Tell what would be done with a model, without data."""
    options: InspectKeywords = {
        "reduce_range": reduce_range,
        "op_types_to_quantize": op_type,
        "nodes_to_quantize": node,
        "nodes_to_exclude": exclude,
    }
    if activation_type is not None:
        options["activation_type"] = activation_type
    if weight_type is not None:
        options["weight_type"] = weight_type
    if per_channel is not None:
        options["per_channel"] = per_channel
    with exit_codes(json_output):
        if dynamic and qat:
            message = "--dynamic and --qat are two kinds of quantization: choose one."
            raise OptionError("OPTION_CONFLICT", message, {"option": "qat"})
        options["extra_options"] = args.extra_options(extra_option)
        inspection = api.inspect(
            model,
            mode="dynamic" if dynamic else "qat" if qat else "static",
            timeout=timeout,
            **connection(server, token, token_file, tls=tls, ca_file=ca_file),
            **options,
        )
    print_answer(str(inspection), inspection.to_dict(), json_output)


@app.command(short_help="Read text with two models, float and quantized.")
def demo(
    models: Annotated[
        Path | None, typer.Option(help="Folder that holds the demo's models, or to keep them in.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Pages drawn for calibration.")] = 16,
    server: args.Server = None,
    json_output: args.JsonOutput = False,
) -> None:
    """Quantize two text-reading models, and compare what they read before and after."""
    from zeropoint.client.demo.command import run  # its packages are an extra

    with exit_codes(json_output):
        code = run(
            Console(), models=models, server=server, json_output=json_output, samples=samples
        )
    raise typer.Exit(code)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
    short_help="Run a server.",
)
def serve(context: typer.Context) -> None:
    """Run a server; the arguments are those of `python -m zeropoint.server`."""
    with exit_codes(json_output=False):
        embedded.check_installed()
    command = [sys.executable, "-P", "-m", "zeropoint.server", *context.args]
    if os.name == "posix":
        os.execv(sys.executable, command)  # noqa: S606 - our own interpreter, no shell
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@contextlib.contextmanager
def _job(json_output: bool) -> Iterator[ProgressCallback]:
    with exit_codes(json_output), progress_display() as progress:
        yield progress


def _verification(spec: str | None, batch_size: int | None) -> BatchSource:
    """Return the batches of `--verification-data`; `--batch-size` may be for `--data` alone."""
    if spec is None:
        return ()
    return open_data(spec, batch_size if Path(spec).suffix in SAMPLE_SUFFIXES else None)


def _print_result(result: QuantizationResult, json_output: bool) -> None:
    values = {
        "files": [str(path) for path in result.files],
        "job": result.job,
        "rejected": to_json_values(result.rejected),
        "report": result.report.to_dict(),
    }
    written = printable(str(result.model))
    print_answer(f"written     {written}\n{result.report}", values, json_output)
