"""Full statistics of every planned activation against plain inference of the same batches.

Both sides run the same ONNX Runtime with the same number of threads; plain inference is the user's
own file in a session with default options.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from benchmarks.effort import Effort
from benchmarks.networks import NETWORKS, Batch, Network
from benchmarks.options import static_options
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, milliseconds, ratio, seconds
from zeropoint.engine.observe import Observer
from zeropoint.engine.plan import plan_model

THREADS = (1, 2)
_BUDGETS = {
    "transformer": Budget(1.5),
    "plain Conv": Budget(1.8),
    "elementwise-heavy": Budget(2.2),
}
_OBSERVE_BYTES = 512 << 20


def run(effort: Effort) -> Iterator[Row]:
    """Measure every network with every number of threads."""
    for network in NETWORKS.values():
        batches = list(network.batches(effort.observed_batches))
        for threads in THREADS:
            yield _measure(network, batches, threads, effort.rounds)


def _measure(network: Network, batches: Sequence[Batch], threads: int, rounds: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        planned = plan_model(network.path(), static_options("MinMax"), Path(folder))
        observer = Observer(
            planned.prepared.model,
            planned.plan.observed,
            workspace=Path(folder),
            threads=threads,
            observe_bytes=_OBSERVE_BYTES,
        )
        session = plain_session(network.path(), threads)

        def infer() -> None:
            for batch in batches:
                session.run(None, dict(batch))

        def observe() -> None:
            for batch in batches:
                observer.submit(batch)
            observer.sketches()  # waits for all of them

        sides = {"plain": infer, "observed": observe}
        for side in sides.values():  # sessions, loops and allocators get warm
            side()
        timed = {name: lambda side=side: seconds(side) for name, side in sides.items()}
        found = in_turns(timed, rounds)
        observer.close()
    count = len(batches)
    return Row(
        benchmark="observation",
        case=f"{network.name}, {threads} threads, {len(planned.plan.observed)} tensors",
        ours=f"{milliseconds(found['observed'], count)} a batch",
        against=f"{milliseconds(found['plain'], count)} plain inference",
        ratio=ratio(found["observed"], found["plain"]),
        budget=_BUDGETS[network.kind],
    )


def plain_session(path: Path, threads: int) -> Any:
    """Open an onnxruntime.InferenceSession on the CPU as most people do.

    Args:
        path: The ONNX file.
        threads: Threads of one operator.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
