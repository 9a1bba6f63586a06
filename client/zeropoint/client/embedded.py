"""The server that the client starts for itself when none is named.

One for the life of the process, reused by later calls. It exits when its standard input ends,
which happens however this process ends.
"""

import atexit
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import IO

from zeropoint.client.channel import Endpoint
from zeropoint.client.errors import UnavailableError
from zeropoint.client.printable import printable

_START_SECONDS = 120.0  # a first start on a cold machine compiles and caches
_STOP_SECONDS = 5.0
_END_SECONDS = 1.0
_STDERR_LINES = 40
_MAX_UNIX_PATH = 100  # of 104 bytes on macOS, 108 on Linux
_NEEDED = ("onnx", "onnxruntime", "onnx_ir", "grpc_health", "pydantic_settings")


class EmbeddedServer:
    """A server process of our own, its private folder and the pipe that keeps it alive."""

    def __init__(self) -> None:
        """Start the server and wait until it listens.

        Raises:
            UnavailableError: the server's packages are missing, or it does not start.
        """
        check_installed()
        self._folder = _private_folder() if os.name == "posix" else None
        token = None if self._folder else secrets.token_urlsafe(32)
        address = f"unix:{self._folder}/s" if self._folder else "127.0.0.1:0"
        self._process = subprocess.Popen(
            # -P: a folder that happens to be the current one must not shadow packages.
            [sys.executable, "-P", "-m", "zeropoint.server", "--embedded", "--listen", address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(token),
            start_new_session=True,  # Ctrl-C is for the client, which cancels its jobs
        )
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._drain = _in_background(self._keep_stderr)
        try:
            self.endpoint = Endpoint(target=self._listening_address(), token=token)
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process and remove its folder."""
        self.let_go()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def await_end(self) -> None:
        """Wait a moment for the process to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)

    def let_go(self) -> None:
        """Close our end of the pipe; the server exits when no process holds it any more."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _listening_address(self) -> str:
        """Return the address from the first line of the server's output."""
        lines: SimpleQueue[bytes] = SimpleQueue()
        assert self._process.stdout is not None
        _in_background(_read_output, self._process.stdout, lines)
        try:
            return str(json.loads(lines.get(timeout=_START_SECONDS))["address"])
        except (Empty, LookupError, TypeError, ValueError):
            self.let_go()
            self._drain.join(_STOP_SECONDS)  # hear out what it has to say
            raise _not_started([line.rstrip() for line in self._stderr]) from None

    def _keep_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._stderr.append(line.decode("utf-8", errors="replace"))


def _not_started(said: list[str]) -> UnavailableError:
    """Return the error of a server that said this before it ended; the last line is the reason."""
    reason = next((line for line in reversed(said) if line), "it gave no reason.")
    message = f"The embedded server did not start: {reason}"
    error = UnavailableError("SERVER_UNREACHABLE", message)
    for line in said:
        error.add_note(printable(line))
    return error


_lock = threading.Lock()
_server: EmbeddedServer | None = None
_inherited: list[EmbeddedServer] = []  # collecting a Popen object means waiting for its process


def endpoint(starting: Callable[[], None] | None = None) -> Endpoint:
    """Return where this process's own server listens; start it if it does not run.

    Args:
        starting: Called before a server is started.

    Raises:
        UnavailableError: the server's packages are missing, or it does not start.
    """
    global _server
    with _lock:
        if _server is not None and not _server.alive:
            _server.stop()
            _server = None
        if _server is None:
            if starting is not None:
                starting()
            _server = EmbeddedServer()
        return _server.endpoint


def lost() -> None:
    """Take note that the server does not answer: if it has died, the next call starts another.

    Its connections break a moment before its process is known to have ended.
    """
    with _lock:
        if _server is not None:
            _server.await_end()


def stop() -> None:
    """End this process's own server if it runs; a later call starts another one."""
    global _server
    with _lock:
        if _server is not None:
            _server.stop()
            _server = None


def _forget() -> None:
    """In a forked child: the server belongs to the parent, and must end with it."""
    global _server, _lock
    _lock = threading.Lock()
    if _server is not None:
        _server.let_go()
        _inherited.append(_server)
        _server = None


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def check_installed() -> None:
    """Check that the packages of the server are there.

    Raises:
        UnavailableError: some are missing; its metadata names them.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            "SERVER_UNREACHABLE",
            "The server is not installed here: pip install 'zeropoint[server]', or use one that "
            "runs elsewhere, with server= or ZEROPOINT_SERVER.",
            {"missing": ", ".join(missing)},
        )


def _private_folder() -> str:
    """Return a new folder that only this user can enter, short enough for a socket's path."""
    folder = tempfile.mkdtemp(prefix="zp-")
    if len(os.fsencode(folder)) > _MAX_UNIX_PATH:
        shutil.rmtree(folder)
        folder = tempfile.mkdtemp(prefix="zp-", dir="/tmp")
    return folder


def _environment(token: str | None) -> dict[str, str]:
    ours = {"ZEROPOINT_SERVER", "ZEROPOINT_TOKEN"}
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    return environment if token is None else {**environment, "ZEROPOINT_TOKEN": token}


def _in_background(function: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def _read_output(stream: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    """Hand over the first line, and read on: a full pipe would stop the server."""
    with stream:
        lines.put(stream.readline())
        while stream.read(1 << 16):
            pass
