"""A process that the server has started, by executing a program or by having itself forked."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from zeropoint.server.settings import Settings

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")


class Child(Protocol):
    """A process with a session of its own.

    Attributes:
        stderr: What it says.
    """

    stderr: asyncio.StreamReader

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; None as long as it runs."""

    def kill(self) -> None:
        """End it and all that it has started, at once."""

    async def wait(self) -> int:
        """Wait for its end and return its exit status."""


class ExecutedChild:
    """A program of its own."""

    def __init__(self, process: Process) -> None:
        """Take a process that leads its session, with a pipe for its stderr."""
        assert process.stderr is not None
        self.stderr = process.stderr
        self.pid = process.pid
        self._process = process

    @property
    def returncode(self) -> int | None:
        """Its exit status; None as long as it runs."""
        return self._process.returncode

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        kill_session(self.pid)

    async def wait(self) -> int:
        """Wait for its end and return its exit status."""
        return await self._process.wait()


async def execute(
    module: str, told: str, descriptor: int, cwd: Path, environment: Mapping[str, str]
) -> ExecutedChild:
    """Run a module of this package in a process of its own.

    Args:
        module: Its name.
        told: Its one argument.
        descriptor: One that it gets besides stderr.
        cwd: Its working directory.
        environment: All that it sees of the environment.

    Raises:
        OSError: no process can be started.
    """
    process = await asyncio.create_subprocess_exec(
        # -P: the working directory is no place to import from.
        *(sys.executable, "-P", "-m", module, told),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        pass_fds=(descriptor,),
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )
    return ExecutedChild(process)


def kill_session(leader: int) -> None:
    """Kill a process that leads its session, with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def environment(settings: Settings) -> dict[str, str]:
    """Return what all workers see of the environment: nothing secret."""
    ours = os.environ
    passed = {name: ours[name] for name in _PASSED_ON if name in ours}
    if "PYTHONPATH" in ours:
        parts = ours["PYTHONPATH"].split(os.pathsep)
        passed["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in parts if part)
    threads = str(settings.worker_threads)
    return passed | {
        "ORT_DISABLE_TELEMETRY": "1",
        "NUMBA_CACHE_DIR": str(settings.compiled_folder),
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": threads,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
