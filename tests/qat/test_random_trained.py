"""Whatever was trained: the result is the same code by code, loads, and computes on integers."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import all_nodes
from support.random_trained import TrainedGraph
from support.trained_agreement import Outcome, each_node, end_to_end, outcome, run

from zeropoint.engine import ModelError, NodeSelection, QatOptions, QuantFormat

_ROUNDING = {"BATCH_NORMALIZATION_FOLDED", "BIASES_ROUNDED"}
_ULPS = 64  # behind a sum in another order there may be more layers, of floats
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def check(seed: int, options: QatOptions) -> Outcome | None:
    """Convert; None where nothing was trained."""
    graph = TrainedGraph(seed)
    with tempfile.TemporaryDirectory() as folder:
        if not any("QuantizeLinear" in node.op_type for node in all_nodes(graph.model.graph)):
            with pytest.raises(ModelError, match="nothing was learned"):
                outcome(graph.model, [graph.feeds], options, Path(folder))
            return None
        found = outcome(graph.model, [graph.feeds], options, Path(folder))
    onnx.checker.check_model(found.result)
    for one, other in zip(graph.model.graph.output, found.result.graph.output, strict=True):
        assert one.name == other.name
    if not options.calibrate:
        agree(found, graph, rounded=options.quant_format is not QuantFormat.QDQ)
    optimized = run(found.result, graph.feeds, [], optimize=True)
    for name, expected in run(graph.model, graph.feeds, []).items():
        assert optimized[name].shape == expected.shape
        assert optimized[name].dtype == expected.dtype
        assert np.isfinite(optimized[name]).all()
    return found


def agree(found: Outcome, graph: TrainedGraph, *, rounded: bool) -> None:
    """Compare as written, and the engine's proof with this comparison."""
    steps, ulps = end_to_end(found, graph.feeds)
    assert found.proof.end_to_end_steps == steps
    if not (rounded or _ROUNDING & found.warnings):
        assert steps == 0
        assert ulps <= _ULPS
    elif steps:
        apart = max(each_node(found, graph.feeds).values())
        assert apart <= 1
        assert found.proof.node_steps == apart


def excluding(seed: int) -> QatOptions:
    nodes = TrainedGraph(seed).model.graph.node
    names = [node.name for node in nodes if node.name and node.op_type in _LAYERS]
    return QatOptions(selection=NodeSelection(nodes_to_exclude=tuple(names[::2])))


OPTIONS = {
    "qdq": QatOptions(),
    "exact": QatOptions(exact=True),
    "rounded biases": QatOptions(quantize_bias=True),
    "completed": QatOptions(calibrate=True),
    "qoperator": QatOptions(quant_format=QuantFormat.QOPERATOR),
    "integer ops": QatOptions(quant_format=QuantFormat.INTEGER_OPS),
}


@pytest.mark.parametrize("seed", range(12))
def test_qdq(seed: int) -> None:
    check(seed, OPTIONS["qdq"])


@pytest.mark.parametrize("options", OPTIONS)
def test_all_options(options: str) -> None:
    assert sum(check(seed, OPTIONS[options]) is not None for seed in range(40, 44)) == 4


def test_excluded_nodes() -> None:
    for seed in range(30, 34):
        check(seed, excluding(seed))


@pytest.mark.soak
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("hundred", range(10))
def test_many(hundred: int, options: str) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        check(seed, OPTIONS[options])


@pytest.mark.soak
@pytest.mark.parametrize("hundred", range(5))
def test_many_with_excluded_nodes(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        check(seed, excluding(seed))
