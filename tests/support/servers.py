"""Real servers, as processes on loopback ports."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

_TESTS = Path(__file__).parents[1]


class ServerProcess:
    """`python -m zeropoint.server`, started and listening.

    Attributes:
        address: Where it listens.
        scratch: Its scratch folder.
    """

    def __init__(self, folder: Path, *, listen: str = "127.0.0.1:0", **settings: object) -> None:
        self.scratch = folder / "scratch"
        self._stderr = (folder / f"stderr-{time.monotonic_ns()}").open("w+b")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_TESTS),
            "ORT_DISABLE_TELEMETRY": "1",
            "A_SECRET": "do not tell",
            "ZEROPOINT_SCRATCH": str(self.scratch),
            "ZEROPOINT_COMPILED": str(folder / "compiled"),
            "ZEROPOINT_ENGINE": "support.scripted_engine",
            **{f"ZEROPOINT_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "zeropoint.server", "--embedded", "--listen", listen],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, self.log()
        self.address: str = json.loads(line)["address"]

    def log(self) -> str:
        """Return what it has written to stderr."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name from its log."""
        lines = (line for line in self.log().splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def workers(self) -> list[psutil.Process]:
        """Return its worker processes, forked or not."""
        server = psutil.Process(self.popen.pid)
        parents = [server, *self.forkservers()]
        children = [child for parent in parents for child in children_of(parent)]
        return [child for child in children if job_of(child)]

    def forkservers(self) -> list[psutil.Process]:
        """Return the process that its workers are forked from."""
        children = psutil.Process(self.popen.pid).children()
        return [one for one in children if "zeropoint.server.worker.forking" in command_line(one)]

    def job_folders(self) -> list[Path]:
        """Return the folders of jobs, the spare's with them."""
        return list(self.scratch.glob("server-*/job-*"))

    def worker_of(self, job: str) -> psutil.Process:
        """Return the worker of a job."""
        return next(one for one in self.workers() if job_of(one) == job)

    def stop(self) -> int:
        """End its stdin, wait, and return its exit status."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        try:
            return self.popen.wait()
        finally:
            self.popen.kill()
            self.popen.wait()
            self.popen.stdout.close()
            self._stderr.close()


@contextlib.contextmanager
def server(folder: Path, **settings: Any) -> Iterator[ServerProcess]:
    """Run a server while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    running = ServerProcess(folder, **settings)
    try:
        yield running
    finally:
        running.stop()


def job_of(process: psutil.Process) -> str:
    """Return the name of the job in whose folder a process works; nothing where it has none."""
    try:
        folder = Path(process.cwd()).parent.name
    except psutil.Error:
        return ""
    return folder if folder.startswith("job-") else ""


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """Return what a process has started; nothing where it is gone."""
    try:
        return process.children()
    except psutil.Error:
        return []


def command_line(process: psutil.Process) -> str:
    """Return how a process was started; nothing where it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
