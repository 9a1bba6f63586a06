"""Limits that a worker sets for itself before it loads the engine."""

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import sys
import threading
from pathlib import Path

from zeropoint.server.worker.protocol import WorkerSettings

_MAPPED_UNUSED = 4 << 30
"""Address space beyond the memory in use: libraries, stacks of threads, arenas."""

_OPEN_FILES = 1024
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def contain(settings: WorkerSettings) -> None:
    """Limit this process, and end it when the server ends."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, settings.file_bytes)
    _limit(resource.RLIMIT_CPU, settings.cpu_seconds, grace=10)
    # A write past RLIMIT_FSIZE is then an OSError instead of the end of the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if sys.platform == "linux":  # macOS does not keep RLIMIT_AS
        _limit(resource.RLIMIT_AS, settings.memory + _MAPPED_UNUSED)
        _keep_to(settings.cores)
        _be_first_to_go()
        die_with(settings.parent)


def watch(end: socket.socket) -> None:
    """End this process when the server's end of the socket closes, whatever it is doing."""
    poll = select.poll()
    poll.register(end, 0)  # hang-ups only

    def wait() -> None:
        poll.poll()
        os._exit(1)

    threading.Thread(target=wait, name="server-watch", daemon=True).start()


def _limit(which: int, value: int, *, grace: int = 0) -> None:
    """Set the soft limit to `value` and the hard one to `grace` more, within what is allowed."""
    _, most = resource.getrlimit(which)
    wanted = value + grace
    hard = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(which, (min(value, hard), hard))


def _keep_to(cores: tuple[int, ...]) -> None:
    """Bind this process to some cores; threads and processes that it starts inherit that."""
    if sys.platform == "linux" and cores:
        with contextlib.suppress(OSError):  # the system may have taken them away meanwhile
            os.sched_setaffinity(0, cores)


def _be_first_to_go() -> None:
    """Let the kernel choose this process, not the server, when memory runs out."""
    with contextlib.suppress(OSError):  # a container may keep /proc to itself
        Path("/proc/self/oom_score_adj").write_text("1000")


def die_with(parent: int) -> None:
    """End this process when its parent ends, where the system can do that."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)
