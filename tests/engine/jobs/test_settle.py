"""Settling in order, whatever ends first."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine import open_here, static
from support.graphs import residual

from zeropoint.engine import BatchError, JobSettings
from zeropoint.engine.jobs import InOrder


@given(st.permutations(range(12)), st.integers(0, 12))
def test_order_is_kept(ends: list[int], ended_before: int) -> None:
    futures: list[Future[None]] = [Future() for _ in ends]
    for index in ends[:ended_before]:
        futures[index].set_result(None)
    told: list[int] = []
    order = InOrder()
    for index, future in enumerate(futures):
        order.add(future, lambda _, index=index: told.append(index))  # type: ignore[misc]
    for index in ends[ended_before:]:
        assert told == list(range(len(told)))
        futures[index].set_result(None)
    order.drain()
    assert told == list(range(len(ends)))


def test_one_at_a_time_from_many_threads() -> None:
    inside = threading.Lock()
    told: list[int] = []
    order = InOrder()

    def settle(index: int) -> None:
        assert inside.acquire(blocking=False)
        told.append(index)
        inside.release()

    with ThreadPoolExecutor(8) as pool:
        for index in range(500):
            order.add(pool.submit(lambda: None), lambda _, index=index: settle(index))  # type: ignore[misc]
    order.drain()
    assert told == list(range(500))


def test_an_error_is_raised_by_what_comes_next() -> None:
    order = InOrder()
    future: Future[None] = Future()

    def broken(_: "Future[None]") -> None:
        raise ValueError("the receiver is gone")

    order.add(future, broken)
    future.set_result(None)
    with pytest.raises(ValueError, match="gone"):
        order.drain()
    with pytest.raises(ValueError, match="gone"):
        order.add(Future(), broken)


def test_batches_are_settled_in_order_and_rejected_by_number(tmp_path: Path) -> None:
    """A batch that does not fit is refused at once, and still told in its turn."""
    settings = JobSettings(workspace=tmp_path / "job", threads=3)
    settings.workspace.mkdir()
    source = residual().save(tmp_path)
    generator = np.random.default_rng(0)
    told: list[tuple[int, str | None]] = []
    with open_here(source, static(), settings) as job:
        for number in range(1, 31):
            shape = (1, 4 if number % 7 == 0 else 3, 16, 16)
            batch = {"x": generator.normal(size=shape).astype(np.float32)}

            def settled(error: BaseException | None, number: int = number) -> None:
                told.append((number, error.reason if isinstance(error, BatchError) else None))

            job.submit(batch, number, settled)
        job.drain()
        result = job.finish()
    assert told == [(n, "BATCH_SHAPE" if n % 7 == 0 else None) for n in range(1, 31)]
    assert result.report.calibration is not None
    assert result.report.calibration.batches == 26
    assert result.report.calibration.rejected == 4


def test_threads_change_no_byte_of_the_model(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    generator = np.random.default_rng(1)
    batches = [
        {"x": generator.normal(size=(n, 3, 16, 16)).astype(np.float32)} for n in (1, 3, 2, 5) * 4
    ]
    results = []
    for threads in (1, 2, 4):
        folder = tmp_path / f"job{threads}"
        folder.mkdir()
        with open_here(source, static(), JobSettings(workspace=folder, threads=threads)) as job:
            for batch in batches if threads > 1 else reversed(batches):
                job.submit(batch)
            results.append(job.finish().files[0].read_bytes())
    assert results[0] == results[1] == results[2]
