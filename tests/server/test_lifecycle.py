"""How a server starts, whom it lets in, and how it ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from pydantic_settings import CliApp
from support.black_box import environment
from support.raw_client import Call, batch, in_loop, script, status_of
from support.servers import ServerProcess, server
from support.waiting import eventually, later

from zeropoint import v1
from zeropoint.server.settings import Settings

SERVICE = "zeropoint.v1.QuantizationService"
SERVING = health_pb2.HealthCheckResponse.SERVING


async def health(channel: grpc.aio.Channel, name: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return int(answer.status)


@in_loop
async def test_health(patient: ServerProcess) -> None:
    async with grpc.aio.insecure_channel(patient.address) as channel:
        await v1.QuantizationServiceStub(channel).GetServerInfo(v1.GetServerInfoRequest())
        for name in ("", SERVICE):
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service=name)
            )
            while (await watch.read()).status != SERVING:
                pass
            assert await health(channel, name) == SERVING
            watch.cancel()
        listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
        assert {name: one.status for name, one in listed.statuses.items()} == {
            "": SERVING,
            SERVICE: SERVING,
        }
    probe = [sys.executable, "-m", "zeropoint.server.probe"]
    assert (await asyncio.to_thread(subprocess.run, [*probe, patient.address])).returncode == 0
    assert (await asyncio.to_thread(subprocess.run, [*probe, "127.0.0.1:1"])).returncode == 1


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@in_loop
async def test_the_server_describes_itself(patient: ServerProcess, version: str) -> None:
    itself = f"grpc.reflection.{version}.ServerReflection"
    symbols = {itself, SERVICE, "grpc.health.v1.Health"}
    async with grpc.aio.insecure_channel(patient.address) as channel:
        ask: Any = channel.stream_stream(
            f"/{itself}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )()
        await ask.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = {one.name for one in (await ask.read()).list_services_response.service}
        assert symbols <= listed
        files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        for symbol in listed:
            await ask.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
            for data in (await ask.read()).file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                files[file.name] = file
        await ask.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"))
        assert (await ask.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        await ask.done_writing()
    services = {f"{file.package}.{one.name}" for file in files.values() for one in file.service}
    assert services == listed
    needed = {name for file in files.values() for name in file.dependency}
    assert needed <= set(files)


@in_loop
async def test_sigterm_lets_running_jobs_end_and_takes_no_more(tmp_path: Path) -> None:
    with server(tmp_path, jobs=1, drain_seconds=600) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call, waits = Call(channel), Call(channel)
            await call.begin(script())
            await waits.start(script())
            await waits.hear("progress")
            running.popen.send_signal(signal.SIGTERM)
            assert (await waits.failure()).reason == "SERVER_SHUTTING_DOWN"
            assert await health(channel) != SERVING
            late = Call(channel)
            await late.start(script())
            failure = await late.failure()
            assert (failure.reason, failure.retryable) == ("SERVER_SHUTTING_DOWN", True)
            assert await late.call.code() is grpc.StatusCode.UNAVAILABLE
            await call.send_batch(1, batch(1))
            await call.finish(1)
            await call.result()
        assert await later(lambda: running.popen.poll() == 0)
        assert running.job_folders() == []
        assert list(running.scratch.glob("server-*")) == []


@in_loop
async def test_jobs_that_outlast_the_grace_are_told(tmp_path: Path) -> None:
    with server(tmp_path, drain_seconds=0.5) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            worker = running.worker_of((await call.begin(script(observe="loop"))).job)
            await call.send_batch(1, batch(1))
            running.popen.send_signal(signal.SIGTERM)
            assert (await call.failure()).reason == "SERVER_SHUTTING_DOWN"
        assert await later(lambda: running.popen.poll() == 0)
        assert not worker.is_running()


@in_loop
async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with server(tmp_path, drain_seconds=600) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            worker = running.worker_of((await call.begin(script())).job)
            running.popen.send_signal(signal.SIGTERM)
            assert await later(lambda: running.events("server_draining"))
            running.popen.send_signal(signal.SIGTERM)
            assert await later(lambda: running.popen.poll() == 128 + signal.SIGTERM)
        assert eventually(lambda: not worker.is_running())
        assert list(running.scratch.glob("server-*")) == []


@in_loop
async def test_a_server_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            call = Call(channel)
            await call.begin(script(observe="loop"))
            await call.send_batch(1, batch(1))
            workers = running.workers()
            assert workers
            running.popen.kill()
            running.popen.wait()
        assert eventually(lambda: not any(worker.is_running() for worker in workers))
        (left,) = running.scratch.glob("server-*")
    with server(tmp_path) as after:
        assert not left.exists()
        assert len(list(after.scratch.glob("server-*"))) == 1


def test_an_embedded_server_ends_with_its_parent(tmp_path: Path) -> None:
    with server(tmp_path, listen=f"unix:{tmp_path}/s") as running:
        assert running.address == f"unix:{tmp_path}/s"
        assert (tmp_path / "s").stat().st_mode & 0o077 == 0
        workers = running.workers()
        assert running.stop() == 0
        assert eventually(lambda: not any(worker.is_running() for worker in workers))
        assert list(running.scratch.glob("server-*")) == []


def test_stdout_has_one_line_and_the_log_is_json(tmp_path: Path) -> None:
    started = subprocess.run(
        [sys.executable, "-m", "zeropoint.server", "--embedded", "--listen", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(ZEROPOINT_SCRATCH=str(tmp_path)),
        check=True,
    )
    (line,) = started.stdout.splitlines()
    assert json.loads(line).keys() == {"address"}
    events = [json.loads(line)["event"] for line in started.stderr.splitlines()]
    assert events[0] == "server_started"
    assert events[-1] == "server_stopped"


@in_loop
async def test_the_token_is_needed_everywhere_but_for_health(tmp_path: Path) -> None:
    with server(tmp_path, token="sesame") as running:
        async with grpc.aio.insecure_channel(running.address) as channel:
            await health(channel)
            stub = v1.QuantizationServiceStub(channel)
            for token in (None, "Sesame", "sesame2", ""):
                metadata = (("authorization", f"Bearer {token}"),) if token else ()
                refused = stub.GetServerInfo(v1.GetServerInfoRequest(), metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError):
                    await refused
                code, info, _ = await status_of(refused)
                assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
                assert "authorization: Bearer TOKEN" in (await refused.details() or "")
                call = Call(channel, token=token)
                await call.start(script())
                assert await call.read() is None
                assert (await status_of(call.call))[1].reason == "UNAUTHENTICATED"
            call = Call(channel, token="sesame")
            await call.begin(script())
            await call.finish(0)
            await call.result()
        assert "sesame" not in running.log()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--listen", "0.0.0.0:0"], "--insecure"),
        (["--listen", "192.0.2.1:50051"], "--insecure"),
        (["--jobs", "none"], "--jobs"),
        (["--scratch-bytes", "lots"], "--scratch-bytes"),
    ],
)
def test_wrong_settings_are_told(arguments: list[str], told: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "zeropoint.server", *arguments],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_told(patient: ServerProcess, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "zeropoint.server", "--listen", patient.address],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "ZEROPOINT_SCRATCH": str(tmp_path)},
    )
    assert ended.returncode == 1
    assert patient.address in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_TOKEN", "")
    assert CliApp.run(Settings, cli_args=[]).token is None
    monkeypatch.setenv("ZEROPOINT_TOKEN", "sesame")
    settings = CliApp.run(Settings, cli_args=["--jobs", "3"])
    assert settings.token is not None
    assert "sesame" not in repr(settings)
    assert settings.jobs == 3


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "[::1]:1", "localhost:0", "unix:/run/z"])
def test_addresses_of_this_machine_need_no_flag(listen: str) -> None:
    assert Settings.model_validate({"listen": listen}).listen == listen


@pytest.mark.parametrize(("window", "expected"), [(5, 10), (50, 50), (None, 10)])
def test_the_window_is_never_below_the_largest_batch(window: int | None, expected: int) -> None:
    settings = Settings.model_validate({"batch_bytes": 10, "window_bytes": window})
    assert settings.window == expected
