"""Each step of the conversion, on graphs made for it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.engine import Array, kernels
from support.fake_quant import Graph
from support.trained import convert, run

from zeropoint.engine.options import NodeSelection, QatOptions

RANDOM = np.random.default_rng(7)
SHAPE = (1, 4, 6, 6)
ZERO_U8, ZERO_S8 = np.uint8(0), np.int8(0)


def images(count: int = 4) -> Array:
    return RANDOM.normal(size=(count, *SHAPE[1:])).astype(np.float32)


def weight(graph: Graph, *shape: int, axis: int = 0) -> str:
    graph.constant("w", (RANDOM.normal(size=shape) * 0.02).astype(np.float32))
    scale = RANDOM.uniform(0.001, 0.003, shape[axis])
    return graph.pair("w", scale, np.zeros(shape[axis], np.int8), axis=axis)


def conv(graph: Graph, data: str, name: str = "c") -> str:
    graph.constant(f"{name}_bias", RANDOM.uniform(0.2, 1, 4).astype(np.float32))
    stored = "w_fake" if "w" in graph.constants else weight(graph, 4, 4, 3, 3)
    return graph.add("Conv", [data, stored, f"{name}_bias"], name, pads=[1, 1, 1, 1])


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def same(source: Path, result: Path, data: Array | None = None) -> None:
    data = images() if data is None else data
    for one, other in zip(run(source, data), run(result, data), strict=True):
        assert np.array_equal(one, other)


# Limits


def test_a_clip_that_relu6_implies_is_dropped(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.constant("zero", np.float32(0))
    graph.constant("six", np.float32(6))
    c = conv(graph, graph.pair("x", 0.02, np.uint8(128)))
    graph.add("Clip", [c, "zero", "six"], "r")
    graph.pair("r", 6 / 127, ZERO_U8, limits=(0, 127))
    graph.add("Identity", ["r_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    assert ops(converted.model).count("Clip") == 1  # that of Relu6
    same(source, converted.path)


def test_a_clip_that_acts_is_kept(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.add("Relu", [conv(graph, graph.pair("x", 0.02, np.uint8(128)))], "r")
    graph.pair("r", 0.001, ZERO_U8, limits=(0, 127))
    graph.add("Identity", ["r_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    assert "Clip" in ops(converted.model)
    assert run(source, images())[0].max() == pytest.approx(0.127)
    same(source, converted.path)


@pytest.mark.parametrize("op_type", ["Sigmoid", "Softmax"])
def test_a_clip_behind_what_is_bounded_is_dropped(
    op_type: str, folder: Path, workspace: Path
) -> None:
    graph = Graph()
    graph.add(op_type, ["x"], "s")
    graph.pair("s", 1 / 127, ZERO_U8, limits=(0, 127))
    graph.add("Identity", ["s_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    assert "Clip" not in ops(converted.model)
    same(source, converted.path)


# Types


def test_int8_behind_relu_becomes_uint8_with_its_limit(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.add("Relu", [conv(graph, graph.pair("x", 0.02, ZERO_S8))], "r")
    graph.pair("r", 0.004, ZERO_S8)
    graph.add("Identity", ["r_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    by_tensor = {pair.tensor: pair for pair in converted.trained.conversion.learned}
    assert int(by_tensor["x"].written.zero_point) == 128
    assert int(by_tensor["r"].written.zero_point) == 0
    assert by_tensor["r"].written.code_limits == (0, 127)
    assert float(run(source, images())[0].max()) == pytest.approx(127 * 0.004)
    same(source, converted.path)


def test_int8_that_is_an_output_keeps_its_type(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.add("Relu", [conv(graph, graph.pair("x", 0.02, ZERO_S8))], "r")
    graph.pair("r", 0.004, ZERO_S8)
    graph.add("Identity", ["r_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE, {"r_codes": onnx.TensorProto.INT8})
    converted = convert(source, workspace)
    same(source, converted.path)
    assert run(converted.path, images())[0].dtype == np.int8


# Missing pairs


def test_pairs_are_completed_around_what_moves_values(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.constant("shape", np.array([0, 4, 9]))
    data = graph.pair("x", 0.02, np.uint8(128))
    graph.add("MaxPool", [data], "p", kernel_shape=[2, 2], strides=[2, 2])
    c = conv(graph, "p")
    graph.add("Reshape", [c, "shape"], "s")
    graph.pair("s", 0.01, np.uint8(100))
    graph.add("Identity", ["s_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    assert ops(converted.model).count("QuantizeLinear") == 4
    same(source, converted.path)


def test_a_concat_before_a_pair_gets_the_same_on_both_sides(folder: Path, workspace: Path) -> None:
    graph = Graph()
    data = graph.pair("x", 0.02, np.uint8(128))
    graph.add("Concat", [conv(graph, data, "a"), conv(graph, data, "b")], "both", axis=1)
    graph.pair("both", 0.01, np.uint8(100))
    graph.add("Identity", ["both_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    assert ops(converted.model).count("QuantizeLinear") == 4
    same(source, converted.path)


# Weights


@settings(max_examples=25, deadline=None)
@given(
    weights=hnp.arrays(np.float32, (6, 5), elements=st.floats(-10, 10, width=32)),
    scale=hnp.arrays(np.float32, (6,), elements=st.floats(2**-10, 1, width=32)),
    limits=st.sampled_from([None, (-127, 127), (-8, 7), (-3, 3)]),
)
def test_stored_weights_stand_for_what_was_learned(
    tmp_path_factory: pytest.TempPathFactory,
    weights: Array,
    scale: Array,
    limits: tuple[int, int] | None,
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    graph = Graph()
    graph.constant("w", weights)
    fake = graph.pair("w", scale, np.zeros(6, np.int8), limits=limits, axis=0)
    graph.add("Transpose", [fake], "t", perm=[1, 0])
    graph.add("MatMul", [graph.pair("x", 0.02, np.uint8(128)), "t"], "y")
    source = graph.save(folder / "m.onnx", (3, 5))
    (folder / "work").mkdir()
    converted = convert(source, folder / "work")
    data = RANDOM.normal(size=(3, 5)).astype(np.float32)
    same(source, converted.path, data)
    assert "Transpose" not in ops(converted.model)
    (stored,) = (
        tensor for tensor in converted.model.graph.initializer if list(tensor.dims) == [5, 6]
    )
    assert stored.data_type == onnx.TensorProto.INT8


def test_scales_of_rows_are_not_taken_for_those_of_columns(folder: Path, workspace: Path) -> None:
    graph = Graph()
    fake = weight(graph, 6, 6, axis=0)
    graph.add("MatMul", [graph.pair("x", 0.02, np.uint8(128)), fake], "y")
    source = graph.save(folder / "m.onnx", (4, 6))
    data = RANDOM.normal(size=(4, 6)).astype(np.float32)
    (expected,) = run(source, data)
    (broken,) = run(source, data, optimize=True)
    assert np.abs(broken - expected).max() > 0.1 * np.abs(expected).max()  # ONNX Runtime's fault
    converted = convert(source, workspace)
    (found,) = run(converted.path, data, optimize=True)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)


# What follows a layer


def test_batch_normalization_goes_into_scales_even_if_negative(
    folder: Path, workspace: Path
) -> None:
    graph = Graph()
    c = conv(graph, graph.pair("x", 0.02, np.uint8(128)))
    gamma = np.array([1.5, -0.5, 0.25, -2.0], np.float32)
    figures = {"g": gamma, "o": gamma * 0.1, "m": gamma * 0.2, "v": np.abs(gamma) + 0.1}
    for name, value in figures.items():
        graph.constant(name, value.astype(np.float32))
    graph.add("BatchNormalization", [c, "g", "o", "m", "v"], "n")
    graph.pair("n", 0.02, np.uint8(128))
    graph.add("Identity", ["n_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    assert "BatchNormalization" not in ops(converted.model)
    data = images(16)
    difference = np.abs(run(source, data)[0] - run(converted.path, data)[0])
    assert difference.max() <= 0.02 * 1.001  # a step
    assert (difference > 0).mean() < 0.001
    (warning,) = converted.trained.conversion.warnings
    assert warning.code == "BATCH_NORMALIZATION_FOLDED"


def test_exact_leaves_batch_normalization(folder: Path, workspace: Path) -> None:
    graph = Graph()
    c = conv(graph, graph.pair("x", 0.02, np.uint8(128)))
    for name, value in {"g": 1.5, "o": 0.1, "m": 0.2, "v": 0.9}.items():
        graph.constant(name, np.full(4, value, np.float32))
    graph.add("BatchNormalization", [c, "g", "o", "m", "v"], "n")
    graph.pair("n", 0.02, np.uint8(128))
    graph.add("Identity", ["n_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace, QatOptions(exact=True))
    assert "BatchNormalization" in ops(converted.model)
    same(source, converted.path)


def test_a_float_output_is_summed_on_integers(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.constant("b", RANDOM.normal(size=6).astype(np.float32))
    fake = weight(graph, 6, 6)
    graph.add("Gemm", [graph.pair("x", 0.02, np.uint8(128)), fake, "b"], "y", transB=1)
    source = graph.save(folder / "m.onnx", (4, 6))
    converted = convert(source, workspace)
    assert ops(converted.model)[-2:] == ["MatMul", "Sub"]
    data = RANDOM.normal(size=(4, 6)).astype(np.float32)
    (one,), (other,) = run(source, data), run(converted.path, data)
    assert np.abs(one - other).max() <= 4 * np.spacing(np.abs(one).max())


def test_stored_biases_of_another_scale_become_floats(folder: Path, workspace: Path) -> None:
    graph = Graph()
    data = graph.pair("x", 0.02, np.uint8(128))
    fake = weight(graph, 4, 4, 3, 3)
    codes = graph.constant("b", RANDOM.integers(-900, 900, 4).astype(np.int32))
    scale = graph.constant("b_scale", np.float32(0.0007))
    graph.add("DequantizeLinear", [codes, scale], "b_float")
    graph.add("Conv", [data, fake, "b_float"], "c")
    graph.pair("c", 0.02, np.uint8(100))
    graph.add("Identity", ["c_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    converted = convert(source, workspace)
    kinds = {tensor.data_type for tensor in converted.model.graph.initializer}
    assert onnx.TensorProto.INT32 not in kinds
    same(source, converted.path)


# What stays float


def test_excluded_nodes_are_not_fused_and_keep_their_values(folder: Path, workspace: Path) -> None:
    graph = Graph()
    graph.add("Relu", [conv(graph, graph.pair("x", 0.02, np.uint8(128)))], "r")
    graph.pair("r", 0.01, ZERO_U8)
    graph.add("Identity", ["r_fake"], "y")
    source = graph.save(folder / "m.onnx", SHAPE)
    selection = NodeSelection(nodes_to_exclude=("c_node",))
    converted = convert(source, workspace, QatOptions(selection=selection))
    same(source, converted.path)
    (one,), (other,) = run(source, images()), run(converted.path, images(), optimize=True)
    assert one.shape == other.shape
    assert converted.trained.planned.plan.kept["c_node"].reason == "EXCLUDED"
    assert kernels(converted.path, workspace)["QLinearConv"] == 0


# Sums that leave int32


def test_trained_layers_with_sums_that_leave_int32_compute_in_float(
    folder: Path, workspace: Path
) -> None:
    graph = Graph()
    graph.constant("w", np.full((70_000, 2), 127, np.int8))
    graph.constant("w_scale", np.float32(1 / 127 / 70_000))
    graph.constant("w_zero", np.int8(0))
    weight = graph.add("DequantizeLinear", ["w", "w_scale", "w_zero"], "w_fake")
    graph.add("MatMul", [graph.pair("x", 1 / 255, ZERO_U8), weight], "m")
    graph.add("Identity", [graph.pair("m", 1 / 255, ZERO_U8)], "y")
    source = graph.save(folder / "m.onnx", (2, 70_000))
    data = RANDOM.uniform(0.9, 1, (2, 70_000)).astype(np.float32)
    converted = convert(source, workspace)
    (expected,) = run(source, data, optimize=False)
    (found,) = run(converted.path, data, optimize=True)
    assert np.abs(expected - found).max() < 0.01
