"""Preparing models, and holding them to the originals."""

from pathlib import Path

import numpy as np
import onnx
from support.engine import run
from support.graphs import Array

from zeropoint.engine.load import load_model
from zeropoint.engine.prepare import PreparedModel, prepare_model


def prepared(source: Path, tmp_path: Path, min_opset: int = 13) -> PreparedModel:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    loaded = load_model(source, workspace)
    return prepare_model(loaded, min_opset=min_opset, workspace=workspace)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def op_types(result: PreparedModel) -> list[str]:
    return [node.op_type for node in result.model.graph]


def agree(source: Path, result: PreparedModel, feeds: dict[str, Array]) -> None:
    """Hold the prepared model to the user's, to 1e-4 of the largest value."""
    for one, other in zip(run(source, feeds), run(result.path, feeds), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(one).max())


def uniform(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)
