"""Tensors of equal values share one sketch, and the calibration still has each of them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from support.engine import open_here, static
from support.graphs import GraphBuilder

from zeropoint.engine import JobSettings
from zeropoint.engine.observe import Observer, read_calibration, value_sources
from zeropoint.sketch import Sketch


def shuffled() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", ["N", 4, 6])
    b.node("Transpose", ["x"], "t", perm=[0, 2, 1])
    b.node("Reshape", ["t", b.constant("shape", np.array([-1, 4]))], "r")
    b.node("MatMul", ["r", b.weight("w", 4, 8)], "m")
    b.node("Relu", ["m"], "a")
    b.node("Reshape", ["a", b.constant("back", np.array([-1, 48]))], "flat")
    b.node("MatMul", ["flat", b.weight("v", 48, 2)], "y")
    b.output("y", ["N", 2])
    return b


def test_sources_are_followed_to_the_first() -> None:
    sources = value_sources(ir.from_proto(shuffled().model()).graph)
    assert sources == {"t": "x", "r": "x", "flat": "a"}


def test_each_tensor_has_its_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observed: list[str] = []

    class Spy(Observer):
        def __init__(self, model: ir.Model, tensors: tuple[str, ...], **limits: Any) -> None:
            observed.extend(tensors)
            super().__init__(model, tensors, **limits)

    monkeypatch.setattr("zeropoint.engine.jobs.observed.Observer", Spy)
    settings = JobSettings(workspace=tmp_path / "job", keep_calibration=True)
    settings.workspace.mkdir()
    x = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32)
    x[0, 0, 0] = np.inf
    with open_here(shuffled().save(tmp_path), static(), settings) as job:
        job.observe({"x": x}, 7)
        kept = job.finish().calibration
    assert set(observed) == {"x", "m", "a", "y"}
    assert kept is not None
    tensors = read_calibration(kept).statistics.tensors
    expected = Sketch()
    expected.update(x)
    for name in ("x", "t", "r"):
        assert tensors[name].sketch == expected
        assert tensors[name].non_finite_batches == (7,)
    assert tensors["flat"].sketch == tensors["a"].sketch
