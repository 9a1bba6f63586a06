"""Workers are forked from one process that has loaded the engine; or load it by themselves."""

from pathlib import Path

import grpc
import psutil
import pytest
from support.raw_client import Call, in_loop, script
from support.servers import ServerProcess, server
from support.waiting import eventually, later


async def do_a_job(running: ServerProcess) -> str:
    """Do a whole job without batches; return its name."""
    async with grpc.aio.insecure_channel(running.address) as channel:
        call = Call(channel)
        job = (await call.begin(script())).job
        await call.finish(0)
        await call.result()
    return job


@in_loop
async def test_short_jobs_in_a_row_wait_for_one_start(tmp_path: Path) -> None:
    with server(tmp_path, jobs=1) as running:
        jobs = {await do_a_job(running) for _ in range(10)}
        assert len(jobs) == 10
        assert len(running.events("engine_loading")) == 1


@in_loop
async def test_without_forks_every_worker_loads_the_engine(tmp_path: Path) -> None:
    with server(tmp_path, jobs=1, fork_workers=False) as running:
        jobs = {await do_a_job(running) for _ in range(3)}
        loaded = {event["job"] for event in running.events("engine_loading")}
        assert jobs <= loaded
        assert running.forkservers() == []


@in_loop
async def test_what_workers_are_forked_from_is_replaced_when_it_dies(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            worker = running.worker_of((await call.begin(script())).job)
            (dying,) = running.forkservers()
            dying.kill()
            assert (await call.failure()).reason == "WORKER_CRASHED"
        assert await later(lambda: not worker.is_running())
        await do_a_job(running)
        first, _second = (event["pid"] for event in running.events("engine_loading"))
        assert first == dying.pid


@pytest.mark.parametrize("fork", [True, False])
@in_loop
async def test_an_engine_that_cannot_be_loaded_is_told(tmp_path: Path, fork: bool) -> None:
    with server(tmp_path, engine="support.no_such_engine", fork_workers=fork) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            await call.start(script())
            assert (await call.failure()).reason == "INTERNAL"
        assert "no_such_engine" in running.log()


def test_it_ends_with_the_server_and_is_light_to_stop(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        assert eventually(running.forkservers)
        (forks,) = running.forkservers()
        running.popen.kill()
        running.popen.wait()
        assert eventually(lambda: _ended(forks))


def _ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
