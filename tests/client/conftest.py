"""A server that does what a script says, and a model that is none but in name."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from support.fake_service import FakeServer, Script


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[str]:
    """Address of a server that does what the script says."""
    fake = FakeServer(script)
    yield fake.target
    fake.stop()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.ModelProto(doc_string="m").SerializeToString())
    return path
