"""The commands: each translates its arguments, calls the Python API and prints the answer."""

import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zeropoint.client import api, embedded
from zeropoint.client.cli import arguments as args
from zeropoint.client.cli.connection import connection
from zeropoint.client.cli.display import exit_codes, print_answer
from zeropoint.client.cli.quantize import quantize
from zeropoint.client.cli.sensitivity import sensitivity
from zeropoint.client.errors import OptionError
from zeropoint.client.options import InspectKeywords

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut names where the terminal is narrow
)
app.add_typer(quantize, name="quantize")
app.command(short_help="Tell which nodes lose how much, and by what.")(sensitivity)


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
