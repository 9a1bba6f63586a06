"""Who measures the candidates of a search: against the original, on the samples for choosing."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.report import Speed
from zeropoint.engine.runtime import (
    IntegerKernels,
    RuntimeRefusal,
    Session,
    count_integer_kernels,
    give_back,
)
from zeropoint.engine.verify.arithmetic import integer_share, multiply_accumulates
from zeropoint.engine.verify.compared import ComparedOutputs, compare_outputs
from zeropoint.engine.verify.effect_values import Effects, EffectsRequest
from zeropoint.engine.verify.effects import OnNode, measure_effects
from zeropoint.engine.verify.opening import discard, open_result
from zeropoint.engine.verify.original import Reference, ReferenceRequest, Runs, run_original
from zeropoint.engine.verify.speed import in_turns, one_after_the_other
from zeropoint.engine.verify.trial_values import Measured, TrialFailed, TrialRequest

_OPEN_BYTES = 512 << 20  # of models that are timed in turns
_SECONDS = 0.5  # for each pair: differences of a few percent decide


class Trials(Protocol):
    """Measures candidates, as many as wanted, against one original on the same batches."""

    @property
    def reference(self) -> Reference:
        """What the original gave, and on which batches.

        Raises:
            TrialFailed: running it crashes, or takes too long.
        """

    def measure(self, request: TrialRequest, /) -> Measured:
        """Run a candidate and compare it with the original.

        Raises:
            TrialFailed: it does not load or run.
        """

    def effects(self, request: EffectsRequest, /, notify: OnNode | None = None) -> Effects:
        """Quantize each node alone, and compare the outputs of the float model.

        Args:
            request: What is measured.
            notify: Told how far it is.

        Raises:
            TrialFailed: the model does not load or run.
        """

    def speed(self, shipped: Sequence[Path], /) -> tuple[Speed, ...]:
        """Time candidates and the original in turns, on one thread.

        Returns:
            The figures of each candidate; none where there is nothing to run on.

        Raises:
            TrialFailed: one of them does not load or run.
        """

    def close(self) -> None:
        """End whatever was started."""


class InProcessTrials:
    """This process: for callers who trust the model, and for tests."""

    def __init__(self, request: ReferenceRequest, reference: Reference | None = None) -> None:
        """Run the original.

        Args:
            request: The original, and the batches that choose.
            reference: What the original gave for that, where it was run before.
        """
        self._request = request
        self._reference = reference or run_original(request)
        self._runs = Runs(request.threads, at_once=request.at_once)
        self._counts: dict[str, int] = {}  # multiply-accumulates of layers
        self._counted: set[str] = set()

    @property
    def reference(self) -> Reference:
        """See `Trials.reference`."""
        return self._reference

    def measure(self, request: TrialRequest) -> Measured:
        """See `Trials.measure`."""
        optimized = self._request.scratch / "optimized.onnx"
        try:
            session = open_result(self._runs, request.shipped, optimized)
            found = ComparedOutputs(outputs=(), sqnr_db=None)
            if self.reference.batches:
                found = compare_outputs(
                    session, self._runs, self.reference, request.steps, keep=True
                )
        except VerificationError as error:
            raise TrialFailed(error.message) from error
        del session
        if not self._request.at_once:
            give_back()
        kernels = IntegerKernels(counts=(), float_nodes=())
        share = None
        if optimized.is_file():
            kept = frozenset(request.kept)
            kernels = count_integer_kernels(optimized, request.nodes, kept)
            share = self._share(request, kernels)
        discard(optimized)
        return Measured(
            outputs=found.outputs,
            sqnr_db=found.sqnr_db,
            kernels=kernels.counts,
            float_nodes=kernels.float_nodes,
            requantized=kernels.requantized,
            integer_share=share,
            nbytes=_bytes_of(request.shipped),
        )

    def effects(self, request: EffectsRequest, notify: OnNode | None = None) -> Effects:
        """See `Trials.effects`."""
        try:
            return measure_effects(request, self.reference, self._request.threads, notify)
        except RuntimeRefusal as refusal:
            raise TrialFailed(f"nodes cannot be quantized alone: {refusal}") from refusal

    def speed(self, shipped: Sequence[Path]) -> tuple[Speed, ...]:
        """See `Trials.speed`."""
        original = self._request.original
        if not self.reference.batches or original is None:
            return ()
        batch = self._smallest()
        openers = [partial(Session, path) for path in shipped]
        total = _bytes_of(original) + sum(map(_bytes_of, shipped))
        try:
            if not self._request.side_by_side or total > _OPEN_BYTES:
                return one_after_the_other(partial(Session, original), openers, batch, _SECONDS)
            return in_turns(Session(original), [opener() for opener in openers], batch, _SECONDS)
        except RuntimeRefusal as refusal:
            raise TrialFailed(f"a candidate cannot be timed: {refusal}") from refusal

    def close(self) -> None:
        """Remove what the original gave."""
        for outputs in self.reference.outputs:
            for stored in (array for arrays in outputs for array in arrays):
                stored.path.unlink(missing_ok=True)

    def _smallest(self) -> dict[str, NDArray[Any]]:
        batches = self.reference.batches
        return min(batches, key=lambda batch: batch.nbytes).load() if batches else {}

    def _share(self, request: TrialRequest, kernels: IntegerKernels) -> float | None:
        """Return the share of integer kernels; layers do the same in every candidate."""
        if not request.nodes.keys() <= self._counted:
            batch = self._smallest()
            try:
                found = multiply_accumulates(request.shipped, request.nodes, batch)
            except RuntimeRefusal:
                return None
            self._counts |= found
            self._counted |= request.nodes.keys()
        counts = {name: self._counts[name] for name in request.nodes if name in self._counts}
        return integer_share(counts, kernels)


def _bytes_of(model: Path) -> int:
    data = model.with_name(f"{model.name}.data")
    return sum(file.stat().st_size for file in (model, data) if file.is_file())
