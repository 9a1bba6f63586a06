"""The whole job, from the file to the verified result, against `quantize_static`.

Each run is a process of its own whose imports are done, and in ours loops are loaded and the
verifying process is up, as in a worker that waits for a job. The same model, samples, method and
types; both use as many threads as there are cores, `quantize_static` because it always does. Ours
also verifies; theirs does not.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import competitor
from benchmarks.child import ChildRun, run_child
from benchmarks.effort import Effort
from benchmarks.networks import DETECTOR, EFFICIENTNET, NETWORKS, TRANSFORMER, Batch
from benchmarks.options import METHODS, static_options
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, ratio
from zeropoint.engine import JobSettings, open_job, warm

_BUDGETS = {
    "MinMax": Budget(5, at_least=True),
    "Percentile": Budget(10, at_least=True),
    "Entropy": Budget(10, at_least=True),
}
# onnxruntime.quantization keeps every activation of every sample for the other methods (12 GB on
# the detector), and raises on the transformer.
_NETWORKS = {"MinMax": (DETECTOR, EFFICIENTNET, TRANSFORMER)}
_WARM_UP_SECONDS = 3.0  # the verifying process imports meanwhile


def run(effort: Effort) -> Iterator[Row]:
    """Measure every method that both have."""
    for method in METHODS:
        for network in _NETWORKS.get(method, (EFFICIENTNET,)):
            yield _measure(network.name, method, effort)


def _measure(network: str, method: str, effort: Effort) -> Row:
    arguments: dict[str, Any] = {"network": network, "method": method, "count": effort.job_batches}
    sides = {
        "ours": lambda: run_child("job:zeropoint", **arguments),
        "theirs": lambda: run_child("job:onnxruntime", **arguments),
    }
    found = in_turns(sides, effort.job_rounds if method == "MinMax" else effort.slow_rounds)
    ours, theirs = found["ours"], found["theirs"]
    return Row(
        benchmark="job",
        case=f"{network}, {method}, {effort.job_batches} samples",
        ours=_figures(ours),
        against=f"{_figures(theirs)} onnxruntime.quantization",
        ratio=ratio(seconds_of(theirs), seconds_of(ours)),
        budget=_BUDGETS[method],
    )


def zeropoint(network: str, method: str, count: int) -> dict[str, Any]:
    """Run our job in this process; return its seconds, and those of its phases."""
    source, batches = _given(network, count)
    warm()
    time.sleep(_WARM_UP_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        settings = JobSettings(workspace=Path(folder), threads=os.cpu_count() or 1)
        begin = time.perf_counter()
        with open_job(source, static_options(method), settings) as job:
            for batch in batches:
                job.submit(batch)
            report = job.finish().report
        spent = time.perf_counter() - begin
    return {"seconds": spent, **{str(each.phase): each.seconds for each in report.phases}}


def onnxruntime(network: str, method: str, count: int) -> dict[str, Any]:
    """Run theirs in this process; return its seconds."""
    source, batches = _given(network, count)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        competitor.quantize(source, Path(folder) / "model.onnx", batches, method)
        return {"seconds": time.perf_counter() - begin}


def seconds_of(runs: list[ChildRun]) -> list[float]:
    """Return what each run says of its seconds."""
    return [run.values["seconds"] for run in runs]


def _given(network: str, count: int) -> tuple[Path, list[Batch]]:
    chosen = NETWORKS[network]
    return chosen.path(), list(chosen.batches(count))


def _figures(runs: list[ChildRun]) -> str:
    peak = median(run.tree_bytes for run in runs)
    return f"{median(seconds_of(runs)):.2f} s, {peak / 2**20:.0f} MiB"
