"""Between a plan and a calibration: what to observe, what to keep of it, what to take from it."""

import hashlib
from pathlib import Path

from zeropoint.engine.calibration import Calibration, Statistics, read_calibration
from zeropoint.engine.job import JobSettings
from zeropoint.engine.observable import observable_tensors
from zeropoint.engine.planned import PlannedModel


def observed_tensors(planned: PlannedModel, settings: JobSettings) -> tuple[str, ...]:
    """Return the tensors that a job observes: those of its plan, or all that any plan may need."""
    if not settings.keep_calibration:
        return planned.plan.observed
    every = observable_tensors(planned.prepared.model, planned.bodies)
    return tuple(dict.fromkeys((*planned.plan.observed, *every)))


def gathered(planned: PlannedModel, statistics: Statistics) -> Calibration:
    """Return what a job on a model has seen as a calibration of that model."""
    return Calibration(
        model_sha256=planned.loaded.content_sha256(),
        preparation=_preparation(planned),
        statistics=statistics,
    )


def recalled(planned: PlannedModel, path: Path) -> Statistics:
    """Return statistics that have all that a plan needs.

    Args:
        planned: The plan.
        path: A calibration file.

    Raises:
        CalibrationError: CALIBRATION_INVALID, CALIBRATION_MISMATCH or CALIBRATION_INCOMPLETE.
    """
    calibration = read_calibration(path)
    calibration.require_model(planned.loaded.content_sha256())
    calibration.require_tensors(planned.plan.observed, _preparation(planned))
    return calibration.statistics


def _preparation(planned: PlannedModel) -> bytes:
    return hashlib.sha256(planned.prepared.path.read_bytes()).digest()
