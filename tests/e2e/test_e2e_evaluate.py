"""A figure of the caller's own, from end to end: labels stay, candidates come."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from support.graphs import normal_batches, residual

from zeropoint.client import Phase, Progress, quantize_static

BATCHES = normal_batches({"x": (2, 3, 16, 16)}, count=8)
_CODES = (TensorProto.INT8, TensorProto.UINT8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return residual().save(tmp_path)


def integer_layers(path: Path) -> int:
    """Return how many layers of a model have weights that are stored as integers."""
    graph = onnx.load(path).graph
    codes = {tensor.name for tensor in graph.initializer if tensor.data_type in _CODES}
    dequantized = {
        node.output[0]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in codes
    }
    layers = (node for node in graph.node if node.op_type in ("Conv", "Gemm"))
    return sum(layer.input[1] in dequantized for layer in layers)


class Metric:
    """Loses a tenth with every layer on integers; knows what it has told."""

    def __init__(self) -> None:
        self.told: dict[Path, float] = {}

    def __call__(self, path: Path) -> float:
        self.told[path] = 1.0 - integer_layers(path) / 10
        return self.told[path]


def test_the_result_loses_no_more_than_allowed(model: Path, tmp_path: Path, address: str) -> None:
    metric, heard = Metric(), list[Progress]()
    result = quantize_static(
        *(model, tmp_path / "out.onnx", BATCHES),
        evaluate=metric,
        max_drop=0.25,
        server=address,
        progress=heard.append,
    )
    assert 1 <= integer_layers(result.model) <= 2
    accuracy = result.report.accuracy
    assert accuracy is not None
    assert accuracy.held
    assert accuracy.floor.min_metric == 0.75
    assert metric.told[model] == 1.0
    own = {trial.metric for trial in accuracy.trials if trial.metric is not None}
    assert own == set(list(metric.told.values())[1:])
    [chosen] = [trial for trial in accuracy.trials if trial.chosen]
    assert chosen.metric == Metric()(result.model)
    said = [one.message for one in heard if one.phase is Phase.SEARCH]
    assert f"{chosen.description}: {chosen.metric:g}" in said
    assert not any(path.exists() for path in metric.told if path != model)


def test_nothing_is_changed_where_the_figure_is_good(
    model: Path, tmp_path: Path, address: str
) -> None:
    metric = Metric()
    plain = quantize_static(model, tmp_path / "plain.onnx", BATCHES, server=address)
    result = quantize_static(
        model, tmp_path / "out.onnx", BATCHES, evaluate=metric, max_drop=0.9, server=address
    )
    assert len(metric.told) == 2
    assert onnx.load(result.model).graph == onnx.load(plain.model).graph
    assert result.report.accuracy is not None
    assert not result.report.accuracy.departures
