"""What grows with the model: time of the engine's steps with nodes, peak memory with weights.

The engine's steps are all but these, which are reported apart: sessions of ONNX Runtime, observing
the one batch, and verifying the result.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.child import run_child
from benchmarks.effort import Effort
from benchmarks.graphs import DEEP_INPUT, WIDE_INPUT, write_deep, write_wide
from benchmarks.options import static_options
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, ratio
from zeropoint.engine import JobSettings, Phase, open_job, warm
from zeropoint.engine.runtime import Session

_METHOD = "MinMax"
_BUDGET_SECONDS = 5.0
_BUDGET_NODES = 10_000
_FLAT = Budget(1.25)  # what "flat" may vary


def run(effort: Effort) -> Iterator[Row]:
    """Measure graphs of growing size, then a model with large weights."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _graphs(effort, Path(folder))
        yield _weights(effort, Path(folder))


def _graphs(effort: Effort, folder: Path) -> Iterator[Row]:
    models = {str(count): folder / f"deep-{count}.onnx" for count in effort.nodes}
    for count, path in models.items():
        write_deep(path, int(count))
    sides = {
        count: lambda path=path: run_child("scale:steps", model=str(path)).values
        for count, path in models.items()
    }
    found = in_turns(sides, effort.slow_rounds)
    per_node = {
        count: [values["engine"] / int(count) for values in rounds]
        for count, rounds in found.items()
    }
    first = next(iter(models))
    for count, rounds in found.items():
        each = {step: median(values[step] for values in rounds) for step in rounds[0]}
        apart = ", ".join(f"{each[step]:.1f} s {step}" for step in each if step != "engine")
        yield Row(
            benchmark="scale",
            case=f"engine's steps, {count} nodes",
            ours=f"{median(per_node[count]) * 1e6:.0f} µs a node (apart: {apart})",
            against=f"{median(per_node[first]) * 1e6:.0f} µs a node at {first}",
            ratio=ratio(per_node[count], per_node[first]),
            budget=_FLAT if count != first else None,
        )
        if int(count) == _BUDGET_NODES:
            yield Row(
                benchmark="scale",
                case=f"engine's steps, {count} nodes",
                ours=f"{each['engine']:.1f} s",
                against=f"{_BUDGET_SECONDS:g} s",
                ratio=ratio(
                    [values["engine"] for values in rounds], [_BUDGET_SECONDS] * len(rounds)
                ),
                budget=Budget(1.0),
            )


def _weights(effort: Effort, folder: Path) -> Row:
    model = folder / "wide.onnx"
    write_wide(model, effort.weight_bytes)
    weights = model.stat().st_size
    run = run_child("scale:weights", model=str(model))
    return Row(
        benchmark="scale",
        case=f"peak memory of the process tree, {weights / 2**20:.0f} MiB of weights",
        ours=f"{run.tree_bytes / 2**20:.0f} MiB in {run.values['seconds']:.0f} s",
        against="the weights",
        ratio=ratio([run.tree_bytes], [weights]),
        budget=Budget(1.5),
    )


def steps(model: str) -> dict[str, Any]:
    """Quantize a model of `write_deep` in this process; return the seconds of its steps."""
    warm()
    with tempfile.TemporaryDirectory() as folder, _clocked_sessions() as sessions:
        begin = time.perf_counter()
        with open_job(
            Path(model), static_options(_METHOD), JobSettings(workspace=Path(folder))
        ) as job:
            opening = sum(sessions)
            job.observe(_batch(DEEP_INPUT))
            phases = {each.phase: each.seconds for each in job.finish().report.phases}
        whole = time.perf_counter() - begin
    apart = {
        "sessions": opening,
        "observing": phases[Phase.CALIBRATE],
        "verifying": phases[Phase.VERIFY],
    }
    return {"engine": whole - sum(apart.values()), **apart}


def weights(model: str) -> dict[str, Any]:
    """Quantize a model of `write_wide` in this process; return its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        settings = JobSettings(workspace=Path(folder))
        with open_job(Path(model), static_options(_METHOD), settings) as job:
            job.observe(_batch(WIDE_INPUT))
            job.finish()
        return {"seconds": time.perf_counter() - begin}


def _batch(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"x": np.random.default_rng(0).standard_normal(shape, np.float32)}


@contextmanager
def _clocked_sessions() -> Iterator[list[float]]:
    """Give a list to which each session of this process adds the seconds that opening it took."""
    taken: list[float] = []
    opened = Session.__init__

    def clocked(session: Session, *arguments: Any, **named: Any) -> None:
        begin = time.perf_counter()
        opened(session, *arguments, **named)
        taken.append(time.perf_counter() - begin)

    with patch.object(Session, "__init__", clocked):
        yield taken
