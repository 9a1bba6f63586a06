"""Peak memory of a job with many batches against one with few."""

import os
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.child import run_child
from benchmarks.effort import Effort
from benchmarks.networks import EFFICIENTNET, NETWORKS, Batch
from benchmarks.options import static_options
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, ratio
from zeropoint.engine import JobSettings, open_job, warm

_DISTINCT = 4  # batches that are drawn; the others are these with noise of their own


def run(effort: Effort) -> Iterator[Row]:
    """Measure the process that does the job."""
    few, many = effort.memory_batches
    sides = {
        "few": lambda: run_child("memory:job", network=EFFICIENTNET.name, count=few).own_bytes,
        "many": lambda: run_child("memory:job", network=EFFICIENTNET.name, count=many).own_bytes,
    }
    found = in_turns(sides, effort.slow_rounds)
    yield Row(
        benchmark="memory",
        case=f"{EFFICIENTNET.name}, {many} batches against {few}",
        ours=f"{median(found['many']) / 2**20:.0f} MiB",
        against=f"{median(found['few']) / 2**20:.0f} MiB with {few} batches",
        ratio=ratio(found["many"], found["few"]),
        budget=Budget(1.05),
    )


def job(network: str, count: int) -> dict[str, Any]:
    """Run a job whose batches are made as it goes."""
    warm()
    with tempfile.TemporaryDirectory() as folder:
        settings = JobSettings(workspace=Path(folder), threads=os.cpu_count() or 1)
        chosen = NETWORKS[network]
        with open_job(chosen.path(), static_options("Percentile"), settings) as opened:
            for batch in _endless(list(chosen.batches(_DISTINCT)), count):
                opened.observe(batch)
            opened.finish()
    return {}


def _endless(drawn: list[Batch], count: int) -> Iterator[Batch]:
    random = np.random.default_rng(0)
    for batch in islice(cycle(drawn), count):
        noise = random.normal(0, 0.05, batch["x"].shape)
        yield {"x": (batch["x"] + noise).astype(np.float32)}
