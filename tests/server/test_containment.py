"""A worker that misbehaves ends its own job, and nothing is left of it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import grpc
import psutil
import pytest
from support.raw_client import Call, batch, in_loop, script
from support.servers import ServerProcess, job_of, server
from support.waiting import eventually, later

from zeropoint import v1


async def gone(running: ServerProcess, job: str) -> bool:
    """Return whether nothing is left of a job in time."""

    def nothing_left() -> bool:
        folders = {folder.name for folder in running.job_folders()}
        return job not in folders and not any(job_of(one) == job for one in running.workers())

    return await later(nothing_left)


def ended(process: psutil.Process) -> bool:
    """Return whether a process does nothing any more; who started it may be gone too."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    ("deeds", "reason", "ended"),
    [
        ({"prepare": "segfault"}, "WORKER_CRASHED", "SIGSEGV"),
        ({"prepare": "hog"}, "WORKER_OUT_OF_MEMORY", None),
        ({"prepare": "full"}, "SCRATCH_FULL", None),
    ],
)
@in_loop
async def test_a_crash_is_a_failure_of_its_own_job(
    strict: ServerProcess, deeds: dict[str, str], reason: str, ended: str | None
) -> None:
    failure = await failed(strict, script(**deeds))
    assert failure.reason == reason
    assert ended is None or failure.metadata["ended"] == ended


@in_loop
async def test_a_result_that_is_never_done(hasty: ServerProcess) -> None:
    assert (await failed(hasty, script(finish="loop"))).reason == "WORKER_TIMEOUT"


async def failed(running: ServerProcess, model: dict[str, bytes]) -> v1.Failure:
    """Return how a job fails that is given no batches."""
    async with grpc.aio.insecure_channel(running.address) as channel:
        call = Call(channel)
        await call.start(model)
        await call.hear("model_status")
        await call.upload(model)
        await call.finish(0)
        return await call.failure()


@in_loop
async def test_a_killed_worker_ends_one_job_and_no_other(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        killed, other = Call(channel), Call(channel)
        job = (await killed.begin(script())).job
        await other.begin(script())
        patient.worker_of(job).send_signal(signal.SIGKILL)
        failure = await killed.failure()
        assert (failure.reason, failure.metadata["ended"]) == ("WORKER_CRASHED", "SIGKILL")
        assert await gone(patient, job)
        await other.send_batch(1, batch(1))
        await other.finish(1)
        await other.result()


@pytest.mark.parametrize("deed", ["observe", "prepare"])
@in_loop
async def test_cancelling_leaves_no_process_and_no_file(patient: ServerProcess, deed: str) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        await call.start(script(**{deed: "spawn"}))
        await call.hear("model_status")
        await call.upload(script(**{deed: "spawn"}))
        if deed == "observe":
            await call.hear("started")
            await call.send_batch(1, batch(1))

        def children() -> list[psutil.Process]:
            return [child for worker in patient.workers() for child in worker.children()]

        assert await later(children)
        (grandchild,) = children()
        worker = grandchild.parent()
        assert worker is not None
        folder = Path(worker.cwd()).parent
        assert folder in patient.job_folders()
        call.call.cancel()
        assert await gone(patient, folder.name)
        assert eventually(lambda: ended(grandchild))


@in_loop
async def test_a_client_that_vanishes_leaves_nothing(patient: ServerProcess) -> None:
    program = (
        "import asyncio, grpc, sys\n"
        "from support.raw_client import Call, batch, script\n"
        "async def main():\n"
        "    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:\n"
        "        call = Call(channel)\n"
        "        print((await call.begin(script())).job, flush=True)\n"
        "        await call.send_batch(1, batch(1))\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, patient.address),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    job = (await client.stdout.readline()).decode().strip()
    assert job
    client.kill()
    await client.wait()
    assert await gone(patient, job)


@in_loop
async def test_a_worker_sees_nothing_that_is_not_its_own(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        model = script(prepare="env")
        await call.start(model)
        await call.hear("model_status")
        await call.upload(model)
        told = (await call.failure()).metadata
    assert told["telemetry"] == "1"
    assert told["cwd"] == ""
    names = set(told["names"].split(","))
    assert not [name for name in names if "SECRET" in name or name.startswith("ZEROPOINT_")]
    assert {"PATH", "NUMBA_CACHE_DIR", "OMP_NUM_THREADS"} <= names
    # stdin, stdout; stderr; its own end of the socket.
    files = [one for one in told["descriptors"].split(",") if not one.startswith("/proc")]
    assert sorted(set(files)) == ["/dev/null", "pipe", "socket"]
    assert files.count("socket") == 1


@in_loop
async def test_limits_of_the_process(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        worker = patient.worker_of((await call.begin(script())).job)
        assert worker.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        soft, hard = worker.rlimit(psutil.RLIMIT_AS)
        assert 4 << 30 < soft == hard < 1 << 50
        assert worker.rlimit(psutil.RLIMIT_CPU)[0] == 24 * 3600
        assert os.getsid(worker.pid) == worker.pid
        call.call.cancel()


@in_loop
async def test_batches_wait_in_few_places(patient: ServerProcess) -> None:
    """The server holds a handful of batches for a slow worker, not all that the credit allows."""
    async with grpc.aio.insecure_channel(patient.address) as channel:
        call = Call(channel)
        started = await call.begin(script(observe="sleep:600"))
        arrays = batch(1, rows=1 << 16)  # 1 MiB

        async def flood() -> None:
            for sequence in range(1, 101):
                await call.send_batch(sequence, arrays)

        writing = asyncio.create_task(flood())
        await asyncio.sleep(1.0)
        assert not writing.done()
        held = _memory_files(patient.popen.pid)
        assert held <= 2
        writing.cancel()
        call.call.cancel()
        assert await gone(patient, started.job)
    assert _memory_files(patient.popen.pid) == 0


def _memory_files(pid: int) -> int:
    return sum("memfd" in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())


def test_the_server_itself_never_loads_a_runtime(patient: ServerProcess) -> None:
    mapped = {mapping.path for mapping in psutil.Process(patient.popen.pid).memory_maps()}
    assert any("grpc" in path for path in mapped)
    assert not [path for path in mapped if "onnx" in path or "numba" in path]


@in_loop
async def test_calls_that_are_dropped_leave_no_bug_in_the_log(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        stub = v1.QuantizationServiceStub(channel)
        for _ in range(3):
            call = Call(channel)
            await call.start(script())
            call.call.cancel()
        await stub.GetServerInfo(v1.GetServerInfoRequest())
    assert patient.events("bug") == []
    assert patient.events("worker_nonsense") == []
    assert "Traceback" not in patient.log()


@in_loop
async def test_clients_that_go_while_their_worker_starts_leave_nothing(tmp_path: Path) -> None:
    with server(tmp_path, jobs=4, queued_jobs=1000) as running:
        for moment in range(30):
            async with grpc.aio.insecure_channel(running.address) as channel:
                calls = [Call(channel) for _ in range(3)]  # two of them find no spare
                for call in calls:
                    await call.start(script())
                await asyncio.sleep(moment / 3000)
                for call in calls:
                    call.call.cancel()
        assert await later(lambda: len(running.workers()) == len(running.job_folders()) == 1)
