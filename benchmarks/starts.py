"""What a job waits for that is not its own work: starts of processes.

The verifying process in seconds of CPU from its start until it has compared one small model, and
against a process that loads the whole engine. Then short jobs over gRPC, one right after the other,
against the same jobs after a pause in which whatever they need can start.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from benchmarks.child import ROOT
from benchmarks.effort import Effort
from benchmarks.graphs import DEEP_INPUT, write_deep
from benchmarks.serving import zeropoint_server
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, milliseconds, ratio, seconds
from zeropoint.client import QuantizationClient
from zeropoint.engine.samples import store_batch
from zeropoint.engine.verify import KERNELS, ReferenceRequest, VerifyProcess, VerifyRequest

_BUDGET_SECONDS = 0.4
_TIMEOUT = 60.0
_NODES = 64
_JOBS_IN_A_ROW = 10
_PAUSE_SECONDS = 2.0


def run(effort: Effort) -> Iterator[Row]:
    """Measure the verifying process, then short jobs in a row."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        write_deep(model, _NODES)
        yield from _verifier(model, effort)
        with zeropoint_server() as address, QuantizationClient(address) as client:
            yield _short_jobs(model, client, effort)


def _verifier(model: Path, effort: Effort) -> Iterator[Row]:
    sides = {"ours": lambda: _until_compared(model), "engine": _loading_the_engine}
    found = in_turns(sides, effort.rounds)
    ours = found["ours"]
    yield Row(
        benchmark="starts",
        case="a verifying process, until it has compared a model",
        ours=f"{median(ours):.2f} s CPU",
        against=f"{_BUDGET_SECONDS:g} s",
        ratio=ratio(ours, [_BUDGET_SECONDS] * len(ours)),
        budget=Budget(1.0),
    )
    yield Row(
        benchmark="starts",
        case="a verifying process, until it has compared a model",
        ours=f"{median(ours):.2f} s CPU",
        against=f"{median(found['engine']):.2f} s CPU to load the engine",
        ratio=ratio(ours, found["engine"]),
    )


def _until_compared(model: Path) -> float:
    """Return the seconds of CPU that a verifying process takes for a model beside itself."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder, VerifyProcess() as process:
        watched = psutil.Process(process.pid)
        batch = store_batch({"x": _sample()}, Path(folder) / "batch")
        reference = ReferenceRequest(original=model, scratch=Path(folder), batches=(batch,))

        def look(stage: str) -> None:
            if stage == KERNELS:
                times = watched.cpu_times()
                taken.append(times.user + times.system)

        process.answer(VerifyRequest(reference=reference, shipped=model), _TIMEOUT, look)
    return taken[0]


def _loading_the_engine() -> float:
    program = "import zeropoint.engine.jobs, time; print(time.process_time())"
    return float(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT))


def _short_jobs(model: Path, client: QuantizationClient, effort: Effort) -> Row:
    def job() -> float:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "model.onnx"
            return seconds(lambda: client.quantize_static(model, target, iter([{"x": _sample()}])))

    def apart() -> float:
        taken = []
        for _ in range(_JOBS_IN_A_ROW):
            time.sleep(_PAUSE_SECONDS)
            taken.append(job())
        return sum(taken)

    job()  # the server's first job compiles or loads what later ones share
    sides = {"row": lambda: sum(job() for _ in range(_JOBS_IN_A_ROW)), "apart": apart}
    found = in_turns(sides, effort.job_rounds)
    return Row(
        benchmark="starts",
        case=f"{_JOBS_IN_A_ROW} short jobs in a row over gRPC",
        ours=f"{milliseconds(found['row'], _JOBS_IN_A_ROW)} a job",
        against=f"{milliseconds(found['apart'], _JOBS_IN_A_ROW)} a job after a pause",
        ratio=ratio(found["row"], found["apart"]),
        budget=Budget(1.25),
    )


def _sample() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.random.default_rng(0).standard_normal(DEEP_INPUT, np.float32)
