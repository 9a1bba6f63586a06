"""Memory does not grow with the number of batches, in any process."""

import threading
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.black_box import real_server
from support.graphs import Array, GraphBuilder
from support.models import recognizer, recognizer_batches
from support.servers import ServerProcess

from zeropoint.client import Phase, Progress, quantize_static

ALLOWED = 1.05
"""Greatest resident memory of a worker in many batches against that in the first few."""
POOLS = 24 << 20
"""Bytes of freed memory that the server's threads keep, which they come to little by little."""
FEW = 16
_SECONDS = 0.01


class Sampler:
    """Samples the resident memory of a server and of a job's worker while it takes batches.

    Attributes:
        peaks: Greatest number of bytes of each: in the first batches, and after them.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.peaks = {"server": [0, 0], "worker": [0, 0]}
        self._server = server
        self._applied = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __call__(self, progress: Progress, /) -> None:
        if progress.phase is Phase.CALIBRATE:
            self._applied = progress.done
        elif self._applied:
            self._done.set()  # what comes then has memory of its own

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        watched = {"server": psutil.Process(self._server.popen.pid)}
        while not self._done.wait(_SECONDS):
            if self._applied and "worker" not in watched:
                job = self._server.events("job_started")[-1]["job"]
                watched["worker"] = self._server.worker_of(job)
            for name, process in watched.items():
                peaks, late = self.peaks[name], self._applied > FEW
                peaks[late] = max(peaks[late], process.memory_info().rss)


def check(
    server: ServerProcess, model: Path, batches: Iterator[dict[str, Array]], many: int
) -> None:
    """Quantize; compare the peaks in the first and in the other batches."""
    with Sampler(server) as sampler:
        result = quantize_static(
            model,
            model.with_name("out.onnx"),
            islice(batches, many),
            server=server.address,
            progress=sampler,
        )
    assert result.report.calibration is not None
    assert result.report.calibration.batches == many
    peaks = sampler.peaks
    assert 0 < peaks["worker"][1] <= ALLOWED * peaks["worker"][0], peaks
    assert 0 < peaks["server"][1] <= POOLS + peaks["server"][0], peaks


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
    with real_server(tmp_path / "server") as server:
        check(server, b.save(tmp_path), pictures(), many=256)  # 75 MiB


@pytest.mark.soak
def test_memory_is_flat_for_long(tmp_path: Path) -> None:
    """One thread: with two, whether two batches' activations meet in memory is up to chance."""
    model = tmp_path / "model.onnx"
    model.write_bytes(recognizer().read_bytes())
    lines = cycle(list(recognizer_batches(8)))
    with real_server(tmp_path / "server", worker_threads=1) as server:
        check(server, model, lines, many=1024)
