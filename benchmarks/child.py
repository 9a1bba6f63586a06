"""One side of a comparison in a process of its own: its time, and the memory of its whole tree.

`python -m benchmarks.child MODULE:FUNCTION ARGUMENTS` calls a function of this package with keyword
arguments given as JSON, and prints what it returns as JSON on the last line.
"""

import importlib
import json
import resource
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]

_SAMPLE_SECONDS = 0.02
_OWN = "own_bytes"


@dataclass(frozen=True, slots=True)
class ChildRun:
    """What a child found.

    Attributes:
        values: What its function returned.
        own_bytes: Most memory that it had resident.
        tree_bytes: Most memory that it and its own children had resident at once. What processes
            share is counted in each of them.
    """

    values: dict[str, Any]
    own_bytes: int
    tree_bytes: int


def run_child(
    function: str, *, longest_seconds: float | None = None, **arguments: object
) -> ChildRun:
    """Call a function in a process of its own.

    Args:
        function: "module:name" in this package; it returns a dict.
        longest_seconds: It is ended after so many.
        arguments: Keyword arguments that JSON can hold.

    Raises:
        RuntimeError: the process failed; the message holds what it said.
        subprocess.TimeoutExpired: it took too long.
    """
    command = [sys.executable, "-m", "benchmarks.child", function, json.dumps(arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watch = _Watch(process.pid)
        try:
            output, errors = process.communicate(timeout=longest_seconds)
        finally:
            if process.poll() is None:
                process.kill()
            peak = watch.stop()
    if process.returncode:
        raise RuntimeError(f"{function} failed:\n{errors}")
    values = json.loads(output.splitlines()[-1])
    own = values.pop(_OWN)
    return ChildRun(values, own, max(own, peak))


class _Watch:
    """Samples the resident memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            try:
                tree = [self._process, *self._process.children(recursive=True)]
                self._peak = max(self._peak, sum(each.memory_info().rss for each in tree))
            except psutil.NoSuchProcess:
                continue


def main() -> None:
    """Call the function that the command line names."""
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    values = function(**json.loads(sys.argv[2]))
    print("\n" + json.dumps({**values, _OWN: _peak_bytes()}))


def _peak_bytes() -> int:
    """Return the most memory that this process had resident."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss begins there with what the parent had when it forked
        [peak] = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
