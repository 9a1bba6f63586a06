"""The proof: the result is loaded and run as it is shipped, and compared with the original."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.generate import CannotGenerate, generate_batches
from zeropoint.engine.kernels import count_integer_kernels
from zeropoint.engine.report import Verification, VerificationState
from zeropoint.engine.retain import StoredBatch, storable, store_batch
from zeropoint.engine.sessions import RuntimeRefusal, Session
from zeropoint.engine.similarity import OutputComparison
from zeropoint.engine.twins import TwinModel, run_twins

_GENERATED_BATCHES = 3

# Twins cost two to three times the plain model, and a figure settles soon.
_TWIN_BATCHES = 2


class Stage(StrEnum):
    """What is being done, in this order."""

    ORIGINAL = "original"
    LOAD = "load"
    COMPARE = "compare"
    KERNELS = "kernels"
    TWINS = "twins"
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
        threads: Threads of one operator.
    """

    original: Path | None
    shipped: Path
    scratch: Path
    batches: tuple[StoredBatch, ...] = ()
    twins: TwinModel | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1


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


def verify(request: VerifyRequest, notify: Notify | None = None) -> Verified:
    """Load the result, run it, and compare it with the original.

    At most one model is open at any time.

    Args:
        request: What is to be verified.
        notify: Told how far it is.

    Raises:
        VerificationError: RESULT_NOT_RUNNABLE, the result does not load, or does not run on a batch
            that the original runs on.
    """
    notify = notify or (lambda _stage, _found: None)
    found = not_run("the original model was not run")
    notify(Stage.ORIGINAL, found)
    reference = _run_original(request)
    notify(Stage.LOAD, found)
    optimized = request.scratch / "optimized.onnx"
    session = _open_shipped(request, optimized)
    notify(Stage.COMPARE, found)
    found = Verified(verification=_compare(session, reference))
    del session
    notify(Stage.KERNELS, found)
    found = _with_kernels(found, request, optimized)
    notify(Stage.TWINS, found)
    found = _with_twins(found, request, reference.batches[:_TWIN_BATCHES])
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


# The original


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reference:
    """What the original model gave.

    Attributes:
        state: Where the batches come from; NOT_RUN where there are none.
        message: Why not samples.
        batches: Those that it ran on.
        outputs: For each of them the files of its outputs: for each output a list of arrays.
        names: Names of the outputs.
    """

    state: VerificationState
    message: str = ""
    batches: tuple[StoredBatch, ...] = ()
    outputs: tuple[tuple[tuple[Path, ...], ...], ...] = ()
    names: tuple[str, ...] = ()


def _run_original(request: VerifyRequest) -> _Reference:
    if request.original is None:
        return _Reference(state=VerificationState.NOT_RUN, message="it was only loaded")
    try:
        session = Session(request.original, threads=request.threads)
    except RuntimeRefusal as refusal:
        return _Reference(
            state=VerificationState.NOT_RUN, message=f"the original does not load: {refusal}"
        )
    if request.batches:
        reference = _reference(session, request, request.batches, VerificationState.COMPARED)
        if reference.batches:
            return reference
    return _run_on_generated(session, request, request.original)


def _run_on_generated(session: Session, request: VerifyRequest, original: Path) -> _Reference:
    try:
        made = generate_batches(ir.load(original).graph, session.run, _GENERATED_BATCHES)
    except CannotGenerate as reason:
        return _Reference(
            state=VerificationState.NOT_RUN, message=f"there are no samples, and {reason}"
        )
    stored = [
        store_batch(batch, request.scratch / f"generated-{index}.npz")
        for index, batch in enumerate(made)
    ]
    reference = _reference(session, request, stored, VerificationState.GENERATED)
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in made[0].items())
    return dataclasses.replace(
        reference, message=f"there are no samples; inputs were made up: {shapes or 'none needed'}"
    )


def _reference(
    session: Session,
    request: VerifyRequest,
    batches: Sequence[StoredBatch],
    state: VerificationState,
) -> _Reference:
    ran, files = [], []
    for index, batch in enumerate(batches):
        try:
            outputs = session.run(batch.load())
        except RuntimeRefusal:
            continue
        ran.append(batch)
        files.append(
            tuple(
                _store_output(output, request.scratch / f"original-{index}-{position}")
                for position, output in enumerate(outputs)
            )
        )
    return _Reference(state=state, batches=tuple(ran), outputs=tuple(files), names=session.outputs)


def _store_output(output: object, stem: Path) -> tuple[Path, ...]:
    files = []
    for index, array in enumerate(_arrays(output)):
        files.append(stem.with_name(f"{stem.name}-{index}.npy"))
        np.save(files[-1], array, allow_pickle=False)
    return tuple(files)


def _arrays(output: Any) -> Iterator[NDArray[np.generic]]:
    """Return the arrays of an output: itself, or those of a list or map in order."""
    if isinstance(output, dict):
        output = [output[key] for key in sorted(output)]
    if isinstance(output, list):
        for item in output:
            yield from _arrays(item)
    elif output is not None:
        yield storable(np.asarray(output))


# The result


def _open_shipped(request: VerifyRequest, optimized: Path) -> Session:
    """Open the result; where only its optimized graph cannot be written, do without that graph."""
    openers = (
        partial(Session, request.shipped, threads=request.threads, optimized=optimized),
        partial(Session, request.shipped, threads=request.threads),
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


def _compare(session: Session, reference: _Reference) -> Verification:
    if not reference.batches:
        return Verification(state=VerificationState.NOT_RUN, message=reference.message)
    comparisons = [OutputComparison(name) for name in reference.names]
    for index, (batch, files) in enumerate(
        zip(reference.batches, reference.outputs, strict=True), start=1
    ):
        try:
            outputs = session.run(batch.load(), reference.names)
        except RuntimeRefusal as refusal:
            raise VerificationError(
                "RESULT_NOT_RUNNABLE",
                f"The quantized model does not run on verification batch {index}, on which the "
                f"original runs: {refusal}",
                batch=index,
            ) from refusal
        for comparison, output, originals in zip(comparisons, outputs, files, strict=True):
            _compare_output(comparison, originals, output)
    return Verification(
        state=reference.state,
        message=reference.message,
        batches=len(reference.batches),
        sqnr_db=_worst(comparisons),
        outputs=tuple(comparison.figures for comparison in comparisons),
    )


def _compare_output(
    comparison: OutputComparison, originals: Sequence[Path], output: object
) -> None:
    arrays = list(_arrays(output))
    if len(arrays) != len(originals):
        comparison.differ()
    for file, array in zip(originals, arrays, strict=False):
        comparison.add(np.load(file, mmap_mode="r", allow_pickle=False), array)
        file.unlink()


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


def _discard(optimized: Path) -> None:
    """Remove an optimized graph and the file of its weights, where they are."""
    for file in optimized.parent.glob(f"{optimized.name}*"):
        if file.is_file():
            file.unlink()


def _with_twins(
    found: Verified, request: VerifyRequest, batches: Sequence[StoredBatch]
) -> Verified:
    if request.twins is None or not request.twins.nodes or not batches:
        return found
    try:
        figures = run_twins(request.twins, (batch.load() for batch in batches), request.threads)
    except RuntimeRefusal as refusal:
        return explain(found, f"figures per node are missing: {refusal}")
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, nodes=figures)
    )
