"""Arguments and options of the commands, declared once each; named after the Python API."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from zeropoint.client.errors import OptionError
from zeropoint.client.options import (
    AccuracyMode,
    CalibrationMethod,
    Objective,
    QuantFormat,
    QuantType,
)

_PYTHON: Mapping[str, bool | None] = MappingProxyType({"True": True, "False": False, "None": None})
_TYPES = "|".join(QuantType)

Model = Annotated[Path, typer.Argument(help="The ONNX model; it is never touched.")]
Output = Annotated[Path, typer.Argument(help="Where the quantized model goes.")]
Data = Annotated[
    str | None,
    typer.Option(
        help="An .npz or .npy file with the samples along the first axis, a folder of such files "
        "with a batch in each, or module:attribute naming a reader. Needed unless there is a "
        "calibration cache."
    ),
]
CalibrationCache = Annotated[
    Path | None,
    typer.Option(
        help="Statistics of this model: used instead of data where the file is there, else written."
    ),
]
OptionalData = Annotated[
    str | None, typer.Option("--data", help="Batches to verify the result with; as for static.")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Samples in a batch of one .npz or .npy file; default 1.")
]
VerificationData = Annotated[
    str | None,
    typer.Option(
        help="Batches only to verify the result with, given as --data; without any, some of the "
        "calibration batches are held out for that."
    ),
]
ActivationType = Annotated[
    QuantType,
    typer.Option(case_sensitive=False, metavar=_TYPES, help="Integer type of activations."),
]
InspectActivationType = Annotated[
    QuantType | None,
    typer.Option(
        "--activation-type",
        case_sensitive=False,
        metavar=_TYPES,
        help="Integer type of activations; not for dynamic.",
    ),
]
InspectWeightType = Annotated[
    QuantType | None,
    typer.Option(
        "--weight-type",
        case_sensitive=False,
        metavar=_TYPES,
        help="Integer type of weights; default QUInt8 stored as int8, with --qat as learned.",
    ),
]
LearnedActivationType = Annotated[
    QuantType | None,
    typer.Option(
        "--activation-type",
        case_sensitive=False,
        metavar=_TYPES,
        help="Refuse activations that were trained with another type.",
    ),
]
LearnedWeightType = Annotated[
    QuantType | None,
    typer.Option(
        "--weight-type",
        case_sensitive=False,
        metavar=_TYPES,
        help="Refuse weights that were trained with another type.",
    ),
]
LearnedPerChannel = Annotated[
    bool | None,
    typer.Option(
        "--per-channel/--per-tensor",
        help="Refuse weights that were trained with one scale, or with one for each channel.",
    ),
]
Format = Annotated[
    QuantFormat,
    typer.Option(case_sensitive=False, metavar="|".join(QuantFormat), help="Form of the result."),
]
QuantizeBias = Annotated[
    bool, typer.Option("--quantize-bias", help="Store biases as int32, rounded.")
]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="Keep every bit, even where that costs integer kernels."),
]
Calibrate = Annotated[
    bool,
    typer.Option(
        "--calibrate", help="Choose parameters from --data for what was not trained with any."
    ),
]
WeightType = Annotated[
    QuantType | None,
    typer.Option(
        case_sensitive=False,
        metavar=_TYPES,
        help="Integer type of weights; default QUInt8, stored as int8 with the same numbers.",
    ),
]
PerChannel = Annotated[
    bool | None,
    typer.Option(
        "--per-channel/--per-tensor",
        help="One scale for each output channel of a weight, or one for the whole; by default for "
        "each channel where one would lose much.",
    ),
]
ReduceRange = Annotated[
    bool, typer.Option("--reduce-range", help="Weights in 7 bits, for CPUs without VNNI.")
]
OpTypes = Annotated[
    list[str] | None, typer.Option("--op-type", help="Quantize this operator type; repeatable.")
]
Nodes = Annotated[
    list[str] | None,
    typer.Option("--node", help="Quantize this node, a name or shell pattern; repeatable."),
]
Excluded = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="Leave this node float, a name or shell pattern; repeatable."),
]
Method = Annotated[
    CalibrationMethod,
    typer.Option(
        case_sensitive=False,
        metavar="|".join(CalibrationMethod),
        help="How activation ranges are chosen.",
    ),
]
Percentile = Annotated[
    float | None, typer.Option(help="Percentage inside the range, for --method Percentile.")
]
ActivationSymmetric = Annotated[
    bool | None,
    typer.Option(
        "--activation-symmetric/--activation-asymmetric",
        help="Activation ranges around zero; default: for signed types.",
    ),
]
WeightSymmetric = Annotated[
    bool | None,
    typer.Option(
        "--weight-symmetric/--weight-asymmetric",
        help="Weight ranges around zero; default: for signed types and per-channel scales.",
    ),
]
RangeSymmetric = Annotated[
    bool, typer.Option("--range-symmetric", help="Ranges of the form (-t, t), whatever the type.")
]
ExtraOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-option",
        metavar="KEY=VALUE",
        help="One of the extra_options of the Python API, the value as JSON; repeatable.",
    ),
]
ExternalData = Annotated[
    bool,
    typer.Option(
        "--external-data", help="Put weights into a data file beside the model, whatever its size."
    ),
]
MinSqnr = Annotated[
    float | None, typer.Option("--min-sqnr-db", help="Warn below this SQNR in dB; default 12.")
]
MinAgreement = Annotated[
    float | None,
    typer.Option(
        help="Least share of decisions that are the original's, where there are at least 100; "
        "default 0.95."
    ),
]
StatePairs = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="OUTPUT=INPUT",
        help="An output that feeds an input of the next call, so that batches in their order are a "
        "sequence; repeatable; default: what names, types and shapes show.",
    ),
]
Accuracy = Annotated[
    AccuracyMode,
    typer.Option(
        case_sensitive=False,
        metavar="|".join(AccuracyMode),
        help="What is done about a result that is not good enough: it is told; the nodes that "
        "cause it are mended; or the best that keeps the floor is looked for.",
    ),
]
ObjectiveOption = Annotated[
    Objective,
    typer.Option(
        "--objective",
        case_sensitive=False,
        metavar="|".join(Objective),
        help="What counts with --accuracy auto.",
    ),
]
MeasureNodes = Annotated[
    bool,
    typer.Option("--sensitivity", help="Have the effect of each node measured, for the report."),
]
Decisions = Annotated[
    Path | None,
    typer.Option(
        help="Do what an earlier job on this model decided, without searching: a file with its "
        "report as JSON, or with the decisions alone."
    ),
]
EvaluateProgram = Annotated[
    str | None,
    typer.Option(
        "--evaluate",
        metavar="COMMAND",
        help="A program that tells what a model is worth, of which more is better, as the last "
        "line that it prints: its arguments have {model} for the path.",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        help="By how much that figure may be less than the original's; default 1 % of it."
    ),
]
ReportPage = Annotated[
    Path | None,
    typer.Option(help="Write the report as a page, too; needs zeropoint[report]."),
]
Limit = Annotated[int, typer.Option(min=1, help="Nodes in the table, those that matter most.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a result below the floor.")]
Server = Annotated[
    str | None,
    typer.Option(
        envvar="ZEROPOINT_SERVER",
        help="Address, host:port or unix:/path; without one, a server is started for the job.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="ZEROPOINT_TOKEN",
        show_envvar=True,
        help="Token to show to the server. Others on this machine can read arguments: better set "
        "the variable, or use --token-file.",
    ),
]
TokenFile = Annotated[Path | None, typer.Option(help="File that holds the token.")]
Tls = Annotated[bool, typer.Option("--tls", help="Connect to the server with TLS.")]
CaFile = Annotated[
    Path | None,
    typer.Option(help="Certificates to trust instead of the system's, as PEM; implies --tls."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds for the whole job, in which what a busy or absent server refuses is tried "
        "again; without it, for 10 minutes."
    ),
]
JsonOutput = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]


def extra_options(pairs: Sequence[str] | None, **given: Any) -> dict[str, Any]:
    """Return the extra options that were given a value.

    Args:
        pairs: Each "KEY=VALUE", with JSON, or Python's True, False and None, for the value.
        given: Keys that have arguments of their own; None: not given.

    Raises:
        OptionError: a pair is none, or its key was given before.
    """
    extra = {key: value for key, value in given.items() if value is not None}
    for pair in pairs or ():
        key, sign, text = pair.partition("=")
        if not sign:
            message = f"--extra-option {pair} must be of the form KEY=VALUE."
            raise OptionError("OPTION_INVALID", message, {"option": "--extra-option"})
        if key in extra:
            message = f"The extra option {key} is given twice."
            raise OptionError("OPTION_CONFLICT", message, {"option": key})
        extra[key] = _value(text)
    return extra


def state(pairs: Sequence[str] | None) -> dict[str, str] | None:
    """Return which outputs feed which inputs; None where nothing was given.

    Args:
        pairs: Each "OUTPUT=INPUT".

    Raises:
        OptionError: a pair is none, or its output was given before.
    """
    found: dict[str, str] = {}
    for pair in pairs or ():
        output, sign, taken = pair.partition("=")
        if not sign or output in found:
            message = f"--state {pair} must be of the form OUTPUT=INPUT, each output once."
            raise OptionError("OPTION_INVALID", message, {"option": "--state"})
        found[output] = taken
    return found or None


def _value(text: str) -> object:
    """Return what a text stands for; itself, where it is no JSON."""
    if text in _PYTHON:
        return _PYTHON[text]
    try:
        return json.loads(text)
    except ValueError:
        return text
