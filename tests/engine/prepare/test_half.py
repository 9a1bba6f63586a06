"""float16 models: quantized like float32 ones; inputs, outputs and stored weights keep it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.engine import dynamic, kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, residual

from zeropoint.engine import PostTrainingOptions

Array = NDArray[Any]


def halved(b: GraphBuilder, folder: Path) -> Path:
    """The same model in float16, as converters of weights write it."""
    model = b.model()
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    path = folder / "half.onnx"
    onnx.save(model, path)
    return path


def images(count: int) -> list[dict[str, Array]]:
    generator = np.random.default_rng(2)
    return [{"x": generator.normal(size=(2, 3, 16, 16)).astype(np.float16)} for _ in range(count)]


def test_static(tmp_path: Path) -> None:
    batches = images(6)
    done = quantize(halved(residual(), tmp_path), batches, static(), tmp_path / "job")
    assert kernels(done.path, tmp_path)["QLinearConv"] == 4
    model = done.model
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    (wanted,) = run(done.source, batches[0])
    (found,) = run(done.path, batches[0])
    assert found.dtype == np.float16
    assert sqnr_db(wanted, found) > 25
    assert "FLOAT16_WIDENED" in {warning.code for warning in done.report.warnings}


def perceptron(width: int = 64) -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", ["N", width])
    b.node("MatMul", ["x", b.weight("w1", width, width)], "m1")
    b.node("Relu", ["m1"], "r1")
    b.node("MatMul", ["r1", b.weight("w2", width, width)], "y", name="last")
    b.output("y", ["N", width])
    return b


def test_dynamic(tmp_path: Path) -> None:
    """DynamicQuantizeLinear takes float32 only: onnxruntime.quantization's result does not load."""
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float16)
    done = quantize(halved(perceptron(), tmp_path), [], dynamic(), tmp_path / "job")
    (wanted,) = run(done.source, {"x": x})
    (found,) = run(done.path, {"x": x})
    assert found.dtype == np.float16
    assert sqnr_db(wanted, found) > 25


@pytest.mark.parametrize("options", [static(), dynamic()])
def test_weights_that_stay_float_are_stored_as_they_were(
    tmp_path: Path, options: PostTrainingOptions
) -> None:
    selection = type(options.selection)(nodes_to_exclude=("last",))
    options = type(options)(weight=options.weight, selection=selection)
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float16)
    done = quantize(halved(perceptron(), tmp_path), [{"x": x}], options, tmp_path / "job")
    stored = {t.name: t.data_type for t in done.model.graph.initializer if len(t.dims) == 2}
    assert sorted(stored.values()) == sorted((TensorProto.INT8, TensorProto.FLOAT16))
    (found,) = run(done.path, {"x": x})
    assert sqnr_db(run(done.source, {"x": x})[0], found) > 25


def test_mixed_models_and_bodies(tmp_path: Path) -> None:
    """Casts inside, a constant of float16 in a body, and float32 around."""
    b = GraphBuilder(17)
    b.input("x", ["N", 8])
    b.node("Cast", ["x"], "h", to=TensorProto.FLOAT16)
    w = b.constant("w", b.rng.normal(size=(8, 8)).astype(np.float16))
    b.node("MatMul", ["h", w], "m")
    b.node("ReduceMax", ["m"], "peak", keepdims=0)
    b.node("Greater", ["peak", b.constant("limit", np.array(0, np.float16))], "flag")
    branches = {
        name: helper.make_graph(
            [
                helper.make_node("Constant", [], [f"{name}_k"], value=numpy_helper.from_array(
                    np.array([factor], np.float16), f"{name}_k")),
                helper.make_node("Mul", ["m", f"{name}_k"], [f"{name}_y"]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT16, ["N", 8])],
        )
        for name, factor in (("then_branch", 2.0), ("else_branch", -1.0))
    }  # fmt: skip
    b.node("If", ["flag"], "chosen", **branches)
    b.node("Cast", ["chosen"], "y", to=TensorProto.FLOAT)
    b.output("y", ["N", 8])
    path = b.save(tmp_path)
    x = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    done = quantize(path, [{"x": x}, {"x": -x}], static(), tmp_path / "job")
    for feeds in ({"x": x}, {"x": -x}):
        assert sqnr_db(run(path, feeds)[0], run(done.path, feeds)[0]) > 20


def test_an_output_that_is_read_inside_keeps_its_type(tmp_path: Path) -> None:
    b = perceptron()
    b.output("m1", ["N", 64])
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float16)
    done = quantize(halved(b, tmp_path), [{"x": x}], static(), tmp_path / "job")
    for wanted, found in zip(run(done.source, {"x": x}), run(done.path, {"x": x}), strict=True):
        assert found.dtype == np.float16
        assert sqnr_db(wanted, found) > 25
