"""What the user's own model gives, for the result to be compared with."""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeropoint.engine.options import StatePair
from zeropoint.engine.report import VerificationState
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.samples import (
    CannotGenerate,
    InputRange,
    StoredArray,
    StoredBatch,
    generate_batches,
    store_arrays,
    store_batch,
)
from zeropoint.engine.verify.behaviour import Behaviour, observe_behaviour
from zeropoint.engine.verify.limits import Limits
from zeropoint.engine.verify.output_forms import PLAIN, OutputForm, output_forms
from zeropoint.engine.verify.parts import parts_of
from zeropoint.engine.verify.rollout import rolled_out
from zeropoint.engine.verify.similarity import is_finite

_GENERATED_BATCHES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRequest:
    """What is to be run; known before there is a result.

    Attributes:
        original: The user's model, to be opened by ONNX Runtime; None: the result is only loaded.
        scratch: A folder for temporary files.
        batches: Samples; where there are none that it runs on, inputs are made up.
        inputs: What these may be.
        threads: Threads to use.
        at_once: Whether memory allows for as many batches at once as there are threads, which is
            faster than as many threads for one.
        as_written: Run the original without optimizations.
        side_by_side: Whether memory allows for the original and the result to be open at once.
        held_out: Whether the samples took no part in choosing parameters.
        independent: Whether they took no part in choosing between candidates.
        state_pairs: What a call gives to the next one; the samples are then in their order.
    """

    original: Path | None
    scratch: Path
    batches: tuple[StoredBatch, ...] = ()
    inputs: tuple[InputRange, ...] = ()
    threads: int = 1
    at_once: bool = False
    as_written: bool = False
    side_by_side: bool = True
    held_out: bool = False
    independent: bool = False
    state_pairs: tuple[StatePair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the original model gave.

    Attributes:
        state: Where the batches come from; NOT_RUN where there are none.
        message: Why not samples, or not all of them.
        batches: Those that it ran on.
        outputs: For each of them its outputs: for each output a list of arrays.
        finite: For each of them, whether each output holds neither NaN nor infinities.
        names: Names of the outputs.
        forms: How each of them ends.
        behaviours: What else is known of each.
        not_run: Numbers of the batches that it did not run on.
        session: The model, still open on one thread, where memory allows for that.
        state_pairs: What a call gave to the next one.
    """

    state: VerificationState
    message: str = ""
    batches: tuple[StoredBatch, ...] = ()
    outputs: tuple[tuple[tuple[StoredArray, ...], ...], ...] = ()
    finite: tuple[tuple[bool, ...], ...] = ()
    names: tuple[str, ...] = ()
    forms: tuple[OutputForm, ...] = ()
    behaviours: tuple[Behaviour, ...] = ()
    not_run: tuple[int, ...] = ()
    session: Session | None = None
    state_pairs: tuple[StatePair, ...] = ()


def run_original(request: ReferenceRequest) -> Reference:
    """Run the user's model on the samples, or on inputs made up for it."""
    if request.original is None:
        return Reference(state=VerificationState.NOT_RUN, message="it was only loaded")
    runs = Runs(request.threads, at_once=request.at_once)
    try:
        session = runs.open(request.original, as_written=request.as_written)
    except RuntimeRefusal as refusal:
        return Reference(
            state=VerificationState.NOT_RUN, message=f"the original does not load: {refusal}"
        )
    original = _Original(session, runs, request)
    if request.batches:
        reference = original.run_on(
            request.batches, VerificationState.COMPARED, request.state_pairs
        )
        if request.state_pairs and reference.not_run:  # it was no state, or not of this size
            reference = original.run_on(request.batches, VerificationState.COMPARED)
        if reference.batches:
            return reference
    return _run_on_generated(original)


class Runs:
    """Sessions for many batches, run one after the other or several at once."""

    def __init__(self, threads: int, *, at_once: bool) -> None:
        """Take what may be used.

        Args:
            threads: Threads to use.
            at_once: Give each batch one of them, instead of all to one batch.
        """
        self._threads = 1 if at_once else threads
        self._workers = threads if at_once else 1

    def open(
        self, path: Path, *, optimized: Path | None = None, as_written: bool = False
    ) -> Session:
        """Open a model; see `Session`."""
        return Session(path, threads=self._threads, optimized=optimized, as_written=as_written)

    def outputs(
        self,
        session: Session,
        batches: Sequence[StoredBatch],
        names: Sequence[str] | None = None,
        state: Sequence[StatePair] = (),
    ) -> Iterator[list[Any] | RuntimeRefusal]:
        """Return the outputs for each batch, or why it does not run, in order."""
        if state:
            yield from rolled_out(session, batches, names, state)
            return

        def run(batch: StoredBatch) -> list[Any] | RuntimeRefusal:
            try:
                return session.run(batch.load(), names)
            except RuntimeRefusal as refusal:
                return refusal

        if self._workers == 1:
            yield from map(run, batches)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            for begin in range(0, len(batches), self._workers):  # no outputs wait in memory
                yield from pool.map(run, batches[begin : begin + self._workers])


class _Original:
    """The user's model, open."""

    def __init__(self, session: Session, runs: Runs, request: ReferenceRequest) -> None:
        assert request.original is not None
        self.session = session
        self.request = request
        self._runs = runs
        forms = output_forms(request.original)
        self._forms = tuple(forms.get(name, PLAIN) for name in session.outputs)

    def run_on(
        self,
        batches: Sequence[StoredBatch],
        state: VerificationState,
        state_pairs: tuple[StatePair, ...] = (),
    ) -> Reference:
        """Run batches, as many as time and disk allow, and keep what they give on disk."""
        ran: list[StoredBatch] = []
        stored, finite = [], []
        behaviours: tuple[Behaviour, ...] = ()
        limits = Limits()
        results = self._runs.outputs(self.session, batches, state=state_pairs)
        for index, outputs in enumerate(limits.enough(results, len(batches))):
            if isinstance(outputs, RuntimeRefusal):
                continue
            parts = [list(parts_of(output)) for output in outputs]
            if not ran:
                batch = batches[index].load()
                behaviours = observe_behaviour(self.session, batch, parts, self._forms)
            ran.append(batches[index])
            finite.append(tuple(all(map(is_finite, arrays)) for arrays in parts))
            limits.stored += sum(array.nbytes for arrays in parts for array in arrays)
            stored.append(
                tuple(
                    store_arrays(arrays, self.request.scratch / f"original-{index}-{at}.output")
                    for at, arrays in enumerate(parts)
                )
            )
        numbers = {batch.number for batch in ran}
        tried = {batch.number for batch in batches[: limits.passed]}
        return Reference(
            state=state,
            message=limits.message(len(batches)),
            batches=tuple(ran),
            outputs=tuple(stored),
            finite=tuple(finite),
            names=self.session.outputs,
            forms=self._forms,
            behaviours=behaviours,
            not_run=tuple(sorted(tried - numbers)),
            session=self.session if self.request.at_once else None,
            state_pairs=state_pairs,
        )


def _run_on_generated(original: _Original) -> Reference:
    request = original.request
    try:
        made = generate_batches(request.inputs, original.session.run, _GENERATED_BATCHES)
    except CannotGenerate as reason:
        return Reference(
            state=VerificationState.NOT_RUN, message=f"there are no samples, and {reason}"
        )
    stored = [
        store_batch(batch, request.scratch / f"generated-{index}.batch")
        for index, batch in enumerate(made)
    ]
    reference = original.run_on(stored, VerificationState.GENERATED)
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in made[0].items())
    return dataclasses.replace(
        reference, message=f"there are no samples; inputs were made up: {shapes or 'none needed'}"
    )
