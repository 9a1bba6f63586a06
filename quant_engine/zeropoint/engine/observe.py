"""Running the float model on batches, and counting every planned activation."""

import bisect
import functools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.errors import BatchError, ModelError
from zeropoint.engine.exposed import ExposedModel
from zeropoint.engine.refusal import read_refusal
from zeropoint.engine.sessions import RuntimeRefusal, Session
from zeropoint.sketch import Sketch

_Arrays = Mapping[str, NDArray[Any]]


class _Layout(NamedTuple):
    """How a batch is run: in how many groups, and whether counting may lag behind."""

    groups: int
    overlap: bool


_MOST_LISTED = 64


class Observer:
    """Keeps one sketch of each planned activation.

    Where the activations of a batch would take more than the budget, it is run several times, each
    time with a group of them as outputs. How many groups follows from the shapes of the batch
    alone: whether an activation is visible decides what ONNX Runtime can fuse, and so the last
    bits, which must not depend on the order of the batches.

    With two threads or more, the activations of one batch are counted while the next one runs,
    where the budget holds those of both.
    """

    def __init__(
        self,
        model: ir.Model,
        tensors: Sequence[str],
        *,
        workspace: Path,
        threads: int,
        observe_bytes: int,
    ) -> None:
        """Prepare to observe; nothing is run yet.

        Args:
            model: The float model; it may be changed afterwards. Its external data lies in
                `workspace`.
            tensors: Names of float32 or float16 activations in its main graph; inputs and outputs
                of the graph may be among them.
            workspace: Where to write models.
            threads: Threads for running, and as many for counting.
            observe_bytes: Budget for the activations held at once.
        """
        self._model = ExposedModel(model, tensors, workspace)
        self._threads = threads
        self._sketches = {name: Sketch() for name in tensors}
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._counting: list[Future[list[str]]] = []
        self._counting_sequence: int | None = None
        self._non_finite: dict[str, list[int]] = {}
        self._observe_bytes = observe_bytes
        self._sessions: dict[tuple[int, int], Session] = {}
        self._most_sessions = max(1, observe_bytes // max(1, self._model.weight_bytes()))
        self._layout_of = functools.lru_cache(maxsize=1024)(self._choose_layout)

    def observe(self, batch: _Arrays, sequence: int = 0) -> _Arrays:
        """Run a batch and count its activations.

        Args:
            batch: An array for each input of the model; not kept.
            sequence: Number of the batch, for `non_finite`.

        Returns:
            The model's own outputs by name, not to be changed.

        Raises:
            BatchError: BATCH_RUN_FAILED, ONNX Runtime cannot run the model on this batch; nothing
                of it was counted.
            ModelError: MODEL_NOT_RUNNABLE, it cannot load the model with activations as outputs.
        """
        layout = self._layout_of(tuple((name, batch[name].shape) for name in sorted(batch)))
        outputs = self._run(layout, 0, batch)
        own = {name: outputs[name] for name in self._model.outputs}
        if layout.groups == 1:
            self._count(self._sketches, outputs, layout, sequence)
        else:
            self._observe_rest(layout, batch, outputs, sequence)
        # At once, because the caller may reuse the memory.
        inputs = [(name, batch[name]) for name in self._model.inputs]
        self._note(_update(self._sketches, inputs), sequence)
        return own

    def sketches(self) -> Mapping[str, Sketch]:
        """Return the statistics of everything observed, by tensor."""
        self._wait()
        return MappingProxyType(self._sketches)

    def non_finite(self) -> Mapping[str, tuple[int, ...]]:
        """Return the numbers of the batches that brought NaN or infinities, by tensor.

        At most 64 each, the smallest: the same whatever the order of the batches.
        """
        self._wait()
        return {name: tuple(numbers) for name, numbers in self._non_finite.items()}

    def close(self) -> None:
        """End counting and close all sessions."""
        if self._pool is not None:
            self._pool.shutdown()
        self._sessions.clear()

    def _observe_rest(
        self, layout: _Layout, batch: _Arrays, outputs: _Arrays, sequence: int
    ) -> None:
        """Run the other groups; what is counted takes effect when all have run."""
        counted = {name: Sketch() for name in self._sketches}
        self._count(counted, outputs, layout)
        try:
            for group in range(1, min(layout.groups, len(self._model.hidden))):
                self._count(counted, self._run(layout, group, batch), layout)
        finally:
            self._wait()
        for name, sketch in counted.items():
            self._sketches[name].merge(sketch)
        self._note((name for name, sketch in counted.items() if _non_finite(sketch)), sequence)

    def _choose_layout(self, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> _Layout:
        """Return the least power of two of groups that keeps each within the budget."""
        sizes = self._model.sizes(dict(shapes))
        groups = 1
        while True:
            largest = max(
                sum(sizes[name] for name in self._model.members(groups, group))
                for group in range(groups)
            )
            if largest <= self._observe_bytes or groups >= self._model.most_groups:
                return _Layout(groups, overlap=2 * largest <= self._observe_bytes)
            groups *= 2

    def _run(self, layout: _Layout, group: int, batch: _Arrays) -> dict[str, NDArray[Any]]:
        if not layout.overlap:
            self._wait()
        session = self._session(layout.groups, group)
        try:
            return dict(zip(session.outputs, session.run(batch), strict=True))
        except RuntimeRefusal as error:
            refusal = read_refusal(str(error))
            raise BatchError(
                "BATCH_RUN_FAILED",
                f"ONNX Runtime cannot run the model on this batch: {refusal}",
                node=refusal.node,
            ) from error

    def _session(self, groups: int, group: int) -> Session:
        """Return the session of a group, kept open as far as memory for weights allows."""
        key = groups, group
        if key in self._sessions:
            return self._sessions[key]
        if len(self._sessions) >= self._most_sessions:
            self._sessions = {k: v for k, v in self._sessions.items() if k[0] == groups}
        try:
            session = Session(self._model.write(groups, group), threads=self._threads)
        except RuntimeRefusal as error:
            raise ModelError(
                "MODEL_NOT_RUNNABLE",
                f"ONNX Runtime cannot load the model with its activations as outputs: {error}",
            ) from error
        if len(self._sessions) < self._most_sessions:
            self._sessions[key] = session
        return session

    def _count(
        self,
        sketches: Mapping[str, Sketch],
        outputs: _Arrays,
        layout: _Layout,
        sequence: int | None = None,
    ) -> None:
        """Count what is planned of these outputs, once the ones before are done."""
        arrays = [(name, outputs[name]) for name in outputs if name in sketches]
        self._wait()
        self._counting_sequence = sequence
        if self._pool is None:
            self._note(_update(sketches, arrays), sequence)
            return
        arrays.sort(key=lambda item: -item[1].size)
        self._counting = [self._pool.submit(_update, sketches, [item]) for item in arrays]
        if not layout.overlap:
            self._wait()

    def _wait(self) -> None:
        counting, self._counting = self._counting, []
        for future in counting:
            self._note(future.result(), self._counting_sequence)

    def _note(self, names: Iterable[str], sequence: int | None) -> None:
        """Remember which batch brought values that are not finite; None: noted elsewhere."""
        if sequence is None:
            return
        for name in names:
            numbers = self._non_finite.setdefault(name, [])
            if sequence not in numbers:
                bisect.insort(numbers, sequence)
                del numbers[_MOST_LISTED:]


def _update(
    sketches: Mapping[str, Sketch], arrays: Iterable[tuple[str, NDArray[Any]]]
) -> list[str]:
    """Count arrays; return the names of those with NaN or infinities."""
    grown = []
    for name, array in arrays:
        before = _non_finite(sketches[name])
        sketches[name].update(np.asarray(array))
        if _non_finite(sketches[name]) != before:
            grown.append(name)
    return grown


def _non_finite(sketch: Sketch) -> int:
    return sketch.elements - sketch.finite
