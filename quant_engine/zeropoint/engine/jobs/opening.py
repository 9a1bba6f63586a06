"""The pipeline as a job: one model, one set of options, batches as they come, one result.

with open_job(path, options, settings) as job:      # load, prepare, plan
    for batch in batches:
        job.observe(batch)                          # observe, sketch
    result = job.finish()                           # ranges ... verify, report
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from zeropoint.engine.errors import OptionError
from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.job import Job
from zeropoint.engine.jobs.source import Source
from zeropoint.engine.jobs.sources import (
    as_it_runs,
    completed,
    learned,
    recalled_source,
    streamed,
)
from zeropoint.engine.observe import recalled
from zeropoint.engine.options import Options, QatOptions, StaticOptions
from zeropoint.engine.plan import PlannedModel, plan_model
from zeropoint.engine.progress import Phase
from zeropoint.engine.qat import merged, plan_completion, plan_trained, static_options
from zeropoint.engine.report import Inspection
from zeropoint.engine.samples import state_pairs
from zeropoint.engine.settings import JobSettings
from zeropoint.engine.verify import ContainedVerifier, Verifier, start_spare
from zeropoint.sketch import warm as warm_counting


def open_job(
    path: Path,
    options: Options,
    settings: JobSettings,
    calibration: Path | None = None,
    *,
    verifier: Callable[[], Verifier] = ContainedVerifier,
) -> Job:
    """Load and prepare a model and plan its quantization.

    Args:
        path: The ONNX file; its external data lies beside it. Nothing beside it is changed.
        options: What is asked for.
        settings: What may be used.
        calibration: A file that an earlier job on this model returned; the job then takes no
            batches.
        verifier: Makes who verifies the result.

    Raises:
        CalibrationError: CALIBRATION_INVALID, CALIBRATION_MISMATCH or CALIBRATION_INCOMPLETE, the
            file is damaged, of another model, or lacks a tensor that these options need.
        ModelError: the model cannot be read, converted or run.
        OptionError: an option names what the model does not have, or contradicts what it has
            learned, or a calibration is given for other than static quantization.
        NothingToQuantize: no node can be quantized with these options.
    """
    if calibration is not None and not isinstance(options, StaticOptions):
        raise OptionError(
            "OPTION_CONFLICT",
            "Only static quantization takes a calibration; leave the file out.",
            option="calibration",
        )
    clock = Clock(settings.progress, settings.before)
    with clock.phase(Phase.PREPARE, "loading and planning"):
        planned, source = _planned(path, options, settings, calibration)
    return Job(planned, source, options, settings, clock, verifier)


def _planned(
    path: Path, options: Options, settings: JobSettings, calibration: Path | None
) -> tuple[PlannedModel, Source]:
    if isinstance(options, QatOptions):
        trained = plan_trained(path, options, settings.workspace, sha256=settings.source_sha256)
        if not options.calibrate:
            return trained.planned, learned(trained, options)
        chosen = static_options(options, trained.planned.graph)
        completion = plan_completion(trained.planned, chosen, settings.observe_bytes)
        return completion, completed(trained, completion, options, chosen, settings)
    planned = plan_model(
        path,
        options,
        settings.workspace,
        sha256=settings.source_sha256,
        observe_bytes=settings.observe_bytes,
    )
    statistics = None if calibration is None else recalled(planned, calibration)
    planned.require_nodes()
    if not isinstance(options, StaticOptions):
        return planned, as_it_runs(planned, options)
    if statistics is not None:
        return planned, recalled_source(planned, options, statistics)
    return planned, streamed(planned, options, settings)


def inspect_model(path: Path, options: Options, workspace: Path) -> Inspection:
    """Tell what would be done, without data.

    Args:
        path: The ONNX file.
        options: What would be asked for.
        workspace: An empty folder; the caller removes it.

    Raises:
        ModelError: the model cannot be read or converted.
        OptionError: an option names what the model does not have.
    """
    if isinstance(options, QatOptions):
        planned = _inspected_trained(path, options, workspace)
    else:
        planned = plan_model(path, options, workspace)
    state_pairs(planned.loaded.signature, options.verify.state)
    return planned.inspection(options)


def _inspected_trained(path: Path, options: QatOptions, workspace: Path) -> PlannedModel:
    """Return a trained model with the plan of what is learned, and of what batches complete."""
    planned = plan_trained(path, options, workspace).planned
    if not options.calibrate:
        return planned
    completion = plan_completion(planned, static_options(options, planned.graph))
    return replace(completion, plan=merged(planned.plan, completion.plan))


def warm() -> None:
    """Do what the first job would have to wait for: compile loops, start the verifying process."""
    warm_counting()
    start_spare()
