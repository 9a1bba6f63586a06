"""int8 activations that several nodes read are uint8 with the same numbers, or all is float."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from support.engine import Array, kernels, quantize, run, sqnr_db
from support.fake_quant import Graph
from support.graphs import GraphBuilder, normal_batches, residual
from support.trained import convert

from zeropoint.engine import (
    QuantFormat,
    QuantType,
    StaticOptions,
    TensorQuantOverride,
    WeightOptions,
)
from zeropoint.engine.options import QatOptions


def attention() -> GraphBuilder:
    """Queries, keys and values of one tensor."""
    b = GraphBuilder()
    b.input("x", [16, 32])
    q, k, v = (b.node("MatMul", ["x", b.weight(f"w_{n}", 32, 32)], n) for n in "qkv")
    scores = b.node("MatMul", [q, b.node("Transpose", [k], "kt", perm=[1, 0])], "scores")
    b.node("MatMul", [b.node("Softmax", [scores], "p"), v], "y")
    b.output("y")
    return b


def silu() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", [1, 3, 16, 16])
    data = b.conv("x", "a", 3, 8)
    data = b.node("Mul", [data, b.node("Sigmoid", [data], "s")], "m")
    b.conv(data, "y", 8, 4)
    b.output("y")
    return b


Model = Callable[[], GraphBuilder]
MODELS: Mapping[str, tuple[Model, tuple[int, ...], dict[str, int]]] = {
    "residual": (residual, (2, 3, 16, 16), {"QLinearConv": 4, "QLinearAdd": 1, "Conv": 0}),
    "attention": (attention, (16, 32), {"MatMul": 0, "FusedMatMul": 0}),
    "silu": (silu, (1, 3, 16, 16), {"QLinearConv": 2, "QLinearMul": 1, "Conv": 0}),
}
INT8 = StaticOptions(activation_type=QuantType.QINT8)
KEPT = StaticOptions(activation_type=QuantType.QINT8, keep_activation_type=True)


def zero_points(model: onnx.ModelProto) -> set[int]:
    """Return the types of the zero points that QuantizeLinear and QLinear operators write with."""
    kinds = {v.name: v.data_type for v in model.graph.initializer}
    return {kinds[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"}


@pytest.mark.parametrize("quant_format", [QuantFormat.QDQ, QuantFormat.QOPERATOR])
@pytest.mark.parametrize("name", MODELS)
def test_all_are_integer_kernels_and_the_numbers_the_same(
    tmp_path: Path, name: str, quant_format: QuantFormat
) -> None:
    make, shape, wanted = MODELS[name]
    source, batches = make().save(tmp_path), normal_batches({"x": shape}, 4)
    options = StaticOptions(activation_type=QuantType.QINT8, quant_format=quant_format)
    result = quantize(source, batches, options, tmp_path / "unsigned")
    found = kernels(result.path, tmp_path)
    assert {op_type: found[op_type] for op_type in wanted} == wanted, found
    assert all(k.integer == k.nodes for k in result.report.verification.kernels)
    assert TensorProto.UINT8 in zero_points(result.model)
    kept = quantize(source, batches, KEPT, tmp_path / "kept")
    assert zero_points(kept.model) == {TensorProto.INT8}
    reference = run(source, batches[0])[0]
    plain, as_int8 = (run(path, batches[0], optimize=False)[0] for path in (result.path, kept.path))
    if quant_format is QuantFormat.QDQ:
        np.testing.assert_array_equal(plain, as_int8)
    assert sqnr_db(reference, plain) > 20
    assert sqnr_db(plain, run(result.path, batches[0])[0]) > 25


def test_the_report_says_so(tmp_path: Path) -> None:
    batches = normal_batches({"x": (2, 3, 16, 16)}, 4)
    result = quantize(residual().save(tmp_path), batches, INT8, tmp_path / "job")
    (told,) = (w for w in result.report.warnings if w.code == "WRITTEN_UNSIGNED")
    assert "'r1'" in told.message
    assert "KeepActivationType" in told.message
    tensors = {tensor.name: tensor for tensor in result.report.plan.tensors}
    assert (tensors["r1"].element_type, tensors["r1"].zero_point) == (TensorProto.UINT8, 128)
    assert tensors["r1"].symmetric


def chain() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", [1, 3, 16, 16])
    b.conv(b.node("Relu", [b.conv("x", "a", 3, 8)], "r"), "y", 8, 4)
    b.output("y")
    return b


def test_what_one_node_reads_stays_int8(tmp_path: Path) -> None:
    batches = normal_batches({"x": (1, 3, 16, 16)}, 4)
    result = quantize(chain().save(tmp_path), batches, INT8, tmp_path / "job")
    assert zero_points(result.model) == {TensorProto.INT8}
    assert "WRITTEN_UNSIGNED" not in result.warned
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2


def test_it_does_not_from_opset_21_on(tmp_path: Path) -> None:
    b = chain()
    b.opset = 21
    batches = normal_batches({"x": (1, 3, 16, 16)}, 4)
    result = quantize(b.save(tmp_path), batches, INT8, tmp_path / "job")
    assert zero_points(result.model) == {TensorProto.UINT8}
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2


def test_a_type_that_is_named_for_a_tensor_is_kept_with_all_that_nodes_join_it_to(
    tmp_path: Path,
) -> None:
    named = (TensorQuantOverride(tensor_name="r1", quant_type=QuantType.QINT8),)
    options = StaticOptions(activation_type=QuantType.QINT8, tensor_quant_overrides=named)
    batches = normal_batches({"x": (2, 3, 16, 16)}, 4)
    result = quantize(residual().save(tmp_path), batches, options, tmp_path / "job")
    assert zero_points(result.model) == {TensorProto.INT8}
    assert "WRITTEN_UNSIGNED" not in result.warned


@pytest.mark.parametrize("weight", [WeightOptions(), WeightOptions(per_channel=True)])
def test_int8_activations_need_no_type_of_weights_to_be_named(
    tmp_path: Path, weight: WeightOptions
) -> None:
    options = StaticOptions(activation_type=QuantType.QINT8, weight=weight)
    batches = normal_batches({"x": (2, 3, 16, 16)}, 4)
    result = quantize(residual().save(tmp_path), batches, options, tmp_path / "job")
    assert all(k.integer == k.nodes for k in result.report.verification.kernels)


# Learned in training


def shared() -> Graph:
    """Two convolutions of one tensor, trained as int8."""
    rng = np.random.default_rng(3)
    graph = Graph()

    def conv(data: str, name: str, c_in: int) -> str:
        weight = rng.integers(-90, 90, (4, c_in, 3, 3)).astype(np.int8)
        read = [graph.constant(f"{name}_w", weight), graph.constant(f"{name}_s", np.float32(0.01))]
        floats = graph.add("DequantizeLinear", read, f"{name}_weight")
        return graph.add("Conv", [data, floats], name, pads=[1, 1, 1, 1])

    data = graph.pair(conv(graph.pair("x", 0.02, np.int8(0)), "a", 3), 0.04, np.int8(0))
    one = graph.pair(conv(data, "b", 4), 0.1, np.int8(0))
    other = graph.pair(conv(data, "c", 4), 0.1, np.int8(0))
    graph.add("Identity", [graph.pair(graph.add("Add", [one, other], "d"), 0.2, np.int8(0))], "y")
    return graph


def trained(folder: Path, options: QatOptions) -> tuple[Path, Path]:
    source = shared().save(folder / "m.onnx", [1, 3, 8, 8])
    workspace = folder / "workspace"
    workspace.mkdir()
    return source, convert(source, workspace, options).path


def outputs(path: Path, *, optimize: bool) -> Array:
    data = {"x": np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)}
    return run(path, data, optimize=optimize)[0]


def test_learned_int8_that_two_convolutions_read_is_uint8(tmp_path: Path) -> None:
    source, path = trained(tmp_path, QatOptions())
    assert kernels(path, tmp_path)["QLinearConv"] == 3
    np.testing.assert_array_equal(outputs(source, optimize=False), outputs(path, optimize=False))
    assert sqnr_db(outputs(path, optimize=False), outputs(path, optimize=True)) > 30


def test_learned_int8_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    source, path = trained(tmp_path, QatOptions(keep_activation_type=True))
    kinds = {
        numpy_helper.to_array(v).dtype
        for v in onnx.load(path).graph.initializer
        if v.name.endswith("_zero")
    }
    assert kinds == {np.dtype(np.int8)}
    np.testing.assert_array_equal(outputs(source, optimize=False), outputs(path, optimize=False))
