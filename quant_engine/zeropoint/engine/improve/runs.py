"""Running models: the one thing that this room does not do by itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.runtime import Session

Feeds = Mapping[str, NDArray[np.generic]]


class Run(Protocol):
    """Runs a model on one sample after the other."""

    def __call__(
        self, model: Path, outputs: Sequence[str], samples: Iterable[Feeds]
    ) -> Iterable[Sequence[NDArray[Any]]]:
        """Yield the outputs for each sample, in their order.

        Args:
            model: The ONNX file; it is removed when all was taken.
            outputs: Names of its outputs.
            samples: Its inputs by name.

        Raises:
            RuntimeRefusal: it does not load or run.
        """


def run_here(*, threads: int = 1) -> Run:
    """Return what runs models in this process, as they are written."""

    def run(
        model: Path, outputs: Sequence[str], samples: Iterable[Feeds]
    ) -> Iterator[Sequence[NDArray[Any]]]:
        session = Session(model, threads=threads, as_written=True)
        return (session.run(sample, outputs) for sample in samples)

    return run
