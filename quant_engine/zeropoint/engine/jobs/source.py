"""Where the parameters of a job come from, and how its result is written: what kinds differ in."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import onnx_ir as ir

from zeropoint.engine.operators import KERNEL_OPERATORS
from zeropoint.engine.options import QuantFormat
from zeropoint.engine.progress import Convergence
from zeropoint.engine.report import RejectedBatches, Warning
from zeropoint.engine.search import Changes, Decided, Material
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify import ProofRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many batches were counted, and which did not fit or could not be run."""

    batches: int
    rejected: tuple[RejectedBatches, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How results of one kind are written and proved.

    Attributes:
        rewrite: Quantizes a copy of the prepared model, in place.
        form: The form that the Q/DQ pairs are then brought into.
        typed: Whether the file says the types of what nodes compute.
        twins: Whether there is a float model behind it that each node can lose against.
        as_written: Whether the original is run without optimizations.
        proof: What is to be proved beyond the comparison of outputs.
        kernels: Domain and type of the operators that may become integer kernels.
        warnings: What the user should know about what was done.
    """

    rewrite: Callable[[ir.Model, Decided], None]
    form: QuantFormat = QuantFormat.QDQ
    typed: bool = True
    twins: bool = True
    as_written: bool = False
    proof: ProofRequest | None = None
    kernels: frozenset[tuple[str, str]] = KERNEL_OPERATORS
    warnings: tuple[Warning, ...] = ()


def _nothing_to_count(
    _batch: Batch, _sequence: int, _band: Callable[[], int | None]
) -> "Future[None]":
    counted: Future[None] = Future()
    counted.set_result(None)
    return counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the parameters of one job come from; by default batches only serve to verify.

    Attributes:
        manner: How its result is written.
        decide: Chooses the final plan and its parameters, given how many batches there were. Raises
            CalibrationError where there was none and one is needed, and NothingToQuantize where
            they reach nothing that could be quantized.
        realize: Returns what is decided with changes, given what was without and what numbers can
            be found from; None: nothing can be changed.
        calibrates: Whether batches choose ranges.
        counts_apart: Whether the statistics of some batches can be kept apart, in bands.
        samplewise: Whether the samples of a batch are known not to depend on each other.
        start: Begins to count a batch that fits the signature, given its number and what tells,
            when it runs, to which band it belongs.
        release: Has bands with lower numbers join all others; None: all.
        moved_by: Returns how many ranges the bands that are left would move, given how many batches
            they hold.
        convergence: Returns how far the ranges still move, where that is known, given batches and
            seconds.
        close: Gives back what only observing needs.
    """

    manner: Manner
    decide: Callable[[Counted], Decided]
    realize: Callable[[Decided, Changes, Material], Decided] | None = None
    calibrates: bool = False
    counts_apart: bool = False
    samplewise: Callable[[], bool] = lambda: False
    start: Callable[[Batch, int, Callable[[], int | None]], "Future[None]"] = _nothing_to_count
    release: Callable[[int | None], None] = lambda _below: None
    moved_by: Callable[[int], Convergence | None] = lambda _batches: None
    convergence: Callable[[int, float], Convergence | None] = lambda _batches, _seconds: None
    close: Callable[[], None] = lambda: None
