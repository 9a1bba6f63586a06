"""A model of which some activations are seen, open in ONNX Runtime."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.observe.nchwc import BlockedOutput, expose_blocked, own_values
from zeropoint.engine.operators import Trait, has
from zeropoint.engine.runtime import RuntimeRefusal, Session

_Arrays = Mapping[str, NDArray[Any]]


class Seen(NamedTuple):
    """What one activation was in one run: arrays that together have its values, in any order."""

    name: str
    parts: tuple[NDArray[Any], ...]

    @property
    def size(self) -> int:
        """Number of values."""
        return sum(part.size for part in self.parts)


def has_convolutions(graph: ir.Graph) -> bool:
    """Whether ONNX Runtime may keep tensors of a graph in blocked layout."""
    return any(has(node, Trait.CONVOLVES) for node in graph)


class GroupSession:
    """One group of activations; may be run by several threads at once."""

    def __init__(self, path: Path, wanted: Sequence[str], *, threads: int, blocked: bool) -> None:
        """Open a model of which the wanted outputs are seen, perhaps in blocked layout.

        Raises:
            RuntimeRefusal: it does not load.
        """
        self._blocked: Mapping[str, BlockedOutput] = {}
        opened = self._open_blocked(path, threads) if blocked else None
        self._session = opened or Session(path, threads=threads)
        self._wanted = tuple(wanted)
        # What ONNX Runtime has computed costs nothing to hand out, but something to look at.
        changed = {name: output.name for name, output in self._blocked.items()}
        self._fetched = [changed.get(name, name) for name in wanted] or self._session.outputs[:1]

    def run(self, batch: _Arrays) -> Iterator[Seen]:
        """Run the model on inputs by name.

        Raises:
            RuntimeRefusal: it does not run on this batch.
        """
        arrays = self._session.run(batch, self._fetched)
        return (
            Seen(name, self._values(name, array))
            for name, array in zip(self._wanted, arrays, strict=False)
        )

    def _open_blocked(self, path: Path, threads: int) -> Session | None:
        """Return a session with blocked outputs; None where there are none."""
        optimized = path.with_suffix(".optimized.onnx")
        try:
            plain = Session(path, threads=threads, optimized=optimized)
        except RuntimeRefusal:  # it does not load at all, or cannot be written
            return None
        changed = path.with_suffix(".blocked.onnx")
        replaced = expose_blocked(optimized, changed)
        if not replaced:
            return plain
        del plain  # one at a time
        try:
            session = Session(changed, threads=threads, finished=True)
        except RuntimeRefusal:  # as where a body of If reads what was replaced
            return None
        self._blocked = replaced
        return session

    def _values(self, name: str, array: Any) -> tuple[NDArray[Any], ...]:
        if isinstance(array, list):  # a sequence, of the rounds of a loop
            return tuple(np.asarray(item) for item in array)
        if name in self._blocked:
            return tuple(own_values(array, self._blocked[name].channels))
        return (np.asarray(array),)
