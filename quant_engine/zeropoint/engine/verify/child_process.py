"""A process that runs models and answers in lines; it can crash or hang without harm."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from zeropoint.engine.verify.json_values import to_json

# Passed on where they are set; everything else of the environment stays here.
_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "TMPDIR",
)
_GRACE_SECONDS = 5.0


class ChildProcess:
    """A process of a module of ours, which reads paths of files and writes lines."""

    def __init__(self, module: str) -> None:
        """Start it.

        Args:
            module: Name of the module that it runs.
        """
        self._process = subprocess.Popen(
            # -P: a job's folder is no place to import from.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        assert self._process.stdout is not None
        reader = threading.Thread(
            target=_read_lines, args=(self._process.stdout, self._lines), daemon=True
        )
        reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def send(self, value: object, path: Path) -> None:
        """Write a value to a file, and tell the process where it is."""
        path.write_text(to_json(value))
        assert self._process.stdin is not None
        # It may have died already; the end of its output tells.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(str(path.absolute())).encode() + b"\n")
            self._process.stdin.flush()

    def line(self, seconds: float) -> bytes:
        """Return the next line; an empty one tells the end.

        Raises:
            queue.Empty: there is none within so many seconds.
        """
        return self._lines.get(timeout=max(0.0, seconds))

    def death(self) -> str:
        """Return how it ended, for people, after its last line."""
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        if code == -signal.SIGKILL:
            return "was killed, as happens where memory runs out"
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else "failed"

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {**kept, "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}


def _read_lines(pipe: IO[bytes], lines: "queue.SimpleQueue[bytes]") -> None:
    """Pass lines on; an empty one tells the end."""
    with contextlib.suppress(ValueError):  # closed while it is read
        for line in pipe:
            lines.put(line)
    lines.put(b"")


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
