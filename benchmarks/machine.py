"""What figures depend on besides the code: date, machine, versions."""

import os
import platform
import resource
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("zeropoint", "onnxruntime", "onnx", "onnx-ir", "numpy", "numba", "grpcio", "protobuf")


class OtherLoad:
    """Watches how much of the machine other processes use from now on."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    @property
    def share(self) -> float:
        """Of all cores, 0 to 1."""
        busy = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        return max(0.0, busy / (time.perf_counter() - self._begin) / (os.cpu_count() or 1))


def facts(others: float) -> str:
    """Return a few lines of text, without names of hosts or folders.

    Args:
        others: Share of the cores that other processes used during the run.
    """
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}. {_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.machine()}; other processes used {others:.0%} of it.\n"
        f"Python {platform.python_version()}, {versions}.\n"
    )


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _own_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _cpu() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or "unknown CPU"
