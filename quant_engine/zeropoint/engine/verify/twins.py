"""The error that quantizing each node causes by itself, from a model with twins."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import NodeFigures
from zeropoint.engine.runtime import Session
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.similarity import Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinNode:
    """A node that has a twin: its name, for the user, and its operator."""

    name: str
    op_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinModel:
    """A model with twins, on disk.

    It gives five float32 scalars for each twin: sum of squares of the float result, of the twin's
    and of their difference, and the greatest and the least difference. For a node of a body they
    are NaN where it did not run, and tensors of those of all iterations where it ran in a loop.

    Attributes:
        path: The ONNX file.
        nodes: Its twins in graph order.
    """

    path: Path
    nodes: tuple[TwinNode, ...]


def run_twins(
    twins: TwinModel, batches: Iterable[Batch], threads: int, *, at_once: bool = False
) -> tuple[NodeFigures, ...]:
    """Run a model with twins and return its figures, worst first.

    Args:
        twins: The model.
        batches: Inputs to run it on.
        threads: Threads to use.
        at_once: Run as many batches at once as there are threads.

    Returns:
        One entry for each node, without those whose values are not finite, or too large to be
        squared in float32, in every batch.

    Raises:
        RuntimeRefusal: the model does not load or run.
    """
    session = Session(twins.path, threads=1 if at_once else threads, as_written=True)
    sums: list[Sums | None] = [None] * len(twins.nodes)

    def run(batch: Batch) -> list[NDArray[np.float64]]:
        return _numbers(session.run(batch), len(sums))

    with ThreadPoolExecutor(threads if at_once else 1) as pool:
        found = pool.map(run, batches) if at_once else map(run, batches)
        gathered = list(found)
    for nodes in gathered:
        for index, numbers in enumerate(nodes):
            for figures_of_run in numbers[np.isfinite(numbers).all(axis=1)].tolist():
                sums[index] = (sums[index] or Sums()) + _sums(*figures_of_run)
    figures = [
        NodeFigures(name=node.name, op_type=node.op_type, similarity=total.similarity)
        for node, total in zip(twins.nodes, sums, strict=True)
        if total is not None
    ]
    return tuple(sorted(figures, key=lambda node: node.similarity.sqnr_db))


def _numbers(outputs: Sequence[Any], nodes: int) -> list[NDArray[np.float64]]:
    """Return for each node its numbers, a row for each time that it ran: float64 [times, 5]."""
    columns = [
        np.concatenate([np.zeros(0), *(np.ravel(part) for part in _parts(output))])
        for output in outputs
    ]
    each = len(columns) // max(1, nodes)
    return [np.stack(columns[i * each : (i + 1) * each], axis=1) for i in range(nodes)]


def _parts(output: Any) -> list[Any]:
    return output if isinstance(output, list) else [output]


def _sums(signal: float, result: float, noise: float, high: float, low: float) -> Sums:
    cross = (signal + result - noise) / 2
    return Sums(signal=signal, result=result, cross=cross, noise=noise, peak=max(high, -low))
