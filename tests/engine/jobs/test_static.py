"""Static quantization of small models: integer kernels, exactness, and faults of other tools."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from support.engine import kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, clip_bounds, normal_batches, residual

from zeropoint.engine import (
    EngineError,
    NodeSelection,
    NothingToQuantize,
    OptionError,
    QuantType,
    StaticOptions,
    VerificationState,
    WeightOptions,
)

IMAGES = normal_batches({"x": (2, 3, 16, 16)})


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight_type", list(QuantType))
def test_every_convolution_and_gemm_becomes_an_integer_kernel(
    tmp_path: Path, per_channel: bool, weight_type: QuantType
) -> None:
    source = residual().save(tmp_path)
    options = static(weight_type=weight_type, per_channel=per_channel)
    result = quantize(source, IMAGES, options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QLinearConv"] == 4
    assert found["QGemm"] == 1
    assert not {"Conv", "FusedConv", "Gemm"} & set(found)
    assert result.report.verification.state is VerificationState.COMPARED
    assert result.warned == set()
    reference, quantized = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert sqnr_db(reference, quantized) > 25


@pytest.mark.parametrize("per_channel", [False, True])
def test_int8_activations(tmp_path: Path, per_channel: bool) -> None:
    """On x86 ONNX Runtime gives up on an int8 tensor that two nodes read; the report says so."""
    source = residual().save(tmp_path)
    options = static(activation_type=QuantType.QINT8, per_channel=per_channel)
    result = quantize(source, IMAGES, options, tmp_path / "job")
    count = next(k for k in result.report.verification.kernels if k.op_type == "Conv")
    assert count.integer == kernels(result.path, tmp_path)["QLinearConv"] >= 3
    named = [w.nodes for w in result.report.warnings if w.code == "FLOAT_KERNELS"]
    assert sum(map(len, named)) == count.nodes - count.integer
    reference, quantized = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert sqnr_db(reference, quantized) > 20


def test_the_residual_path_stays_integer(tmp_path: Path) -> None:
    result = quantize(residual().save(tmp_path), IMAGES, static(), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QLinearAdd"] == 1
    assert found["QuantizeLinear"] == 1, "only the input is quantized"
    assert found["DequantizeLinear"] == 0, "the last kernel gives float"


def test_order_of_batches_does_not_change_a_byte(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    forward = quantize(source, IMAGES, static(), tmp_path / "forward")
    backward = quantize(source, IMAGES[::-1], static(), tmp_path / "backward")
    assert forward.path.read_bytes() == backward.path.read_bytes()
    assert forward.report.digest == backward.report.digest
    assert forward.report.verification.sqnr_db == backward.report.verification.sqnr_db


def test_the_model_carries_the_digest(tmp_path: Path) -> None:
    result = quantize(residual().save(tmp_path), IMAGES, static(), tmp_path / "job")
    properties = {entry.key: entry.value for entry in result.model.metadata_props}
    assert properties["zeropoint.digest"] == result.report.digest.hex()


def test_the_user_s_file_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "user"
    folder.mkdir()
    source = residual().save(folder)
    before = source.read_bytes()
    quantize(source, IMAGES, static(), tmp_path / "job")
    assert source.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]


def test_nan_and_infinities_enter_no_range_and_are_told_by_tensor_and_batch(
    tmp_path: Path,
) -> None:
    source = residual().save(tmp_path)
    bad = {"x": IMAGES[0]["x"].copy()}
    bad["x"][0, 0, 0, :3] = [np.nan, np.inf, -np.inf]
    clean = quantize(source, IMAGES, static(), tmp_path / "clean")
    result = quantize(source, [*IMAGES[:2], bad, *IMAGES[2:]], static(), tmp_path / "job")
    assert result.report.calibration is not None
    seen = {tensor.name: tensor for tensor in result.report.calibration.non_finite}
    assert (seen["x"].nan, seen["x"].positive_infinity, seen["x"].negative_infinity) == (1, 1, 1)
    assert all(tensor.batches == (3,) for tensor in seen.values())
    ranges = [
        {(t.name, t.low, t.high) for t in report.plan.tensors if t.name == "x"}
        for report in (clean.report, result.report)
    ]
    assert ranges[0] == ranges[1]


# Choice of nodes


def test_excluded_node_stays_float_in_the_runtime_too(tmp_path: Path) -> None:
    """ONNX Runtime quantizes a float Conv between Q/DQ pairs by itself unless it is guarded."""
    source = residual().save(tmp_path)
    options = static(selection=NodeSelection(nodes_to_exclude=("conv_c2",)))
    result = quantize(source, IMAGES, options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QLinearConv"] == 3
    assert found["Conv"] + found["FusedConv"] == 1
    assert result.states()["conv_c2"] == "EXCLUDED"


def test_patterns_and_op_types_choose_nodes(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    selection = NodeSelection(op_types_to_quantize=("Conv",), nodes_to_quantize=("conv_c[12]",))
    result = quantize(source, IMAGES, static(selection=selection), tmp_path / "job")
    chosen = {name for name, state in result.states().items() if state == "quantized"}
    assert {"conv_c1", "conv_c2"} == {name for name in chosen if name.startswith("conv")}


def test_named_elementwise_nodes_are_quantized_even_between_float_neighbours(
    tmp_path: Path,
) -> None:
    b = GraphBuilder()
    b.input("x", [4])
    b.input("z", [4])
    b.node("Add", ["x", "z"], "y")
    b.output("y", [4])
    batches = normal_batches({"x": (4,), "z": (4,)})
    options = static(selection=NodeSelection(op_types_to_quantize=("Add",)))
    result = quantize(b.save(tmp_path), batches, options, tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearAdd"] == 1


def test_unknown_node_name_suggests_the_nearest(tmp_path: Path) -> None:
    options = static(selection=NodeSelection(nodes_to_exclude=("conv_c9",)))
    with pytest.raises(OptionError, match="conv_c4") as caught:
        quantize(residual().save(tmp_path), IMAGES, options, tmp_path / "job")
    assert caught.value.reason == "NODE_UNKNOWN"


def test_nothing_to_quantize_says_why(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [4])
    b.node("Exp", ["x"], "y")
    b.output("y", [4])
    with pytest.raises(NothingToQuantize, match="no integer kernel for Exp"):
        quantize(b.save(tmp_path), normal_batches({"x": (4,)}), static(), tmp_path / "job")


def test_an_input_with_a_default_is_neither_a_constant_nor_fed(tmp_path: Path) -> None:
    b = residual()
    b.input("factor", [1])
    b.constant("factor", np.ones(1, np.float32))
    b.node("Mul", ["y", "factor"], "z")
    b.output("z")
    options = static(selection=NodeSelection(op_types_to_quantize=("Conv", "Mul")))
    result = quantize(b.save(tmp_path), IMAGES, options, tmp_path / "job")
    assert result.states()["mul_z"] == "OVERRIDABLE"


def test_a_model_optimized_for_one_runtime_is_told_apart(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(residual().save(tmp_path), options)
    selection = NodeSelection(op_types_to_quantize=("Conv",))
    with pytest.raises(NothingToQuantize, match="optimized for ONNX Runtime already"):
        quantize(tmp_path / "optimized.onnx", IMAGES, static(selection=selection), tmp_path / "a")
    result = quantize(tmp_path / "optimized.onnx", IMAGES, static(), tmp_path / "b")
    assert "ALREADY_OPTIMIZED" in [warning.code for warning in result.report.warnings]


def test_without_batches_there_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="at least one batch") as caught:
        quantize(residual().save(tmp_path), [], static(), tmp_path / "job")
    assert caught.value.reason == "NO_BATCHES"


# Gemm and MatMul


@pytest.mark.parametrize("bias", ["row", "matrix", "full", "scalar", "computed", "none"])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (1.0, 0.25)])
def test_gemm_with_any_factors_and_bias(
    tmp_path: Path, bias: str, alpha: float, beta: float
) -> None:
    """A factor other than 1 must not reach the bias twice, or not at all."""
    b = GraphBuilder()
    b.input("x", [5, 16])
    inputs = ["x", b.weight("w", 16, 4)]
    shapes = {"row": (4,), "matrix": (1, 4), "full": (5, 4), "scalar": ()}
    if bias in shapes:
        inputs.append(b.constant("c", np.asarray(b.rng.standard_normal(shapes[bias]), np.float32)))
    elif bias == "computed":
        inputs.append(b.node("Exp", [b.input("z", [4])], "ez"))
    b.node("Gemm", inputs, "y", alpha=alpha, beta=beta)
    b.output("y", [5, 4])
    shapes_in = {"x": (5, 16)} | ({"z": (4,)} if bias == "computed" else {})
    batches = normal_batches(shapes_in)
    source = b.save(tmp_path)
    result = quantize(source, batches, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QGemm"] == 1
    assert sqnr_db(run(source, batches[0])[0], run(result.path, batches[0])[0]) > 30


@pytest.mark.parametrize("shape", [[5, 16], [2, 5, 16], ["N", "S", 16]])
@pytest.mark.parametrize("bias_shape", [(4,), (1, 4)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_matmul_with_bias_is_an_integer_kernel(
    tmp_path: Path, shape: list[int | str], bias_shape: tuple[int, ...], per_channel: bool
) -> None:
    """ONNX Runtime makes a Gemm of both, which is a float kernel unless the bias is int32."""
    b = GraphBuilder()
    b.input("x", shape)
    b.node("MatMul", ["x", b.weight("w", 16, 4)], "p")
    b.node("Add", ["p", b.weight("b", *bias_shape)], "y")
    b.output("y")
    sizes = [3 if isinstance(size, str) else size for size in shape]
    batches = normal_batches({"x": sizes})
    source = b.save(tmp_path)
    result = quantize(source, batches, static(per_channel=per_channel), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["QGemm"] + found["MatMulIntegerToFloat"] == 1
    assert not found["Gemm"] + found["MatMul"]
    assert sqnr_db(run(source, batches[0])[0], run(result.path, batches[0])[0]) > 30


def test_matmul_of_two_activations(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [2, 5, 16])
    b.input("z", [2, 16, 5])
    b.node("MatMul", ["x", "z"], "y")
    b.output("y")
    batches = normal_batches({"x": (2, 5, 16), "z": (2, 16, 5)})
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["MatMulIntegerToFloat"] == 1


@pytest.mark.parametrize("left", [False, True])
def test_matmul_with_a_stack_of_weights(tmp_path: Path, left: bool) -> None:
    b = GraphBuilder()
    b.input("x", [2, 16, 16])
    weight = b.weight("w", 2, 16, 16)
    b.node("MatMul", [weight, "x"] if left else ["x", weight], "y")
    b.output("y")
    batches = normal_batches({"x": (2, 16, 16)})
    source = b.save(tmp_path)
    result = quantize(source, batches, static(per_channel=True), tmp_path / "job")
    assert sqnr_db(run(source, batches[0])[0], run(result.path, batches[0])[0]) > 30


# Relu and Clip


def test_relu_is_kept_for_those_who_read_the_tensor_before_it(tmp_path: Path) -> None:
    """Both a Relu and another node read the convolution."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.conv("x", "c", 3, 4)
    b.node("Relu", ["c"], "y")
    b.node("Neg", ["c"], "z")
    b.output("y")
    b.output("z")
    source = b.save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    for reference, quantized in zip(
        run(source, IMAGES[0]), run(result.path, IMAGES[0]), strict=True
    ):
        assert sqnr_db(reference, quantized) > 25


def test_tensor_before_relu_that_is_an_output_keeps_its_range(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.conv("x", "c", 3, 4)
    b.node("Relu", ["c"], "y")
    b.output("c")
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    quantized = run(result.path, IMAGES[0])[0]
    assert quantized.min() < -0.5
    assert sqnr_db(run(source, IMAGES[0])[0], quantized) > 25


@pytest.mark.parametrize("bounds", [(0.5, 2.0), (-2.0, -0.5), (-0.3, 0.7), (0.0, 6.0)])
@pytest.mark.parametrize("activation_type", list(QuantType))
def test_clip_bounds_hold(
    tmp_path: Path, bounds: tuple[float, float], activation_type: QuantType
) -> None:
    """A quantized range always includes zero, so it does not imply every Clip."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.node("Clip", [b.conv("x", "c", 3, 4), *clip_bounds(b, *bounds)], "y")
    b.output("y")
    source = b.save(tmp_path)
    options = static(activation_type=activation_type)
    result = quantize(source, IMAGES, options, tmp_path / "job")
    quantized = run(result.path, IMAGES[0])[0]
    scale = (max(bounds[1], 0) - min(bounds[0], 0)) / 255
    assert quantized.min() >= bounds[0] - scale
    assert quantized.max() <= bounds[1] + scale
    assert kernels(result.path, tmp_path)["QLinearConv"] == 1


def test_subgraph_that_reads_a_relu_reads_the_same_values(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.input("flag", [], onnx.TensorProto.BOOL)
    b.node("Relu", [b.conv("x", "c", 3, 4)], "r")
    bodies = [
        helper.make_graph(
            [helper.make_node(op_type, ["r"], [f"{op_type}_out"])],
            op_type,
            [],
            [helper.make_tensor_value_info(f"{op_type}_out", onnx.TensorProto.FLOAT, None)],
        )
        for op_type in ("Neg", "Abs")
    ]
    b.node("If", ["flag"], "y", then_branch=bodies[0], else_branch=bodies[1])
    b.output("y")
    batches = [{**batch, "flag": np.array(True)} for batch in IMAGES]
    source = b.save(tmp_path)
    result = quantize(source, batches, static(), tmp_path / "job")
    reference, quantized = run(source, batches[0])[0], run(result.path, batches[0])[0]
    assert quantized.max() <= 0
    assert sqnr_db(reference, quantized) > 25


# Names, weights and types


def test_names_of_the_user_s_are_never_taken(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.conv("x", "c", 3, 4)
    b.constant("x_scale", np.array(37.0, np.float32))
    b.constant("c_w_quantized", np.array(5.0, np.float32))
    b.node("Mul", ["c", "x_scale"], "m")
    b.node("Add", ["m", "c_w_quantized"], "y")
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 25


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 64])
    weight = b.weight("w", 64, 64)
    b.node("MatMul", ["x", weight], "h")
    b.node("MatMul", ["h", weight], "y")
    b.output("y")
    result = quantize(b.save(tmp_path), normal_batches({"x": (3, 64)}), static(), tmp_path / "job")
    stored = [i for i in result.model.graph.initializer if i.data_type == onnx.TensorProto.INT8]
    assert sum(int(np.prod(tensor.dims)) == 64 * 64 for tensor in stored) == 1


@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 17, 21])
def test_per_channel_loads_for_every_opset(tmp_path: Path, opset: int) -> None:
    """The axis of DequantizeLinear needs opset 13; older models are converted."""
    b = GraphBuilder(opset)
    b.input("x", ["N", 3, 16, 16])
    b.node("Relu", [b.conv("x", "c", 3, 4)], "r")
    b.node("MaxPool", ["r"], "y", kernel_shape=[2, 2])
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, IMAGES, static(per_channel=True), tmp_path / "job")
    assert result.report.plan.opset >= 13
    assert kernels(result.path, tmp_path)["QLinearConv"] == 1


def test_a_large_bias_does_not_overflow(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    weight = b.weight("w", 4, 3, 3, 3, scale=1e-6)
    bias = b.constant("b", np.array([5e3, -7e3, 1.0, 0.0], np.float32))
    b.node("Conv", ["x", weight, bias], "y")
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    reference, quantized = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert np.abs(reference - quantized).max() < 1.5 * 12e3 / 255


def test_reduce_range_keeps_weights_in_seven_bits(tmp_path: Path) -> None:
    options = StaticOptions(weight=WeightOptions(quant_type=QuantType.QINT8, reduce_range=True))
    result = quantize(residual().save(tmp_path), IMAGES, options, tmp_path / "job")
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in result.model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert len(weights) == 4
    assert all(np.abs(array.astype(int)).max() <= 64 for array in weights)
