"""A static job over loopback gRPC against the engine in-process, both warm.

In-process is `job:zeropoint`, a fresh process whose imports are done. The server has a worker that
waits, as it has between jobs. Both run as many threads as there are cores.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.child import run_child
from benchmarks.effort import Effort
from benchmarks.networks import DETECTOR, TRANSFORMER, Network
from benchmarks.serving import zeropoint_server
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, milliseconds, ratio, seconds
from zeropoint.client import QuantizationClient

_METHOD = "MinMax"
_WARM_UP_SECONDS = 3.0  # until the next worker waits


def run(effort: Effort) -> Iterator[Row]:
    """Measure one network with large batches and one with small ones."""
    with zeropoint_server() as address, QuantizationClient(address) as client:
        for network in (DETECTOR, TRANSFORMER):
            yield _measure(network, client, effort)


def _measure(network: Network, client: QuantizationClient, effort: Effort) -> Row:
    count = effort.job_batches
    batches = list(network.batches(count))

    def over_grpc() -> float:
        time.sleep(_WARM_UP_SECONDS)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "model.onnx"
            return seconds(
                lambda: client.quantize_static(
                    network.path(),
                    target,
                    iter(batches),
                    calibrate_method=_METHOD,
                    weight_type="QInt8",
                )
            )

    def in_process() -> float:
        run = run_child("job:zeropoint", network=network.name, method=_METHOD, count=count)
        return float(run.values["seconds"])

    over_grpc()  # the server's first job compiles or loads what later ones share
    found = in_turns({"grpc": over_grpc, "engine": in_process}, effort.job_rounds)
    return Row(
        benchmark="loopback",
        case=f"{network.name}, {_METHOD}, {count} batches",
        ours=f"{milliseconds(found['grpc'])} over gRPC",
        against=f"{milliseconds(found['engine'])} in-process",
        ratio=ratio(found["grpc"], found["engine"]),
        budget=Budget(1.10),
    )
