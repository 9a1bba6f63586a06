"""How a batch is run: in how many parts and groups, with how many threads, and how many at once.

The layout follows from the shapes of the batch alone: what is visible, and how many samples are
together, decides what ONNX Runtime does, and so the last bits, which must not depend on the order
of the batches.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zeropoint.engine.observe.exposed_model import ExposedModel, Shapes

# The activations of a part that is cut off a large batch: they stay in the last-level cache until
# they are counted, and every thread gets something to do.
PART_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """How inputs of certain shapes are run.

    Attributes:
        rows: Samples of one part, which is run by itself; 0: the batch is not cut.
        groups: How often a part is run, each time with other activations visible.
        threads: Threads of one operator; more than 1 where one part takes the whole budget.
        nbytes: Bytes of the activations that one run makes visible.
    """

    rows: int
    groups: int
    threads: int
    nbytes: int


class LayoutRule:
    """Chooses layouts for one model."""

    def __init__(
        self, model: ExposedModel, *, threads: int, observe_bytes: int, splits: Callable[[], bool]
    ) -> None:
        """Take what layouts depend on; `splits` is asked only where a batch would be cut."""
        self._model = model
        self._threads = threads
        self._observe_bytes = observe_bytes
        self._splits = splits

    def choose(self, shapes: Shapes) -> Layout:
        """Return the layout for inputs of these shapes."""
        sizes = self._model.sizes(shapes)
        rows = self._rows(shapes, sum(sizes.values()))
        if rows:
            return Layout(rows=rows, groups=1, threads=1, nbytes=0)
        groups, nbytes = self._groups(sizes)
        # Too large for one thread each: then all work on one operator.
        alone = self._threads > 1 and self._threads * nbytes > self._observe_bytes
        return Layout(
            rows=0,
            groups=groups,
            threads=self._threads if alone else 1,
            nbytes=self._observe_bytes if alone else nbytes,
        )

    def _rows(self, shapes: Shapes, nbytes: int) -> int:
        samples = self._model.samples(shapes)
        if samples < 2 or nbytes <= PART_BYTES or not self._splits():
            return 0
        rows = max(1, PART_BYTES * samples // nbytes)
        return rows if rows < samples else 0

    def _groups(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Return the least power of two of groups that keeps each within the budget."""
        groups = 1
        while True:
            largest = max(
                sum(sizes[name] for name in self._model.members(groups, group))
                for group in range(groups)
            )
            if largest <= self._observe_bytes or groups >= self._model.most_groups:
                return groups, largest
            groups *= 2


class ByteGate:
    """Lets work pass as long as what is under way fits into a budget.

    Work that is larger than the whole budget passes alone.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._under_way = 0
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        """Wait until `size` bytes fit, and take them."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._under_way or self._under_way + size <= self._budget
            )
            self._under_way += size

    def leave(self, size: int) -> None:
        """Give `size` bytes back."""
        with self._changed:
            self._under_way -= size
            self._changed.notify_all()

    def wait_until_empty(self) -> None:
        """Wait until nothing is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)
