"""What workers are forked from: `python -P -m zeropoint.server.worker.forking SETTINGS`.

This process loads the engine once. A worker that it forks has all that in memory and starts in a
hundredth of a second, where loading takes more than one. It runs no model and starts no thread: a
fork has one thread alone. It ends when the server does, and every worker with it.

On its socket, a packet each way is one JSON object:

    server                                        this process
    WorkerSettings + descriptors           ->
      of the worker's socket and stderr
                                           <-     {"pid": 7}, 0 where there is no room for another
                                           <-     {"pid": 7, "returncode": 0}, when it has ended
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.containment import die_with
from zeropoint.server.worker.life import live, load_engine
from zeropoint.server.worker.protocol import ForkSettings, WorkerSettings

_LARGEST_PACKET = 64 << 10


def main() -> None:
    """Load the engine, and fork a worker whenever the server asks for one."""
    settings = ForkSettings.from_json(sys.argv[1])
    die_with(settings.server)
    server = socket.socket(fileno=settings.socket)
    try:
        load_engine(settings.engine)
    except Exception:  # noqa: BLE001 - each worker will find out, and tell its job
        traceback.print_exc()
    gc.collect()
    gc.freeze()  # the collector would write to every page that is shared
    alarm, trigger = os.pipe()
    os.set_blocking(trigger, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(trigger)
    while True:
        ready, _, _ = select.select((server.fileno(), alarm), (), ())
        if alarm in ready:
            os.read(alarm, _LARGEST_PACKET)
            for pid, returncode in _ended():
                _say(server, pid=pid, returncode=returncode)
        if server.fileno() in ready:
            packet, descriptors, _, _ = socket.recv_fds(server, _LARGEST_PACKET, 2)
            if not packet:
                return
            pid = _fork(WorkerSettings.from_json(packet.decode()), descriptors, (alarm, trigger))
            _say(server, pid=pid)


def _fork(told: WorkerSettings, descriptors: list[int], ours: tuple[int, int]) -> int:
    end, errors = descriptors
    try:
        pid = os.fork()
    except OSError:
        pid = 0
    else:
        if pid == 0:
            _live(replace(told, socket=end), errors, ours)
    os.close(end)
    os.close(errors)
    return pid


def _live(told: WorkerSettings, errors: int, ours: tuple[int, int]) -> NoReturn:
    """Be a worker: what was this process's own is given up."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(errors, sys.stderr.fileno())
        for descriptor in (*ours, errors, ForkSettings.from_json(sys.argv[1]).socket):
            os.close(descriptor)
        os.setsid()
        folder = JobFolder(Path(told.folder))
        os.chdir(folder.cwd)
        os.environ.update(folder.environment)
        tempfile.tempdir = None
        live(told)
        status = 0
    except BaseException:  # noqa: BLE001 - it must not go on as the process that it came from
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _ended() -> Iterator[tuple[int, int]]:
    """Return process and return code of the workers that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _say(server: socket.socket, **told: int) -> None:
    server.send(json.dumps(told).encode())


if __name__ == "__main__":
    main()
