"""Memory does not grow with the number of batches, in any process."""

import re
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from support.black_box import real_server
from support.graphs import Array, GraphBuilder
from support.models import recognizer, recognizer_batches
from support.servers import ServerProcess

from zeropoint.client import quantize_static

ALLOWED = 1.05
"""Greatest resident memory of a worker in many batches against that in the first few."""
POOLS = 24 << 20
"""Bytes of freed memory that the server's threads keep, which they come to little by little."""
FEW = 16
WINDOW = 5 << 20
"""Bytes of batches under way: as many batches as those that are few, or less."""


class Peaks:
    """The greatest resident memory of a server, and of a job's worker while it takes batches.

    Attributes:
        few: Bytes of each when the first few batches are done.
        many: Bytes of each when all are sent.
    """

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self.few: dict[str, int] = {}
        self.many: dict[str, int] = {}

    def watch(self, batches: Iterator[dict[str, Array]]) -> Iterator[dict[str, Array]]:
        """Pass batches on; those that are not yet done when one is asked for fill the window."""
        job = self._server.events("job_started")[-1]["job"]
        pids = {"server": self._server.popen.pid, "worker": self._server.worker_of(job).pid}
        for pid in pids.values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # forget earlier peaks
        yield from islice(batches, 2 * FEW)
        self.few = {name: _peak(pid) for name, pid in pids.items()}
        yield from batches
        self.many = {name: _peak(pid) for name, pid in pids.items()}


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [size] = re.findall(r"VmHWM:\s*([0-9]+) kB", status)
    return int(size) << 10


def check(
    server: ServerProcess, model: Path, batches: Iterator[dict[str, Array]], many: int
) -> None:
    """Quantize; compare the peaks in the first and in all batches."""
    peaks = Peaks(server)
    target, watched = model.with_name("out.onnx"), peaks.watch(islice(batches, many))
    result = quantize_static(model, target, watched, server=server.address)
    seen = result.report.calibration
    assert seen is not None
    assert seen.batches + seen.held_out == many
    assert 0 < seen.held_out <= many // 4
    assert 0 < peaks.many["worker"] <= ALLOWED * peaks.few["worker"], (peaks.few, peaks.many)
    assert 0 < peaks.many["server"] <= POOLS + peaks.few["server"], (peaks.few, peaks.many)


def pictures() -> Iterator[dict[str, Array]]:
    """Endless different pictures: x float [1,3,160,160]."""
    rng = np.random.default_rng(0)
    while True:
        yield {"x": rng.standard_normal((1, 3, 160, 160), np.float32)}


def test_memory_is_flat(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 160, 160])
    b.node("Relu", [b.conv("x", "c1", 3, 4)], "y")
    b.output("y", ["N", 4, 160, 160])
    with real_server(tmp_path / "server", batch_bytes=WINDOW) as server:
        check(server, b.save(tmp_path), pictures(), many=256)  # 75 MiB


@pytest.mark.soak
def test_memory_is_flat_for_long(tmp_path: Path) -> None:
    """One thread: with two, whether two batches' activations meet in memory is up to chance."""
    model = tmp_path / "model.onnx"
    model.write_bytes(recognizer().read_bytes())
    lines = cycle(list(recognizer_batches(8)))
    with real_server(tmp_path / "server", worker_threads=1, batch_bytes=WINDOW) as server:
        check(server, model, lines, many=1024)
