"""The proof: the result is loaded and run as it is shipped, and compared with the original."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.report import Exactness, NodeFigures, Verification, VerificationState
from zeropoint.engine.runtime import (
    RuntimeRefusal,
    Session,
    count_integer_kernels,
    give_back,
    weights_of_optimized,
)
from zeropoint.engine.samples import StoredArray, StoredBatch
from zeropoint.engine.verify.exactness import ProofRequest, kernels_before, prove
from zeropoint.engine.verify.original import Reference, ReferenceRequest, Runs, arrays, run_original
from zeropoint.engine.verify.similarity import OutputComparison
from zeropoint.engine.verify.twin_model import TwinModel, run_twins

# Twins cost two to three times the plain model, and a figure settles soon.
_TWIN_BATCHES = 2


class Stage(StrEnum):
    """What is being done, in this order."""

    ORIGINAL = "original"
    LOAD = "load"
    COMPARE = "compare"
    KERNELS = "kernels"
    TWINS = "twins"
    PROOF = "proof"
    TRAINED_KERNELS = "trained_kernels"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """What is to be verified.

    Attributes:
        original: The user's model, to be opened by ONNX Runtime; None: the result is only loaded.
        shipped: The ONNX file of the result, external data beside it.
        scratch: A folder for temporary files.
        batches: Samples; without any, inputs are made up.
        twins: The model for the figures per node.
        nodes: Operator type of each Conv, ConvTranspose, MatMul and Gemm, by its name in the
            result.
        threads: Threads to use.
        at_once: Whether memory allows for several batches at once, and for the twins beside the
            result. What happens before `Stage.TWINS` may then be the twins' doing.
        as_written: Run the original without optimizations.
        proof: What is to be proved of a model trained with fake quantization.
    """

    original: Path | None
    shipped: Path
    scratch: Path
    batches: tuple[StoredBatch, ...] = ()
    twins: TwinModel | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    at_once: bool = False
    as_written: bool = False
    proof: ProofRequest | None = None

    @classmethod
    def of(
        cls,
        reference: ReferenceRequest,
        shipped: Path,
        twins: TwinModel | None,
        nodes: Mapping[str, str],
        proof: ProofRequest | None = None,
    ) -> "VerifyRequest":
        """Return the request that follows one for the original."""
        return cls(
            original=reference.original,
            shipped=shipped,
            scratch=reference.scratch,
            batches=reference.batches,
            twins=twins,
            nodes=nodes,
            threads=reference.threads,
            at_once=reference.at_once,
            as_written=reference.as_written,
            proof=proof,
        )

    @property
    def reference(self) -> ReferenceRequest:
        """What of it can be done before there is a result."""
        return ReferenceRequest(
            original=self.original,
            scratch=self.scratch,
            batches=self.batches,
            threads=self.threads,
            at_once=self.at_once,
            as_written=self.as_written,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found.

    Attributes:
        verification: For the report.
        float_nodes: Those of `VerifyRequest.nodes` that do not run as integer kernels.
    """

    verification: Verification
    float_nodes: tuple[str, ...] = ()


Notify = Callable[[Stage, Verified], None]
"""Told each stage as it begins, with what has been found until then."""


def verify(
    request: VerifyRequest, notify: Notify | None = None, reference: Reference | None = None
) -> Verified:
    """Load the result, run it, and compare it with the original.

    At most one model is open at any time, or with `request.at_once` the result and the twins.

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
        notify(Stage.ORIGINAL, found)
        reference = run_original(request.reference)
    notify(Stage.LOAD, found)
    twins = _Twins(request, reference.batches[:_TWIN_BATCHES])
    if request.at_once:
        twins.begin()
    else:
        give_back()
    runs = Runs(request.threads, at_once=request.at_once)
    optimized = request.scratch / "optimized.onnx"
    session = _open_shipped(request, runs, optimized)
    notify(Stage.COMPARE, found)
    found = Verified(verification=_compare(session, runs, reference))
    del session
    notify(Stage.KERNELS, found)
    found = _with_kernels(found, request, optimized)
    if not request.at_once:
        give_back()
    notify(Stage.TWINS, found)
    found = twins.added(found)
    if request.proof is not None:
        notify(Stage.PROOF, found)
        found = _proved(found, request, request.proof, reference)
        if found.verification.exactness is not None and request.original is not None:
            notify(Stage.TRAINED_KERNELS, found)
            before = kernels_before(request.proof, request.original, request.scratch)
            found = _with_exactness(
                found, dataclasses.replace(found.verification.exactness, kernels_before=before)
            )
    notify(Stage.DONE, found)
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


# The result


def _open_shipped(request: VerifyRequest, runs: Runs, optimized: Path) -> Session:
    """Open the result; where only its optimized graph cannot be written, do without that graph."""
    _send_weights_nowhere(optimized)
    openers = (
        partial(runs.open, request.shipped, optimized=optimized),
        partial(runs.open, request.shipped),
    )
    for opener in openers:
        try:
            return opener()
        except RuntimeRefusal as error:
            _discard(optimized)
            refusal = error
    raise VerificationError(
        "RESULT_NOT_RUNNABLE",
        f"ONNX Runtime does not load the quantized model: {refusal}",
    ) from refusal


def _send_weights_nowhere(optimized: Path) -> None:
    """Have ONNX Runtime write the weights of an optimized graph, which nobody reads, to nowhere."""
    _discard(optimized)
    nowhere = Path(os.devnull)
    if nowhere.is_char_device():
        weights_of_optimized(optimized).symlink_to(nowhere)


def _compare(session: Session, runs: Runs, reference: Reference) -> Verification:
    if not reference.batches:
        return Verification(state=VerificationState.NOT_RUN, message=reference.message)
    comparisons = [OutputComparison(name) for name in reference.names]
    found = runs.outputs(session, reference.batches, reference.names)
    for index, (outputs, expected) in enumerate(
        zip(found, reference.outputs, strict=True), start=1
    ):
        if isinstance(outputs, RuntimeRefusal):
            raise VerificationError(
                "RESULT_NOT_RUNNABLE",
                f"The quantized model does not run on verification batch {index}, on which the "
                f"original runs: {outputs}",
                batch=index,
            ) from outputs
        for comparison, output, originals in zip(comparisons, outputs, expected, strict=True):
            _compare_output(comparison, originals, output)
    return Verification(
        state=reference.state,
        message=reference.message,
        batches=len(reference.batches),
        sqnr_db=_worst(comparisons),
        outputs=tuple(comparison.figures for comparison in comparisons),
    )


def _compare_output(
    comparison: OutputComparison, originals: Sequence[StoredArray], output: object
) -> None:
    found = list(arrays(output))
    if len(found) != len(originals):
        comparison.differ()
    for original, array in zip(originals, found, strict=False):
        comparison.add(original.load(), array)
    for original in originals:
        original.path.unlink(missing_ok=True)


def _worst(comparisons: Sequence[OutputComparison]) -> float:
    """Return the worst SQNR of the float outputs, where there are any, else of all.

    Integer outputs are codes and indices, whose SQNR says little.
    """
    floats = [comparison for comparison in comparisons if comparison.is_float]
    figures = [comparison.sums.similarity.sqnr_db for comparison in floats or comparisons]
    return min(figures, default=math.inf)


def _with_kernels(found: Verified, request: VerifyRequest, optimized: Path) -> Verified:
    if not optimized.is_file():
        return explain(found, "kernel counts are missing: the optimized graph was not written")
    kernels = count_integer_kernels(optimized, request.nodes)
    _discard(optimized)
    return Verified(
        verification=dataclasses.replace(found.verification, kernels=kernels.counts),
        float_nodes=kernels.float_nodes,
    )


def _proved(
    found: Verified, request: VerifyRequest, proof: ProofRequest, reference: Reference
) -> Verified:
    if request.original is None or not reference.batches:
        return explain(found, "the codes were not compared")
    batches = [batch.load() for batch in reference.batches]
    try:
        exactness = prove(proof, request.shipped, batches, request.threads)
    except RuntimeRefusal as refusal:
        return explain(found, f"the codes were not compared: {refusal}")
    return _with_exactness(found, exactness)


def _with_exactness(found: Verified, exactness: Exactness) -> Verified:
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, exactness=exactness)
    )


def _discard(optimized: Path) -> None:
    """Remove an optimized graph and the file of its weights, where they are."""
    for file in (optimized, weights_of_optimized(optimized)):
        if not file.is_dir():
            file.unlink(missing_ok=True)


class _Twins:
    """The figures per node, computed when they are asked for, or beside something else."""

    def __init__(self, request: VerifyRequest, batches: Sequence[StoredBatch]) -> None:
        self._request = request
        self._batches = batches
        self._begun: Future[tuple[NodeFigures, ...]] | None = None

    def begin(self) -> None:
        """Begin now, in a thread."""
        if self._wanted:
            pool = ThreadPoolExecutor(1)
            self._begun = pool.submit(self._figures)
            pool.shutdown(wait=False)

    def added(self, found: Verified) -> Verified:
        """Return what was found with the figures per node added."""
        if not self._wanted:
            return found
        try:
            figures = self._begun.result() if self._begun is not None else self._figures()
        except RuntimeRefusal as refusal:
            return explain(found, f"figures per node are missing: {refusal}")
        return dataclasses.replace(
            found, verification=dataclasses.replace(found.verification, nodes=figures)
        )

    @property
    def _wanted(self) -> bool:
        twins = self._request.twins
        return twins is not None and bool(twins.nodes and self._batches)

    def _figures(self) -> tuple[NodeFigures, ...]:
        twins = self._request.twins
        assert twins is not None
        batches = (batch.load() for batch in self._batches)
        return run_twins(twins, batches, self._request.threads, at_once=self._request.at_once)
