"""Many batches through one memory: nothing is mixed up, and nothing grows."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from support.raw_client import content
from support.servers import ServerProcess, server

from zeropoint.client import QuantizationClient

WINDOW = 4 << 20
POOLS = 24 << 20
"""Bytes of freed memory that the server's threads keep, which they come to little by little."""
SCRIPT = "\n {}".ljust(34)
"""An empty script that is a message of protobuf, too: one field of 32 bytes."""

Batch = dict[str, NDArray[Any]]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ServerProcess]:
    with server(tmp_path, batch_bytes=WINDOW) as running:
        yield running


def quantize(server: ServerProcess, folder: Path, batches: Iterator[Batch]) -> list[str]:
    """Stream batches through a scripted job; return the digests of what its engine was fed."""
    model = folder / "script.onnx"
    model.write_text(SCRIPT)
    with QuantizationClient(server.address) as client:
        result = client.quantize_static(model, folder / "out.onnx", batches)
    digests: list[str] = json.loads(result.model.read_bytes())["digests"]
    return digests


def test_a_batch_is_never_another_one(small: ServerProcess, tmp_path: Path) -> None:
    """All sizes, in one window, from arrays that the reader fills again for the next batch."""
    random = Random(0)
    sizes = [random.choice([0, 1, 100, 5_000, 70_000, 900_000, 4_000_000]) for _ in range(200)]
    buffer = np.empty((WINDOW >> 4, 4), np.float32)
    sent: list[str] = []

    def batches() -> Iterator[Batch]:
        for number, size in enumerate(sizes):
            rows = buffer[: size >> 4]
            rows[:] = np.arange(rows.size, dtype=np.float32).reshape(rows.shape) + number
            sent.append(content({"x": rows}))
            yield {"x": rows}

    assert quantize(small, tmp_path, batches()) == sent


def test_memory_does_not_grow_with_the_number_of_batches(
    small: ServerProcess, tmp_path: Path
) -> None:
    """Of the server and of its workers, once the first batches have passed."""
    process = psutil.Process(small.popen.pid)
    server: list[int] = []
    workers: list[int] = []

    def batches() -> Iterator[Batch]:
        for number in range(256):
            if number % 16 == 15:
                server.append(process.memory_info().rss)
                family = process.children(recursive=True)
                workers.append(max(one.memory_info().rss for one in family))
            yield {"x": np.full((1 << 16, 4), number, np.float32)}

    quantize(small, tmp_path, batches())
    assert max(server) <= server[0] + POOLS
    assert max(workers) <= workers[0] + 4 * WINDOW
