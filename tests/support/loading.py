"""What loading says of files that it refuses."""

from pathlib import Path

import onnx
import pytest
from support.graphs import residual

from zeropoint.engine.errors import ModelError
from zeropoint.engine.load import load_model


def refused(path: Path, workspace: Path, reason: str = "MODEL_INVALID") -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path, workspace)
    assert caught.value.reason == reason
    return caught.value.message


def saved_with_external_data(folder: Path, location: str) -> Path:
    path = folder / "model.onnx"
    onnx.save(
        residual().model(),
        path,
        save_as_external_data=True,
        size_threshold=0,
        location=location,
    )
    return path
