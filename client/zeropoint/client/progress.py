"""How far a job is, as the caller sees it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Phase(StrEnum):
    """Where a job is."""

    CONNECT = "connect"
    UPLOAD = "upload"
    QUEUED = "queued"
    START = "start"
    PREPARE = "prepare"
    CALIBRATE = "calibrate"
    QUANTIZE = "quantize"
    VERIFY = "verify"
    SEARCH = "search"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """How far the ranges moved lately; near 0, more data of the same kind will change little.

    Attributes:
        moving_share: Share of the tensors of which an end of the range moved by more than 1 % of
            the range's width, 0..1.
        batches: Over how many batches.
    """

    moving_share: float
    batches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is.

    Attributes:
        phase: What is being done.
        done: Units done: bytes of UPLOAD and DOWNLOAD, batches of CALIBRATE, steps elsewhere.
        total: Units of the phase; 0 where unknown.
        message: For people; may be empty.
        convergence: How far ranges still move, during CALIBRATE, once that is known.
    """

    phase: Phase
    done: int = 0
    total: int = 0
    message: str = ""
    convergence: Convergence | None = None


class ProgressCallback(Protocol):
    """Told how far a job is, in the thread that started it."""

    def __call__(self, progress: Progress, /) -> None:
        """Take the news; an exception raised here cancels the job and reaches the caller."""
