"""The proof: the result is loaded and run as it is shipped, and compared with the original."""

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from zeropoint.engine.report import NodeFigures, Speed, Verification, VerificationState
from zeropoint.engine.runtime import (
    IntegerKernels,
    RuntimeRefusal,
    Session,
    count_integer_kernels,
    give_back,
)
from zeropoint.engine.verify.arithmetic import integer_share, multiply_accumulates
from zeropoint.engine.verify.compared import compare_outputs
from zeropoint.engine.verify.exactness import ProofRequest, kernels_before, prove
from zeropoint.engine.verify.opening import discard, open_result
from zeropoint.engine.verify.original import Reference, ReferenceRequest, Runs, run_original
from zeropoint.engine.verify.speed import in_turns, one_after_the_other
from zeropoint.engine.verify.twins import TwinModel, run_twins

# Twins cost two to three times the plain model, and a figure settles soon.
_TWIN_BATCHES = 2
_PROOF_BATCHES = 8  # as they are written, models are slow

# What is being done, in this order; those of `CHECKS` come between COMPARE and DONE.
ORIGINAL = "original"
LOAD = "load"
COMPARE = "compare"
KERNELS = "kernels"
DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """What is to be verified.

    Attributes:
        reference: What of it can be done before there is a result.
        shipped: The ONNX file of the result, external data beside it.
        twins: The model for the figures per node.
        nodes: Operator type of each Conv, ConvTranspose, MatMul and Gemm, by its name in the
            result.
        kept: Names of the nodes that shall stay float, in the result.
        proof: What is to be proved of a model trained with fake quantization.
        steps: Distance of two codes, for each output that the result rounds to codes.
    """

    reference: ReferenceRequest
    shipped: Path
    twins: TwinModel | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    proof: ProofRequest | None = None
    steps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found.

    Attributes:
        verification: For the report.
        float_nodes: Those of `VerifyRequest.nodes` that do not run as integer kernels.
        requantized: Those of `VerifyRequest.kept` that do.
    """

    verification: Verification
    float_nodes: tuple[str, ...] = ()
    requantized: tuple[str, ...] = ()


Notify = Callable[[str, Verified], None]
"""Told each stage as it begins, with what has been found until then."""


def verify(
    request: VerifyRequest, notify: Notify | None = None, reference: Reference | None = None
) -> Verified:
    """Load the result, run it, compare it with the original, and make all `CHECKS`.

    At most one model is open at any time, or with `at_once` the result and the twins.

    Args:
        request: What is to be verified.
        notify: Told how far it is.
        reference: What the original gave for `request.reference`, where it was run before; the
            stage ORIGINAL is then not told.

    Raises:
        VerificationError: RESULT_NOT_RUNNABLE, the result does not load, or does not run on a batch
            that the original runs on.
    """
    notify = notify or (lambda _stage, _found: None)
    found = not_run("the original model was not run")
    if reference is None:
        notify(ORIGINAL, found)
        reference = run_original(request.reference)
    notify(LOAD, found)
    case = _Case(request, reference)
    session = case.open_shipped()
    notify(COMPARE, found)
    found = Verified(verification=_compare(session, case))
    if case.at_once:
        case.shipped_session = session
    del session
    for check in CHECKS:
        if check.wanted(case, found):
            notify(check.stage, found)
            if not case.at_once:
                give_back()
            try:
                found = check.run(case, found)
            except RuntimeRefusal as refusal:
                found = explain(found, f"{check.missing} missing: {refusal}")
    notify(DONE, found)
    return found


def not_run(message: str) -> Verified:
    """Return that nothing was compared, and why."""
    return Verified(verification=Verification(state=VerificationState.NOT_RUN, message=message))


def explain(found: Verified, message: str) -> Verified:
    """Return the same with one more sentence on why it is not more."""
    before = found.verification.message
    text = f"{before}; {message}" if before else message
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, message=text)
    )


class _Case:
    """A result that is being verified, and what every check may use."""

    def __init__(self, request: VerifyRequest, reference: Reference) -> None:
        self.request = request
        self.reference = reference
        self.at_once = request.reference.at_once
        self.threads = request.reference.threads
        self.runs = Runs(self.threads, at_once=self.at_once)
        self.optimized = request.reference.scratch / "optimized.onnx"
        self.shipped_session: Session | None = None
        self._twins: Future[tuple[NodeFigures, ...]] | None = None

    @property
    def has_twins(self) -> bool:
        """Whether there are figures per node to be had."""
        twins = self.request.twins
        return twins is not None and bool(twins.nodes and self.reference.batches)

    def open_shipped(self) -> Session:
        """Open the result, and begin with the twins beside it where that is allowed."""
        if not self.at_once:
            give_back()
        elif self.has_twins:
            pool = ThreadPoolExecutor(1)
            self._twins = pool.submit(self._figures)
            pool.shutdown(wait=False)
        return open_result(self.runs, self.request.shipped, self.optimized)

    def node_figures(self) -> tuple[NodeFigures, ...]:
        """Return the figures per node, computed now or beside the result."""
        if self._twins is not None:
            return self._twins.result()
        return self._figures()

    def speed(self) -> Speed:
        """Time the original and the result, as they are optimized, on one thread."""
        reference, shipped = self.request.reference, self.request.shipped
        original = reference.original
        assert original is not None
        batch = min(self.reference.batches, key=lambda batch: batch.nbytes).load()
        if not reference.side_by_side:
            openers = [partial(Session, shipped)]
            return one_after_the_other(partial(Session, original), openers, batch)[0]
        known = None if reference.as_written else self.reference.session
        result = self.shipped_session or Session(shipped)
        return in_turns(known or Session(original), [result], batch)[0]

    def integer_share(self, kernels: IntegerKernels) -> float | None:
        """Return the share of multiply-accumulates in integer kernels; None where not known."""
        batches, request = self.reference.batches, self.request
        batch = min(batches, key=lambda batch: batch.nbytes).load() if batches else {}
        try:
            counts = multiply_accumulates(request.shipped, request.nodes, batch)
        except RuntimeRefusal:
            return None
        return integer_share(counts, kernels)

    def _figures(self) -> tuple[NodeFigures, ...]:
        twins = self.request.twins
        assert twins is not None
        batches = (batch.load() for batch in self.reference.batches[:_TWIN_BATCHES])
        return run_twins(twins, batches, self.threads, at_once=self.at_once)


# The result beside the original


def _compare(session: Session, case: _Case) -> Verification:
    reference = case.reference
    if not reference.batches:
        return Verification(state=VerificationState.NOT_RUN, message=reference.message)
    found = compare_outputs(session, case.runs, reference, case.request.steps, keep=False)
    return Verification(
        state=reference.state,
        message=reference.message,
        batches=len(reference.batches),
        samples=sum(batch.samples for batch in reference.batches),
        held_out=case.request.reference.held_out,
        independent=case.request.reference.independent,
        sqnr_db=found.sqnr_db,
        outputs=found.outputs,
        non_finite_batches=found.left_out,
        roll_out=found.roll_out,
        not_run_batches=reference.not_run,
    )


# What is found out beyond that


def _kernels(case: _Case, found: Verified) -> Verified:
    if not case.optimized.is_file():
        raise RuntimeRefusal("the optimized graph was not written")
    kernels = count_integer_kernels(
        case.optimized, case.request.nodes, frozenset(case.request.kept)
    )
    discard(case.optimized)
    verification = dataclasses.replace(
        found.verification, kernels=kernels.counts, integer_share=case.integer_share(kernels)
    )
    return Verified(
        verification=verification,
        float_nodes=kernels.float_nodes,
        requantized=kernels.requantized,
    )


def _node_figures(case: _Case, found: Verified) -> Verified:
    figures = case.node_figures()
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, nodes=figures)
    )


def _proved(case: _Case, found: Verified) -> Verified:
    proof, request = case.request.proof, case.request
    if proof is None or not case.reference.batches:
        raise RuntimeRefusal("there is nothing to run on")
    batches = [batch.load() for batch in case.reference.batches[:_PROOF_BATCHES]]
    exactness = prove(proof, request.shipped, batches, case.threads)
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, exactness=exactness)
    )


def _trained_kernels(case: _Case, found: Verified) -> Verified:
    proof, exactness = case.request.proof, found.verification.exactness
    original, scratch = case.request.reference.original, case.request.reference.scratch
    assert proof is not None
    assert exactness is not None
    assert original is not None
    exactness = dataclasses.replace(
        exactness, kernels_before=kernels_before(proof, original, scratch)
    )
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, exactness=exactness)
    )


def _speed(case: _Case, found: Verified) -> Verified:
    speed = case.speed()
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, speed=speed)
    )


class Check(NamedTuple):
    """What is found out of a result that loads and runs; the result stands, whatever becomes of it.

    Attributes:
        stage: What it is called while it is being made.
        missing: What is missing where it fails, or the process with it.
        wanted: Whether it is to be made.
        run: Returns what was found with its own findings; raises RuntimeRefusal.
    """

    stage: str
    missing: str
    wanted: Callable[[_Case, Verified], bool]
    run: Callable[[_Case, Verified], Verified]


CHECKS = (
    Check(KERNELS, "kernel counts are", lambda _case, _found: True, _kernels),
    Check("twins", "figures per node are", lambda case, _found: case.has_twins, _node_figures),
    Check(
        "proof",
        "differences of codes are",
        lambda case, _found: case.request.proof is not None,
        _proved,
    ),
    Check(
        "trained kernels",
        "kernel counts of the trained model are",
        lambda _case, found: found.verification.exactness is not None,
        _trained_kernels,
    ),
    Check(
        "speed",
        "figures of speed are",
        lambda case, _found: bool(case.reference.batches),
        _speed,
    ),
)
"""All of them, in their order; a crash of ONNX Runtime in one costs those that follow."""
