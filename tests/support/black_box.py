"""Servers with the real engine, seen from outside: what they leave behind, and a job beside."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self, cast

import grpc
import psutil
from google.protobuf.message import Message
from support.graphs import normal_batches, residual
from support.raw_client import header, manifest, payload
from support.servers import ServerProcess, server
from support.waiting import eventually

from zeropoint import v1

COMPILED = Path(__file__).parents[2] / ".cache" / "compiled"
"""Where servers find loops that an earlier one has compiled."""

ZEROPOINT = Path(sys.executable).with_name("zeropoint")
"""The command that is installed beside this interpreter."""


@contextlib.contextmanager
def real_server(folder: Path, **settings: Any) -> Iterator[ServerProcess]:
    """Run a server with the real engine while the block runs; workers have one thread."""
    defaults = {
        "engine": "zeropoint.server.worker.engine",
        "worker_threads": 1,
        "compiled": COMPILED,
    }
    with server(folder, **{**defaults, **settings}) as running:
        yield running


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment for a client, without its servers."""
    kept = {name: value for name, value in os.environ.items() if "ZEROPOINT" not in name}
    ours = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "ZEROPOINT_COMPILED": str(COMPILED),
    }
    return {**kept, **ours, **changes}


def command(*arguments: object, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the `zeropoint` command to its end; `changes` are made to its environment."""
    return subprocess.run(
        [str(ZEROPOINT), *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
    )


def processes(scratch: Path, *, besides: str = "?") -> list[psutil.Process]:
    """Return every process that works below a scratch folder, whoever its parent is now.

    Args:
        scratch: The folder.
        besides: Name of a job that is left out.
    """
    found = []
    for process in psutil.process_iter():
        try:
            told = [process.cwd(), process.environ().get("TMPDIR", "")]
        except psutil.Error:
            continue
        if any(str(scratch / "server-") in text and besides not in text for text in told):
            found.append(process)
    return found


def remains(running: ServerProcess, *, besides: str = "?") -> list[str]:
    """Return what there is on the disk and among processes beyond what is kept between jobs.

    Args:
        running: The server.
        besides: Name of a job that goes on.
    """
    folders = [folder.name for folder in running.job_folders() if folder.name != besides]
    files = [
        f"{folder}/{name}"
        for folder, _, names in os.walk(running.scratch)  # which bears with folders that vanish
        for name in names
        if name != "lock" and besides not in folder
    ]
    workers = [
        f"process {one.pid}"
        for one in processes(running.scratch, besides=besides)
        if one.is_running() and one.pid != running.popen.pid
    ]
    # What workers are forked from; the spare has one folder, its process, and its verifier.
    return files + folders[1:] + workers[3:]


class Neighbour:
    """A sound job that goes on, a batch at a time, whatever happens to other jobs.

    Attributes:
        job: Its name on the server.
    """

    def __init__(self, address: str) -> None:
        """Open the job."""
        self._batches = normal_batches({"x": (2, 3, 16, 16)}, count=64)
        self._sent = 0
        self._requests: SimpleQueue[v1.JobRequest | None] = SimpleQueue()
        self._channel = grpc.insecure_channel(address)
        stub = v1.QuantizationServiceStub(self._channel)
        self._call = stub.QuantizeStatic(iter(self._requests.get, None))
        self.job: str = self._begin(residual().model().SerializeToString()).job

    def step(self) -> None:
        """Send one more batch and wait until it is counted."""
        batch = self._batches[self._sent]
        self._sent += 1
        chunk = v1.BatchChunk(offset=0, data=payload(batch))
        self._say(batch_header=header(self._sent, batch))
        self._say(batch_chunk=chunk)
        while (ack := self._hear("ack")).applied < self._sent:
            pass
        assert not ack.rejected

    def finish(self) -> bytes:
        """End the job; return the quantized model."""
        self._say(finish=v1.Finish(last_sequence=self._sent))
        self._hear("result")
        model = b"".join(response.model_chunk.data for response in self._call)
        assert self._call.code() is grpc.StatusCode.OK
        return model

    def alone(self, address: str) -> bytes:
        """Return what the same batches give, the last one first, in another job."""
        with Neighbour(address) as other:
            other._batches = self._batches[: self._sent][::-1]
            for _ in range(self._sent):
                other.step()
            return other.finish()

    @contextlib.contextmanager
    def undisturbed(self, running: ServerProcess) -> Iterator[None]:
        """Check that it goes on after the block, of which nothing else is left on its server."""
        self.step()
        said = len(running.log())
        yield
        self.step()
        eventually(lambda: not remains(running, besides=self.job))
        assert remains(running, besides=self.job) == []
        assert "Traceback" not in running.log()[said:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._requests.put(None)
        self._channel.close()

    def _begin(self, model: bytes) -> v1.Started:
        options = v1.StaticOptions(weight=v1.WeightOptions(per_channel=True))
        files = manifest({"model.onnx": model})
        self._say(start=v1.Start(static_options=options, manifest=files))
        self._hear("model_status")
        self._say(model_chunk=v1.ModelChunk(data=model))
        started: v1.Started = self._hear("started")
        return started

    def _say(self, **field: Message) -> None:
        self._requests.put(v1.JobRequest(**cast("dict[str, Any]", field)))

    def _hear(self, name: str) -> Any:
        """Return the next message of a name; RpcError where the call fails."""
        for response in self._call:
            if response.WhichOneof("message") == name:
                return getattr(response, name)
        raise AssertionError(f"the call ended before {name} came")
