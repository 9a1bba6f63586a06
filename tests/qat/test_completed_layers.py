"""Layers of which only weights are integers: batches complete them as static quantization does."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import Quantized, kernels, quantize, sqnr_db
from support.fake_quant import Graph
from support.trained import run

from zeropoint.engine import QatOptions, QuantFormat

RANDOM = np.random.default_rng(5)
SHAPE = (1, 8, 8, 8)


def batches() -> list[dict[str, np.ndarray]]:
    return [{"x": RANDOM.normal(size=SHAPE).astype(np.float32)} for _ in range(4)]


def stored(graph: Graph, name: str) -> str:
    graph.constant(f"{name}_codes", RANDOM.integers(-127, 128, (8, 8, 3, 3)).astype(np.int8))
    graph.constant(f"{name}_scale", np.float32(0.002))
    graph.constant(f"{name}_zero", np.int8(0))
    read = [f"{name}_codes", f"{name}_scale", f"{name}_zero"]
    return graph.add("DequantizeLinear", read, f"{name}_w")


def chain(between: str, *, first: bool = False) -> Graph:
    """Three convolutions with stored weights; the first one's data may have a pair."""
    graph, value = Graph(), "x"
    if first:
        value = graph.pair("x", 4 / 127, np.uint8(128))
    for name in "abc":
        graph.constant(f"{name}_bias", RANDOM.normal(size=8).astype(np.float32))
        read = [value, stored(graph, name), f"{name}_bias"]
        graph.add("Conv", read, name, pads=[1, 1, 1, 1])
        value = graph.add(between, [name], "y" if name == "c" else f"{name}_t")
    return graph


def complete(graph: Graph, folder: Path, options: QatOptions) -> Quantized:
    source = folder / "model.onnx"
    onnx.save(graph.model(SHAPE), source)
    data = batches()
    result = quantize(source, data, options, folder / "job")
    for optimize in (True, False):
        (expected,) = run(source, data[0]["x"])
        (found,) = run(result.path, data[0]["x"], optimize=optimize)
        assert sqnr_db(expected, found) > 25
    return result


@pytest.mark.parametrize("between", ["Relu", "Tanh"])
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOPERATOR])
def test_layers_with_stored_weights_run_on_integers(
    tmp_path: Path, between: str, form: QuantFormat
) -> None:
    result = complete(chain(between), tmp_path, QatOptions(calibrate=True, quant_format=form))
    assert kernels(result.path, tmp_path)["QLinearConv"] == 3
    codes = {i.name: i for i in result.model.graph.initializer if len(i.dims) == 4}
    assert all(i.data_type == onnx.TensorProto.INT8 for i in codes.values())
    assert "FLOAT_KERNELS" not in {warning.code for warning in result.report.warnings}


@pytest.mark.parametrize("between", ["Relu", "Tanh"])
def test_a_trained_layer_whose_result_has_no_pair_gets_one(tmp_path: Path, between: str) -> None:
    graph = chain(between, first=True)
    result = complete(graph, tmp_path, QatOptions(calibrate=True))
    assert kernels(result.path, tmp_path)["QLinearConv"] == 3
    tensors = {tensor.name: tensor for tensor in result.report.plan.tensors}
    assert str(tensors["x"].source) == "learned"
    name = "a_t" if between == "Relu" else "a"
    assert str(tensors[name].source) == "calibrated"


def test_without_batches_that_calibrate_nothing_is_added(tmp_path: Path) -> None:
    result = complete(chain("Tanh"), tmp_path, QatOptions())
    assert not kernels(result.path, tmp_path)["QLinearConv"]
