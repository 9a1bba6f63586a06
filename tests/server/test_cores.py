"""A job keeps to the cores that it is given, with all that it starts."""

import os
from pathlib import Path

import grpc
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.black_box import real_server
from support.graphs import residual
from support.raw_client import Call, in_loop, script
from support.servers import server

from zeropoint.server.worker.cores import CoreShares


def told(monkeypatch: pytest.MonkeyPatch, *cores: int) -> CoreShares:
    """Shares of a machine with these cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores))
    return CoreShares()


def test_workers_get_cores_of_their_own_while_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = told(monkeypatch, 2, 3, 5, 7)
    first, second = shares.take(2), shares.take(2)
    assert (first, second) == ((2, 3), (5, 7))
    shares.give_back(first)
    assert shares.take(2) == (2, 3)
    assert shares.take(3) == (2, 3, 5)
    assert shares.take(1) == (7,)


def test_nobody_gets_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 1, 4).take(8) == (1, 4)


@given(st.lists(st.integers(1, 4), max_size=30))
def test_no_core_has_two_more_workers_than_another(counts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shares = told(patch, 0, 1, 2, 3)
        users = dict.fromkeys(range(4), 0)
        for count in counts:
            for core in shares.take(count):
                users[core] += 1
            assert max(users.values()) - min(users.values()) <= 1


def affinities(process: psutil.Process) -> list[set[int]]:
    """Cores of a worker's threads and of those of its children."""
    family = [process, *process.children(recursive=True)]
    threads = [thread.id for one in family for thread in one.threads()]
    return [os.sched_getaffinity(thread) for thread in threads]


@in_loop
async def test_jobs_at_once_run_on_different_cores(tmp_path: Path) -> None:
    with server(tmp_path, worker_threads=1, jobs=2) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            first, second = Call(channel), Call(channel)
            jobs = [(await call.begin(script())).job for call in (first, second)]
            cores = [psutil.Process(running.worker_of(job).pid).cpu_affinity() for job in jobs]
            assert [len(one) for one in cores] == [1, 1]
            assert cores[0] != cores[1] or len(os.sched_getaffinity(0)) == 1
            for call in (first, second):
                await call.finish(0)
                await call.result()


@in_loop
async def test_all_threads_and_the_verifying_process_keep_to_them(tmp_path: Path) -> None:
    files = {"model.onnx": residual().save(tmp_path).read_bytes()}
    with real_server(tmp_path) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            job = (await call.begin(files)).job
            worker = psutil.Process(running.worker_of(job).pid)
            assert worker.children()  # it verifies later
            found = affinities(worker)
            assert len(found) > 2
            assert all(cores == found[0] for cores in found)
            assert len(found[0]) == 1
            call.call.cancel()
