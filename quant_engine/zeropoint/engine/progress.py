"""How far a job is."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a job is; in the first three before the engine knows of it."""

    QUEUED = "queued"
    UPLOAD = "upload"
    START = "start"
    PREPARE = "prepare"
    CALIBRATE = "calibrate"
    QUANTIZE = "quantize"
    VERIFY = "verify"
    SEARCH = "search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """How far the ranges moved lately.

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
        done: Units done: batches of CALIBRATE, steps elsewhere.
        total: Units of the phase; 0 where unknown.
        message: For people.
        convergence: How far the ranges still move, during CALIBRATE, once that is known.
    """

    phase: Phase
    done: int = 0
    total: int = 0
    message: str = ""
    convergence: Convergence | None = None


ProgressCallback = Callable[[Progress], None]
"""Told how far a job is."""
