"""What a job is given and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import Report

Batch = Mapping[str, NDArray[np.generic]]


class Phase(StrEnum):
    """Where a job is."""

    PREPARE = "prepare"
    CALIBRATE = "calibrate"
    QUANTIZE = "quantize"
    VERIFY = "verify"


class ProgressCallback(Protocol):
    """Told how far a job is."""

    def __call__(self, phase: Phase, done: int, total: int, message: str, /) -> None:
        """Take `done` of `total` units of `phase`; `total` is 0 where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What a job may use.

    Attributes:
        workspace: An empty folder for the job's own files; the caller removes it.
        threads: Threads for running models and counting.
        observe_bytes: Budget for the activations held at once while observing.
        retained_batches: Batches kept to verify the result with.
        retained_bytes: Budget for those.
        verify_seconds: Longest time for running and comparing the result.
        progress: Told how far the job is.
    """

    workspace: Path
    threads: int = 1
    observe_bytes: int = 512 << 20
    retained_batches: int = 8
    retained_bytes: int = 64 << 20
    verify_seconds: float = 600.0
    progress: ProgressCallback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """A quantized model.

    Attributes:
        files: The ONNX file first, then its external data file where there is one; all in
            `JobSettings.workspace`.
        report: Everything that is to be said about it.
    """

    files: tuple[Path, ...]
    report: Report
