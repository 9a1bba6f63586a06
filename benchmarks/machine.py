"""What figures depend on besides the code: date, machine, versions."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("zeropoint", "onnxruntime", "onnx", "onnx-ir", "numpy", "numba", "grpcio", "protobuf")


def facts() -> str:
    """Return a few lines of text, without names of hosts or folders."""
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}. {_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.machine()}; load before the run: {load:.1f}.\n"
        f"Python {platform.python_version()}, {versions}.\n"
    )


def _cpu() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or "unknown CPU"
