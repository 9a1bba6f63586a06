"""Running models: the one thing that this room does not do by itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.protobuf import drop_unneeded
from zeropoint.engine.runtime import Session

Feeds = Mapping[str, NDArray[np.generic]]


class Run(Protocol):
    """Runs a model on one sample after the other."""

    def __call__(
        self, model: Path, outputs: Sequence[str], samples: Iterable[Feeds]
    ) -> Iterable[Sequence[NDArray[Any]]]:
        """Yield the outputs for each sample, in their order.

        Args:
            model: The ONNX file; it may be removed as soon as all was taken.
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


def exposing(model: ir.Model, tensors: Sequence[str]) -> onnx.ModelProto:
    """Return a model as a message, with some tensors of its main graph as its only outputs."""
    proto: onnx.ModelProto = ir.to_proto(model)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    drop_unneeded(proto.graph)
    return proto
