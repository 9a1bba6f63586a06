"""Outputs that join boxes with scores: neither hides the other."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import GraphBuilder

from zeropoint.engine.report import DecisionKind
from zeropoint.engine.verify import OutputComparison, output_forms
from zeropoint.engine.verify.joined import Joined
from zeropoint.engine.verify.noise import Undisturbed
from zeropoint.engine.verify.saturating import Saturation


def detector(folder: Path, *, sized: bool = True) -> Path:
    graph = GraphBuilder()
    graph.input("x", ["N", 4, 25] if sized else None)
    graph.input("y", ["N", 3, 25])
    graph.node("Sigmoid", ["y"], "scores")
    graph.node("Mul", ["x", graph.constant("size", np.array(320, np.float32))], "boxes")
    graph.output(graph.node("Concat", ["boxes", "scores"], "found", axis=1), ["N", 7, 25])
    path = folder / "detector.onnx"
    onnx.save(graph.model(), path)
    return path


@pytest.mark.parametrize("sized", [True, False])
def test_boxes_and_scores_are_told_apart(tmp_path: Path, sized: bool) -> None:
    form = output_forms(detector(tmp_path, sized=sized))["found"]
    assert form.joined == Joined(
        axis=1, sizes=(4 if sized else 0, 3), saturations=(None, Saturation.SIGMOID)
    )


@pytest.mark.parametrize("apart", [True, False])
def test_boxes_hide_no_scores(tmp_path: Path, apart: bool) -> None:
    form = output_forms(detector(tmp_path))["found"]
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 320, (8, 4, 25)).astype(np.float32)
    logits = rng.normal(-9.0, 3.0, (8, 3, 25)).astype(np.float32)
    logits[:, 0, :5] = 4.0

    def joined(noise: float) -> np.ndarray:
        moved = logits + noise * rng.standard_normal(logits.shape).astype(np.float32)
        return np.concatenate([boxes, 1 / (1 + np.exp(-moved))], axis=1)

    original, result = joined(0.0), joined(3.0)
    whole, told = OutputComparison("found"), OutputComparison("found", form)
    for comparison in (whole, told):
        comparison.add([original], [result], apart=apart)
    assert whole.figures.by_sample is not None
    assert told.figures.by_sample is not None
    assert whole.figures.by_sample.median_db > 40.0
    assert told.figures.by_sample.median_db < 10.0
    decided = told.figures.decisions
    assert decided is not None
    assert (decided.kind, decided.count) == (DecisionKind.THRESHOLD, 8 * 75)
    units = Undisturbed([original], form, apart=apart).units([result])
    assert units.shape == (8 if apart else 1, 3)
    assert (units[:, 1] > 0.1 * units[:, 0]).all()


def test_arrays_of_other_sizes_are_compared_as_a_whole() -> None:
    joined = Joined(axis=1, sizes=(4, 3), saturations=(None, Saturation.SIGMOID))
    assert joined.fits(np.zeros((2, 7, 5)))
    assert not joined.fits(np.zeros((2, 8, 5)))
    assert not joined.fits(np.zeros(7))
