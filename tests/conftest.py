"""What every test needs: telemetry off before ONNX Runtime can be imported, and folders."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Counting loops are compiled once for these tests and all servers that they start.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "compiled"))

# Shells start background jobs with Ctrl-C ignored, and processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a test may compile the counting loop, and machines are shared.
settings.register_profile("zeropoint", deadline=None)
settings.load_profile("zeropoint")

_TOGETHER = ("faults", "server", "e2e", "demo")
"""Folders whose tests share servers and models; those that take longest come first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that of several processes none ends long before another."""
    places = {name: place for place, name in enumerate(_TOGETHER)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file, or of a folder that shares something, in one process."""
    from xdist.scheduler import LoadScopeScheduling

    def scope(test: str) -> str:
        file = Path(test.partition("::")[0])
        return file.parent.name if file.parent.name in _TOGETHER else str(file)

    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = scope
    return scheduler


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty folder for a job."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of the user's."""
    folder = tmp_path / "user"
    folder.mkdir()
    return folder
