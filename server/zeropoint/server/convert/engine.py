"""What the engine takes and tells, as messages of the contract."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from zeropoint import v1
from zeropoint.engine.errors import OptionError
from zeropoint.engine.number_types import QuantType
from zeropoint.engine.options import (
    CalibrationMethod,
    DynamicOptions,
    Options,
    QatOptions,
    QuantFormat,
    StaticOptions,
)
from zeropoint.engine.progress import Progress
from zeropoint.engine.report import Inspection, PlanReport, Report, Versions
from zeropoint.server.convert import tensors
from zeropoint.v1 import mirror
from zeropoint.v1.pieces import pieces

_KINDS: dict[str, type[Options]] = {
    "static_options": StaticOptions,
    "dynamic_options": DynamicOptions,
    "qat_options": QatOptions,
}


def options(start: v1.Start) -> Options:
    """Return what a client asks for, with the engine's defaults for what it leaves out.

    Raises:
        OptionError: OPTION_UNKNOWN, OPTION_INVALID or OPTION_CONFLICT.
    """
    chosen = start.WhichOneof("options") or "static_options"
    return mirror.read(_KINDS[chosen], getattr(start, chosen), _unknown)


def plan(value: PlanReport) -> Iterator[v1.Plan]:
    """Yield the pieces of a plan."""
    return pieces(mirror.write(v1.Plan, value))


def started(value: Inspection) -> v1.Started:
    """Return what is known of a job before data, but for its plan."""
    return mirror.write(v1.Started, value, without=("plan",))


def report(value: Report) -> Iterator[v1.Report]:
    """Yield the pieces of a report."""
    return pieces(mirror.write(v1.Report, value))


def progress(value: Progress) -> v1.Progress:
    """Return how far a job is."""
    return mirror.write(v1.Progress, value)


def about(
    versions: Versions, static_op_types: tuple[str, ...], dynamic_op_types: tuple[str, ...]
) -> v1.GetServerInfoResponse:
    """Return what an engine runs and can do."""
    capabilities = v1.Capabilities(
        quant_types=mirror.numbers(QuantType, v1.QuantType.DESCRIPTOR).values(),
        quant_formats=mirror.numbers(QuantFormat, v1.QuantFormat.DESCRIPTOR).values(),
        calibration_methods=mirror.numbers(
            CalibrationMethod, v1.CalibrationMethod.DESCRIPTOR
        ).values(),
        static_op_types=static_op_types,
        dynamic_op_types=dynamic_op_types,
        element_types=tensors.ELEMENT_TYPES,
    )
    return v1.GetServerInfoResponse(
        versions=mirror.write(v1.Versions, versions), capabilities=capabilities
    )


def model_file(path: Path) -> v1.ModelFile:
    """Return the entry of one file of a result."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return v1.ModelFile(path=path.name, size=path.stat().st_size, sha256=digest)


def _unknown(option: str, number: int) -> OptionError:
    return OptionError(
        "OPTION_UNKNOWN",
        f"{option} is {number}, which this server does not know; GetServerInfo has what it knows.",
        option=option,
    )
