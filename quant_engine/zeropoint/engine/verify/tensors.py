"""Tensors of the inside of models, which run as they are written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from zeropoint.engine.runtime import Session
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.exposed import expose, read_graph, written_beside
from zeropoint.engine.verify.parts import parts_of


class TensorSource:
    """Runs models for tensors of theirs; the last one stays open."""

    def __init__(self, threads: int) -> None:
        """Start with none; `threads` are used for one operator."""
        self._threads = threads
        self._key: tuple[Path, tuple[str, ...]] | None = None
        self._session: Session | None = None

    def run(self, model: Path, tensors: Sequence[str], batch: Batch) -> list[NDArray[Any]]:
        """Return tensors of a model's main graph for a batch.

        Raises:
            RuntimeRefusal: the model does not load or run.
        """
        key = (model, tuple(tensors))
        if key != self._key or self._session is None:
            self.close()
            proto = read_graph(model)
            expose(proto, tensors)
            with written_beside(model, proto) as exposed:
                self._session = Session(exposed, threads=self._threads, as_written=True)
            self._key = key
        found = self._session.run(batch, list(tensors))
        return [part for output in found for part in parts_of(output)]

    def close(self) -> None:
        """Close the model that is open."""
        self._session = None
