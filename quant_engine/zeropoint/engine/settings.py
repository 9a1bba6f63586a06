"""What a job is given and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.errors import OptionError
from zeropoint.engine.progress import Phase, ProgressCallback
from zeropoint.engine.report import Report

Batch = Mapping[str, NDArray[np.generic]]

Settled = Callable[[BaseException | None], None]
"""Told that a batch is counted, or why not; called in any thread, for one batch at a time.

For a BatchError the job goes on without the batch; any other one ends the job.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateFiles:
    """A model of which the caller tells what it is worth.

    Attributes:
        number: That of its trial in the report; None for the model that was given.
        description: What is different in it, for people.
        files: The ONNX file first, then its external data file where there is one; empty for the
            model that was given. They stay as they are until the answer is there.
    """

    number: int | None
    description: str
    files: tuple[Path, ...] = ()


Evaluate = Callable[[CandidateFiles], float]
"""What a candidate is worth by the caller's own figure, of which more is better; it may take hours.

Minus infinity: the candidate cannot be used. Never NaN. Called by one thread at a time.
"""

_LONGEST_NAME = 240  # of 255, with room for ".data"

OBSERVE_BYTES = 512 << 20
"""Budget for the activations held at once while observing, where no other is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What a job may use.

    Attributes:
        workspace: An empty folder for the job's own files; the caller removes it.
        threads: Threads for running models and counting.
        observe_bytes: Budget for the activations held at once while observing.
        retained_samples: Samples kept to choose and to verify the result with, in whole batches; 0:
            none are, and inputs are made up to verify with.
        retained_bytes: Budget for those, on disk.
        verify_seconds: Longest time for running and comparing the result.
        search_seconds: Time after which no more candidates are tried, beside what the caller's own
            figure takes.
        keep_calibration: Return the statistics as a file, with those of every tensor that a later
            job on this model may need, whatever its options. They take longer to gather.
        result_name: Name of the result's ONNX file.
        external_data: Put weights into a data file, whatever the size of the result; over 2 GB
            they always go there. It is called `result_name` with ".data" appended.
        source_sha256: SHA-256 of the ONNX file, where the caller has computed it already.
        before: Seconds that were spent before the job was opened; the report has them with its own.
        progress: Told how far the job is.
        saved: Told the files of the result as soon as they are written: a caller that needs their
            digests can compute them while the result is verified. They must not be moved yet.
        evaluate: Answers what candidates are worth, where the options say that the caller does; it
            is asked for the model that was given, too.
    """

    workspace: Path
    threads: int = 1
    observe_bytes: int = OBSERVE_BYTES
    retained_samples: int = 64
    retained_bytes: int = 256 << 20
    verify_seconds: float = 600.0
    search_seconds: float = 1800.0
    keep_calibration: bool = False
    result_name: str = "model.onnx"
    external_data: bool = False
    source_sha256: bytes | None = None
    before: Mapping[Phase, float] = field(default_factory=dict)
    progress: ProgressCallback | None = None
    saved: Callable[[tuple[Path, ...]], None] | None = None
    evaluate: Evaluate | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is none.

        Raises:
            OptionError: `result_name` is a path, or too long.
        """
        name = self.result_name
        plain = name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}
        if not plain or len(name.encode(errors="replace")) > _LONGEST_NAME:
            raise OptionError(
                "OPTION_INVALID",
                f"result_name={name!r} must be the name of a file, of at most {_LONGEST_NAME} "
                "bytes, without a folder.",
                option="result_name",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """A quantized model.

    Attributes:
        files: The ONNX file first, then its external data file where there is one; all in
            `JobSettings.workspace`.
        report: Everything that is to be said about it.
        calibration: The statistics as a file, in `JobSettings.workspace`; None where they were not
            to be kept.
    """

    files: tuple[Path, ...]
    report: Report
    calibration: Path | None = None
