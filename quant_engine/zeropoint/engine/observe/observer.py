"""Running the float model on batches, and counting every planned activation."""

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.errors import BatchError, ModelError
from zeropoint.engine.observe.bands import Band, Bands
from zeropoint.engine.observe.batch_layout import ByteGate, Layout, LayoutRule
from zeropoint.engine.observe.exposed_model import ExposedModel
from zeropoint.engine.observe.group_session import GroupSession, Seen, has_convolutions
from zeropoint.engine.observe.splittable import SplitCheck
from zeropoint.engine.runtime import RuntimeRefusal, read_refusal
from zeropoint.sketch import Sketch

_Arrays = Mapping[str, NDArray[Any]]


class Observer:
    """Keeps one sketch of each planned activation.

    Several batches are run at once, each by one thread that then counts what it has seen: this
    takes less time than several threads for one operator, and gives the same bits however many
    there are. A large batch is cut into parts where its samples do not depend on each other. Where
    the activations of a part would still take more than the budget, it is run several times, each
    time with a group of them as outputs.
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
            tensors: Names of float32 or float16 activations in its main graph, inputs and outputs
                of that among them, or in bodies of If and Loop.
            workspace: Where to write models.
            threads: Threads for running and counting.
            observe_bytes: Budget for the activations held at once, those of all threads together.
        """
        self._model = ExposedModel(model, tensors, workspace)
        self._blocked = has_convolutions(model.graph)
        self._bands = Bands(tensors)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="observe")
        self._gate = ByteGate(observe_bytes)
        self._least_cost = max(1, observe_bytes // (2 * threads))
        self._whole_budget = observe_bytes
        self._sessions: dict[tuple[int, int, int], GroupSession] = {}
        self._opening = threading.Lock()
        self._most_sessions = max(1, observe_bytes // max(1, self._model.weight_bytes()))
        split = SplitCheck(model, self._model)
        rule = LayoutRule(
            self._model, threads=threads, observe_bytes=observe_bytes, splits=split.allows
        )
        self._batched, self._splits = split.batched_inputs, split.allows
        self._layout_of = functools.lru_cache(maxsize=1024)(
            lambda shapes: rule.choose(dict(shapes))
        )

    def submit(
        self, batch: _Arrays, sequence: int = 0, *, band: Callable[[], int | None] = lambda: None
    ) -> "Future[None]":
        """Run a batch and count its activations, while the caller goes on.

        Waits until the budget has room for it.

        Args:
            batch: An array for each input of the model; not to be changed until it is counted.
            sequence: Number of the batch, for `non_finite`.
            band: In which band to count it, apart from all others until that is released; None: in
                none. Asked when it begins to run: by then more is known of the batches before it.

        Returns:
            Done when the batch is counted, or nothing of it, with one of the errors of `observe`.
        """
        tasks = list(self._tasks(batch))
        under_way = _Batch(sequence, len(tasks), band)
        for task in tasks:
            self._gate.enter(task.cost)
            self._pool.submit(self._work, under_way, task)
        return under_way.settled

    def observe(self, batch: _Arrays, sequence: int = 0) -> None:
        """Run a batch and count its activations, as `submit` does.

        Raises:
            BatchError: BATCH_RUN_FAILED, ONNX Runtime cannot run the model on this batch; nothing
                of it was counted.
            ModelError: MODEL_NOT_RUNNABLE, it cannot load the model with activations as outputs.
        """
        self.submit(batch, sequence).result()

    def release(self, below: int | None = None) -> None:
        """Have the statistics of bands with lower numbers, or of all, join those of no band.

        For any thread.
        """
        self._bands.release(below)

    def apart(self) -> tuple[Mapping[str, Sketch], ...]:
        """Return the statistics of the bands that are left, when all is counted."""
        self._gate.wait_until_empty()
        return self._bands.others()

    def sketches(self) -> Mapping[str, Sketch]:
        """Return the statistics of all that is in no band, by tensor, when all is counted."""
        self._gate.wait_until_empty()
        return MappingProxyType(self._bands.main.sketches)

    def snapshot(self, names: Iterable[str]) -> dict[str, Sketch]:
        """Return copies of the statistics of now, those of all bands together."""
        return self._bands.snapshot(names)

    def non_finite(self) -> Mapping[str, tuple[int, ...]]:
        """Return the numbers of the batches that brought NaN or infinities, by tensor.

        At most 64 each, the smallest: the same whatever the order of the batches.
        """
        self._gate.wait_until_empty()
        found = self._bands.main.non_finite.items()
        return {name: tuple(numbers) for name, numbers in found if numbers}

    def splits(self) -> bool:
        """Whether the samples of a batch do not depend on each other; to be asked while it runs."""
        return self._splits()

    def close(self) -> None:
        """Forget what waits, end what runs, and close all sessions."""
        self._pool.shutdown(cancel_futures=True)
        self._sessions.clear()

    # What is to be done

    def _tasks(self, batch: _Arrays) -> Iterator["_Task"]:
        for part in self._parts(batch):
            layout = self._layout(part)
            inputs = sum(array.nbytes for array in part.values())
            cost = max(layout.nbytes + inputs, self._least_cost)
            if layout.threads > 1 or self._most_sessions < layout.groups:
                cost = max(cost, self._whole_budget)
            # With few activations some of the groups are empty.
            for group in range(max(1, min(layout.groups, len(self._model.hidden)))):
                yield _Task(part, layout, group, cost)

    def _parts(self, batch: _Arrays) -> Iterator[_Arrays]:
        rows = self._layout(batch).rows
        if not rows:
            yield batch
            return
        samples = len(batch[self._batched[0]])
        for start in range(0, samples, rows):
            yield {
                name: array[start : start + rows] if name in self._batched else array
                for name, array in batch.items()
            }

    def _layout(self, batch: _Arrays) -> Layout:
        return self._layout_of(tuple((name, batch[name].shape) for name in sorted(batch)))

    # In the threads of the pool

    def _work(self, batch: "_Batch", task: "_Task") -> None:
        try:
            if batch.error is None:
                self._begin(batch)
                self._run(batch, task)
        except RuntimeRefusal as error:
            batch.fail(_batch_error(error))
        except BaseException as error:  # noqa: BLE001 - who waits for the batch is told
            batch.fail(error)
        last = batch.ends()
        if last and batch.error is None and batch.counted is not None:
            self._add(batch, batch.counted)
        self._gate.leave(task.cost)
        if last:
            batch.settle()

    def _begin(self, batch: "_Batch") -> None:
        with batch.lock:
            if batch.band is None:
                batch.band = self._bands.get(batch.wanted())
                if batch.left > 1:
                    batch.counted = self._bands.take()

    def _run(self, batch: "_Batch", task: "_Task") -> None:
        seen = list(self._session(task.layout, task.group).run(task.feeds))
        if task.group == 0:
            seen += [Seen(name, (task.feeds[name],)) for name in self._model.inputs]
        if task.layout.threads == 1:
            self._count(batch, deque(seen))
            return
        seen.sort(key=lambda each: -each.size)
        shared = deque(seen)
        helpers = [
            self._pool.submit(self._count, batch, shared) for _ in range(task.layout.threads - 1)
        ]
        self._count(batch, shared)
        for helper in helpers:
            helper.result()

    def _count(self, batch: "_Batch", seen: "deque[Seen]") -> None:
        band = batch.band
        assert band is not None
        while seen:
            try:
                name, parts = seen.popleft()
            except IndexError:  # another thread took the last one
                return
            with self._bands.locks[name]:
                target = self._bands.target(band)
                sketch = (target.sketches if batch.counted is None else batch.counted)[name]
                before = _bad_values(sketch)
                for part in parts:
                    sketch.update(part)
                if batch.counted is None and _bad_values(sketch) > before:
                    target.note(name, (batch.sequence,))

    def _add(self, batch: "_Batch", counted: dict[str, Sketch]) -> None:
        """Have what was counted of a batch by itself take effect."""
        assert batch.band is not None
        for name, sketch in counted.items():
            with self._bands.locks[name]:
                target = self._bands.target(batch.band)
                if _bad_values(sketch):
                    target.note(name, (batch.sequence,))
                target.sketches[name].move(sketch)
        self._bands.give_back(counted)

    def _session(self, layout: Layout, group: int) -> GroupSession:
        """Return the session of a group, kept open as far as memory for weights allows."""
        key = layout.groups, group, layout.threads
        with self._opening:
            if key in self._sessions:
                return self._sessions[key]
            if len(self._sessions) >= self._most_sessions:
                self._sessions.clear()
            path, wanted = self._model.write(layout.groups, group)
            try:
                session = GroupSession(path, wanted, threads=layout.threads, blocked=self._blocked)
            except RuntimeRefusal as error:
                raise ModelError(
                    "MODEL_NOT_RUNNABLE",
                    f"ONNX Runtime cannot load the model with its activations as outputs: {error}",
                ) from error
            self._sessions[key] = session
            return session


@dataclass(frozen=True, slots=True)
class _Task:
    """One run: a part of a batch, and the group of activations that is seen."""

    feeds: _Arrays
    layout: Layout
    group: int
    cost: int


@dataclass(slots=True, eq=False)
class _Batch:
    """A batch under way. What is counted takes effect when all of it has run."""

    sequence: int
    left: int
    wanted: Callable[[], int | None]
    band: Band | None = None
    counted: dict[str, Sketch] | None = None
    settled: "Future[None]" = field(default_factory=Future)
    error: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, error: BaseException) -> None:
        with self.lock:
            self.error = self.error or error

    def ends(self) -> bool:
        """Count one task as ended, and tell whether it was the last one."""
        with self.lock:
            self.left -= 1
            return self.left == 0

    def settle(self) -> None:
        """Tell who waits."""
        if self.error is not None:
            self.settled.set_exception(self.error)
        else:
            self.settled.set_result(None)


def _batch_error(error: RuntimeRefusal) -> BatchError:
    refusal = read_refusal(str(error))
    found = BatchError(
        "BATCH_RUN_FAILED",
        f"ONNX Runtime cannot run the model on this batch: {refusal}",
        node=refusal.node,
    )
    found.__cause__ = error
    return found


def _bad_values(sketch: Sketch) -> int:
    return sketch.elements - sketch.finite
