"""Running the float model on batches, and counting every planned activation."""

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
        self._counting: list[Future[None]] = []
        self._observe_bytes = observe_bytes
        self._sessions: dict[tuple[int, int], Session] = {}
        self._most_sessions = max(1, observe_bytes // max(1, self._model.weight_bytes()))
        self._layout_of = functools.lru_cache(maxsize=1024)(self._choose_layout)

    def observe(self, batch: _Arrays) -> _Arrays:
        """Run a batch and count its activations.

        Args:
            batch: An array for each input of the model; not kept.

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
            self._count(self._sketches, outputs, layout)
        else:
            self._observe_rest(layout, batch, outputs)
        for name in self._model.inputs:  # at once, because the caller may reuse the memory
            self._sketches[name].update(batch[name])
        return own

    def sketches(self) -> Mapping[str, Sketch]:
        """Return the statistics of everything observed, by tensor."""
        self._wait()
        return MappingProxyType(self._sketches)

    def close(self) -> None:
        """End counting and close all sessions."""
        if self._pool is not None:
            self._pool.shutdown()
        self._sessions.clear()

    def _observe_rest(self, layout: _Layout, batch: _Arrays, outputs: _Arrays) -> None:
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

    def _count(self, sketches: Mapping[str, Sketch], outputs: _Arrays, layout: _Layout) -> None:
        """Count what is planned of these outputs, once the ones before are done."""
        arrays = [(name, outputs[name]) for name in outputs if name in sketches]
        self._wait()
        if self._pool is None:
            _update(sketches, arrays)
            return
        arrays.sort(key=lambda item: -item[1].size)
        self._counting = [self._pool.submit(_update, sketches, [item]) for item in arrays]
        if not layout.overlap:
            self._wait()

    def _wait(self) -> None:
        counting, self._counting = self._counting, []
        for future in counting:
            future.result()


def _update(sketches: Mapping[str, Sketch], arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    for name, array in arrays:
        sketches[name].update(np.asarray(array))
