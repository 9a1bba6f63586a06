"""What every test needs: telemetry off before ONNX Runtime can be imported, and folders."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Shells start background jobs with Ctrl-C ignored, and processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a test may compile the counting loop, and machines are shared.
settings.register_profile("zeropoint", deadline=None)
settings.load_profile("zeropoint")


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
