"""Servers in processes of their own, ended with the block that needs them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.child import ROOT

_STOP_SECONDS = 30.0


@contextmanager
def zeropoint_server() -> Iterator[str]:
    """Start our server on a loopback port, and give its address."""
    command = ["-m", "zeropoint.server", "--embedded", "--listen", "127.0.0.1:0"]
    with _serving([sys.executable, *command]) as address:
        yield address


@contextmanager
def bare_server() -> Iterator[str]:
    """Start `benchmarks.bare_stream` on a loopback port, and give its address."""
    with _serving([sys.executable, "-m", "benchmarks.bare_stream"]) as address:
        yield address


@contextmanager
def _serving(command: list[str]) -> Iterator[str]:
    """Run a server that prints {"address": ...} and exits when its standard input ends."""
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["address"])
        finally:
            process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
