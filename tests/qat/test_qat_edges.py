"""What random graphs found: each a small graph on which the conversion once went wrong."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support.engine import Array
from support.fake_quant import Graph
from support.trained import convert, run
from support.trained_agreement import each_node, end_to_end, integer_layers, outcome

from zeropoint.engine import QatOptions, QuantFormat

RANDOM = np.random.default_rng(11)
SHAPE = (1, 4, 6, 6)


def data(*shape: int) -> Array:
    return RANDOM.normal(size=shape or SHAPE).astype(np.float32)


def stored(graph: Graph, *shape: int, axis: int = 0) -> str:
    graph.constant("w", (RANDOM.normal(size=shape) * 0.3).astype(np.float32))
    return graph.pair("w", np.full(shape[axis], 0.01), np.zeros(shape[axis], np.int8), axis=axis)


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def same(model: onnx.ModelProto, folder: Path, x: Array) -> onnx.ModelProto:
    """Convert, and compare as written, code by code, and as ONNX Runtime optimizes it."""
    found = outcome(model, [{"x": x}], QatOptions(), folder)
    steps, ulps = end_to_end(found, {"x": x})
    assert steps == 0 == found.proof.end_to_end_steps
    assert ulps <= 4
    expected = run(model, x)
    for one, other in zip(expected, run(found.result, x, optimize=True), strict=True):
        if one.dtype.kind == "f":
            assert np.abs(one - other).max() <= 0.02 * np.abs(one).max()
    return found.result


def step_at_most(model: onnx.ModelProto, folder: Path, x: Array, form: QuantFormat) -> list[str]:
    found = outcome(model, [{"x": x}], QatOptions(quant_format=form), folder)
    assert max(each_node(found, {"x": x}).values()) <= 1
    return ops(found.result)


# Pairs that are put before others


def test_a_pair_behind_one_half_of_a_split_does_not_round_the_other(folder: Path) -> None:
    graph = Graph()
    graph.add("Conv", [graph.pair("x", 0.02, np.uint8(128)), stored(graph, 4, 4, 3, 3)], "c")
    graph.nodes.append(helper.make_node("Split", ["c"], ["left", "y"], axis=1))
    graph.pair("left", 0.1, np.uint8(128))
    graph.add("Identity", ["left_fake"], "z")
    same(graph.model(SHAPE, ("y", "z")), folder, data())


def test_rounding_does_not_move_where_a_maximum_was_found(folder: Path) -> None:
    graph = Graph()
    graph.add("Conv", [graph.pair("x", 0.02, np.uint8(128)), stored(graph, 4, 4, 3, 3)], "c")
    graph.nodes.append(helper.make_node("MaxPool", ["c"], ["p", "where"], kernel_shape=[2, 2]))
    graph.pair("p", 0.5, np.uint8(128))
    graph.add("Identity", ["p_fake"], "y")
    model = graph.model(SHAPE, {"y": onnx.TensorProto.FLOAT, "where": onnx.TensorProto.INT64})
    x = data()
    result = same(model, folder, x)
    assert np.array_equal(run(model, x)[1], run(result, x)[1])


def branches(graph: Graph, value: str, *, weight: str = "", quantized: bool = True) -> None:
    """Add an If that reads a value in one branch: behind a pair, multiplied, or as it is."""
    nodes = [
        helper.make_node("QuantizeLinear", [value, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Relu", ["d"], ["inner"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0.02, np.float32), "s"),
        numpy_helper.from_array(np.array(128, np.uint8), "z"),
    ]
    if weight:
        nodes = [helper.make_node("MatMul", [value, weight], ["inner"])]
    elif not quantized:
        nodes = [helper.make_node("Relu", [value], ["inner"])]
    body = helper.make_graph(nodes, "a", [], [_info("inner")], constants)
    other = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "b", [], [_info("r")])
    graph.constant("low", np.float32(-99))
    graph.add("ReduceMax", ["x"], "peak", keepdims=0)
    graph.add("Greater", ["peak", "low"], "chosen")
    graph.add("If", ["chosen"], "y", then_branch=body, else_branch=other)


def _info(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


def test_no_pair_comes_before_what_a_body_reads(folder: Path) -> None:
    """ONNX Runtime would move it on to the If, and abort the process."""
    graph = Graph()
    graph.add("MatMul", [graph.pair("x", 0.02, np.uint8(128)), stored(graph, 4, 4, axis=1)], "m")
    graph.add("Transpose", ["m"], "t", perm=[1, 0])
    branches(graph, "t")
    same(graph.model((4, 4)), folder, data(4, 4))


def test_what_a_body_reads_behind_a_pair_gets_one_of_its_own(folder: Path) -> None:
    """ONNX Runtime aborts the process on the trained model itself."""
    graph = Graph()
    fake = stored(graph, 4, 4, axis=1)
    graph.add("Transpose", [graph.pair("x", 0.02, np.uint8(128))], "t", perm=[1, 0])
    branches(graph, "t", weight=fake)
    same(graph.model((4, 4)), folder, data(4, 4))


def test_weights_of_bodies_lie_in_them(folder: Path) -> None:
    """ONNX Runtime loads no model in which a MatMul of a body reads stored weights around it."""
    graph = Graph()
    fake = stored(graph, 4, 4, axis=1)
    branches(graph, "x", weight=fake)
    graph.pair("x", 0.02, np.uint8(128))
    graph.add("Identity", ["x_fake"], "z")
    model = graph.model((4, 4), ("y", "z"))
    node = model.graph.node[next(i for i, n in enumerate(model.graph.node) if n.op_type == "If")]
    moved = [n for n in model.graph.node if n.output[0] in ("w_codes", "w_fake")]
    for old in moved:
        model.graph.node.remove(old)
    body = next(attribute.g for attribute in node.attribute if attribute.name == "then_branch")
    for place, old in enumerate(moved):
        body.node.insert(place, old)
    same(model, folder, data(4, 4))


# Types


def test_codes_that_another_scale_reads_keep_their_type(folder: Path) -> None:
    graph = Graph()
    graph.add("Conv", [graph.pair("x", 0.02, np.int8(0)), stored(graph, 4, 4, 3, 3)], "c")
    graph.add("Relu", ["c"], "r")
    graph.pair("r", 0.02, np.int8(0))
    graph.constant("other", np.float32(0.5))
    graph.constant("point", np.int8(3))
    graph.add("DequantizeLinear", ["r_codes", "other", "point"], "z")
    graph.add("Identity", ["r_fake"], "y")
    same(graph.model(SHAPE, ("y", "z")), folder, data())


def test_int8_of_opset_21_is_uint8_or_it_would_not_load(folder: Path) -> None:
    graph = Graph(21)
    graph.add("MatMul", [graph.pair("x", 0.02, np.int8(0)), stored(graph, 8, 8, axis=1)], "m")
    graph.constant("b", data(8))
    graph.add("Add", ["m", "b"], "a")
    graph.pair("a", 0.05, np.int8(0))
    graph.add("Identity", ["a_fake"], "y")
    same(graph.model((3, 6, 8)), folder, data(3, 6, 8))


@pytest.mark.parametrize("scale", [0.0, -0.02, np.inf])
def test_scales_that_are_no_grid_are_left_alone(scale: float, folder: Path) -> None:
    graph = Graph()
    graph.constant("w", data(4, 4, 3, 3))
    graph.pair("x", scale, np.uint8(128), limits=(0, 127))
    graph.add("MaxPool", ["x_fake"], "p", kernel_shape=[2, 2])
    graph.pair("p", 0.02, np.uint8(128))
    graph.add("Identity", ["p_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    (folder / "work").mkdir()
    converted = convert(source, folder / "work")
    assert [pair.tensor for pair in converted.trained.codes] == ["p"]
    x = data()
    for one, other in zip(run(source, x), run(converted.path, x), strict=True):
        assert np.array_equal(one, other)


# Biases


@pytest.mark.parametrize("behind", ["output", "pair", "LayerNormalization"])
@pytest.mark.parametrize("factor", [1.0, 1.7])
def test_int32_biases_behind_a_matmul(behind: str, factor: float, folder: Path) -> None:
    graph = Graph()
    fake = stored(graph, 6, 8, axis=1)
    graph.add("MatMul", [graph.pair("x", 0.02, np.uint8(128)), fake], "m")
    codes = graph.constant("b", RANDOM.integers(-900, 900, 8).astype(np.int32))
    scale = graph.constant("bs", np.full(8, np.float32(0.02) * np.float32(0.01) * factor))
    graph.constants["bs"] = graph.constants["bs"].astype(np.float32)
    graph.add("DequantizeLinear", [codes, scale], "b_float", axis=0)
    graph.add("Add", ["b_float", "m"], "a")
    end = "a"
    if behind != "output":
        if behind != "pair":
            graph.constant("gain", np.ones(8, np.float32))
            end = graph.add(behind, ["a", "gain"], "n")
        end = graph.pair(end, 0.02, np.uint8(128))
    graph.add("Identity", [end], "y")
    result = same(graph.model((3, 6)), folder, data(3, 6))
    assert integer_layers(result, folder) == 1


@pytest.mark.parametrize("shape", [(4, 1), (4, 4), (1, 4), (1,), ()])
@pytest.mark.parametrize("alpha", [1.0, -2.0])
@pytest.mark.parametrize(
    "options",
    [QatOptions(), QatOptions(quantize_bias=True), QatOptions(quant_format=QuantFormat.QOPERATOR)],
    ids=["float", "rounded", "qoperator"],
)
def test_gemm_adds_biases_of_all_shapes(
    shape: tuple[int, ...], alpha: float, options: QatOptions, folder: Path
) -> None:
    graph = Graph()
    fake = stored(graph, 4, 4)
    graph.constant("b", data(*shape) if shape else np.float32(0.7))
    inputs = [graph.pair("x", 0.02, np.uint8(128)), fake, "b"]
    graph.add("Gemm", inputs, "m", transB=1, alpha=alpha)
    graph.pair("m", 0.03, np.uint8(128))
    graph.add("Identity", ["m_fake"], "y")
    x = data(4, 4)
    found = outcome(graph.model((4, 4)), [{"x": x}], options, folder)
    assert max(each_node(found, {"x": x}).values()) <= 1


def test_a_bias_for_rows_is_none_of_the_channels(folder: Path) -> None:
    graph = Graph()
    fake = stored(graph, 4, 4)
    graph.constant("b", data(4, 1))
    graph.add("Gemm", [graph.pair("x", 0.02, np.uint8(128)), fake, "b"], "m", transB=1)
    for name, value in {"g": 1.5, "o": 0.1, "mean": 0.2, "v": 0.9}.items():
        graph.constant(name, np.full(4, value, np.float32))
    graph.add("BatchNormalization", ["m", "g", "o", "mean", "v"], "n")
    graph.pair("n", 0.02, np.uint8(128))
    graph.add("Identity", ["n_fake"], "y")
    same(graph.model((4, 4)), folder, data(4, 4))


def test_a_bias_of_a_channel_without_scale_is_not_lost(folder: Path) -> None:
    graph = Graph()
    fake = stored(graph, 4, 4, 3, 3)
    graph.constants["w_scale"] = np.array([0, 0.01, 0.01, 0.01], np.float32)
    graph.constant("b", np.ones(4, np.float32))
    graph.add("Conv", [graph.pair("x", 0.02, np.uint8(128)), fake, "b"], "c")
    graph.pair("c", 0.02, np.uint8(100))
    graph.add("Identity", ["c_fake"], "y")
    step_at_most(graph.model(SHAPE), folder, data(), QuantFormat.QOPERATOR)


# Forms


def test_codes_that_are_outputs_behind_what_moves_them(folder: Path) -> None:
    graph = Graph()
    graph.add("MaxPool", [graph.pair("x", 0.02, np.uint8(128))], "p", kernel_shape=[2, 2])
    graph.pair("p", 0.02, np.uint8(128))
    graph.add("Identity", ["p_fake"], "y")
    kinds = {"y": onnx.TensorProto.FLOAT, "p_codes": onnx.TensorProto.UINT8}
    step_at_most(graph.model(SHAPE, kinds), folder, data(), QuantFormat.QOPERATOR)


def test_no_operator_multiplies_int8_by_uint8(folder: Path) -> None:
    graph = Graph()
    graph.constant("w", data(6, 4))
    fake = graph.pair("w", 0.01, np.uint8(128))
    graph.add("MatMul", [graph.pair("x", 0.02, np.int8(0)), fake], "m")
    graph.pair("m", 0.05, np.int8(0))
    graph.add("Identity", ["m_fake"], "y")
    found = step_at_most(graph.model((3, 6)), folder, data(3, 6), QuantFormat.QOPERATOR)
    assert "QLinearMatMul" not in found


# Completion, and old opsets


def test_completion_takes_no_pair_out_of_a_body(folder: Path) -> None:
    graph = Graph()
    fake = stored(graph, 4, 4, axis=1)
    graph.add("Tanh", ["x"], "h")
    branches(graph, "h")
    graph.add("MatMul", ["h", fake], "z")
    found = outcome(
        graph.model((4, 4), ("y", "z")), [{"x": data(4, 4)}], QatOptions(calibrate=True), folder
    )
    assert np.isfinite(run(found.result, data(4, 4), optimize=True)[1]).all()


def test_completion_gives_no_input_to_what_would_be_misread(folder: Path) -> None:
    graph = Graph()
    graph.add("MatMul", ["x", stored(graph, 6, 6, axis=0)], "y")
    graph.pair("x", 0.02, np.uint8(128))
    graph.add("Identity", ["x_fake"], "z")
    model, x = graph.model((4, 6), ("y", "z")), data(4, 6)
    found = outcome(model, [{"x": x}], QatOptions(calibrate=True), folder)
    (one, _), (other, _) = run(model, x), run(found.result, x, optimize=True)
    assert np.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_completion_quantizes_the_weight_between_two_pairs(folder: Path) -> None:
    graph = Graph()
    graph.constant("w", data(4, 4, 3, 3))
    graph.add("Conv", [graph.pair("x", 0.02, np.uint8(128)), "w"], "c")
    graph.pair("c", 0.08, np.uint8(128))
    graph.add("Identity", ["c_fake"], "y")
    found = outcome(graph.model(SHAPE), [{"x": data()}], QatOptions(calibrate=True), folder)
    assert integer_layers(found.result, folder) == 1
    (stored_weight,) = (t for t in found.result.graph.initializer if list(t.dims) == [4, 4, 3, 3])
    assert stored_weight.data_type == onnx.TensorProto.INT8


@pytest.mark.parametrize("shape", [(4, 1), (4, 4), (1,)])
def test_completion_leaves_biases_of_rows_and_with_factors(
    shape: tuple[int, ...], folder: Path
) -> None:
    graph = Graph()
    graph.constant("w", data(4, 4))
    graph.constant("b", data(*shape))
    graph.add("Gemm", ["x", "w", "b"], "m", transB=1, alpha=0.5)
    graph.add("Tanh", [graph.pair("m", 0.03, np.uint8(128))], "h")
    graph.add("Gemm", ["h", "w", "b"], "y", transB=1, alpha=0.5)
    model, x = graph.model((4, 4)), data(4, 4)
    found = outcome(model, [{"x": x}], QatOptions(calibrate=True), folder)
    (expected,), (got,) = run(model, x), run(found.result, x, optimize=True)
    assert np.abs(expected - got).max() <= 0.05 * np.abs(expected).max()


def test_completion_has_one_scale_where_the_opset_knows_no_channels(folder: Path) -> None:
    graph = Graph(12)
    graph.constant("w", data(6, 4))
    graph.add("MatMul", ["x", "w"], "m")
    graph.add("Identity", [graph.pair("m", 0.05, np.uint8(128))], "y")
    model, x = graph.model((3, 6)), data(3, 6)
    found = outcome(model, [{"x": x}], QatOptions(calibrate=True), folder)
    (expected,), (got,) = run(model, x), run(found.result, x, optimize=True)
    assert np.abs(expected - got).max() <= 0.1 * np.abs(expected).max()


def test_pools_that_count_padding_otherwise_stay_float(folder: Path) -> None:
    graph = Graph(19)
    fake = graph.pair("x", 0.02, np.uint8(128))
    graph.add("AveragePool", [fake], "p", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    graph.pair("p", 0.01, np.uint8(128))
    graph.add("Identity", ["p_fake"], "y")
    same(graph.model(SHAPE), folder, data())


def test_layers_whose_end_is_quantized_behind_a_branch_keep_their_sum(folder: Path) -> None:
    """What an If gives and is quantized was computed before it."""
    graph = Graph()
    fake = stored(graph, 4, 4)
    graph.constant("b", data(4))
    graph.add("Gemm", [graph.pair("x", 0.02, np.uint8(128)), fake, "b"], "m", transB=1)
    branches(graph, "m", quantized=False)
    graph.pair("y", 0.001, np.uint8(128))
    graph.add("Identity", ["y_fake"], "z")
    found = outcome(graph.model((4, 4), ("z",)), [{"x": data(4, 4)}], QatOptions(), folder)
    assert "Gemm" in ops(found.result)


def test_a_pad_of_opset_10_stays_one(folder: Path) -> None:
    graph = Graph(10)
    graph.add("Pad", [graph.pair("x", 0.02, np.uint8(128))], "y", pads=[0] * 7 + [1], value=2.5)
    same(graph.model(SHAPE), folder, data())


def test_resize_may_give_what_it_does_not_read(folder: Path, workspace: Path) -> None:
    """Then no Clip behind it is idle."""
    graph = Graph()
    graph.constant("region", np.array([0, 0, -0.5, 0, 1, 1, 1, 1], np.float32))
    graph.constant("scales", np.array([1, 1, 2, 2], np.float32))
    graph.add("Sigmoid", ["x"], "s")
    graph.add(
        "Resize",
        ["s", "region", "scales"],
        "r",
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=1.9,
    )
    graph.pair("r", 1 / 127, np.uint8(0), limits=(0, 127))
    graph.add("Identity", ["r_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    x = data()
    assert np.array_equal(run(source, x)[0], run(converted.path, x)[0])
