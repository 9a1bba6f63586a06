"""Dynamic quantization: the integer operators compute what the float ones do."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.engine import dynamic, kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches, residual

from zeropoint.engine import (
    DynamicOptions,
    NodeSelection,
    QuantType,
    VerificationState,
    WeightOptions,
)

CONVOLUTIONS = NodeSelection(op_types_to_quantize=("Conv",))


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weight_type", list(QuantType))
def test_convolutions_and_gemm(tmp_path: Path, per_channel: bool, weight_type: QuantType) -> None:
    source = residual().save(tmp_path)
    selection = NodeSelection(op_types_to_quantize=("Conv", "Gemm"))
    options = dynamic(weight_type=weight_type, per_channel=per_channel, selection=selection)
    result = quantize(source, [], options, tmp_path / "job")
    found = operators(result.model)
    assert found["ConvInteger"] == 4
    assert found["MatMulInteger"] == 1
    assert not found["Conv"] + found["Gemm"]
    assert Counter(result.states().values()) == {"quantized": 5, "NOT_SELECTED": 8}
    batch = normal_batches({"x": (2, 3, 16, 16)}, 1)[0]
    assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 25


@pytest.mark.parametrize("transposed", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("per_channel", [False, True])
def test_gemm_with_transposes_factors_and_bias(
    tmp_path: Path, transposed: tuple[int, int], per_channel: bool
) -> None:
    trans_a, trans_b = transposed
    b = GraphBuilder()
    b.input("x", [16, 5] if trans_a else [5, 16])
    weight = b.weight("w", *((4, 16) if trans_b else (16, 4)))
    inputs = ["x", weight, b.weight("c", 4)]
    b.node("Gemm", inputs, "y", transA=trans_a, transB=trans_b, alpha=0.5, beta=2.0)
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, [], dynamic(per_channel=per_channel), tmp_path / "job")
    batch = normal_batches({"x": (16, 5) if trans_a else (5, 16)}, 1)[0]
    assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 30


@pytest.mark.parametrize("computed_bias", [False, True])
@pytest.mark.parametrize("group", [1, 2])
def test_convolution_with_groups_and_bias(tmp_path: Path, computed_bias: bool, group: int) -> None:
    b = GraphBuilder()
    b.input("x", [1, 4, 9, 9])
    bias = b.weight("b", 6)
    if computed_bias:
        bias = b.node("Exp", [b.input("z", [6])], "ez")
    weight = b.weight("w", 6, 4 // group, 3, 3)
    b.node("Conv", ["x", weight, bias], "y", group=group, strides=[2, 2], dilations=[2, 2])
    b.output("y")
    source = b.save(tmp_path)
    shapes = {"x": (1, 4, 9, 9)} | ({"z": (6,)} if computed_bias else {})
    batch = normal_batches(shapes, 1)[0]
    for selection in (NodeSelection(), CONVOLUTIONS):
        options = dynamic(per_channel=True, selection=selection)
        result = quantize(
            source, [], options, tmp_path / f"job{len(selection.op_types_to_quantize)}"
        )
        assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 30


def convolutions() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", [1, 3, 32, 32])
    b.node("Relu", [b.conv("x", "first", 3, 16)], "r")
    b.node("Flatten", [b.conv("r", "second", 16, 4)], "f")
    b.node("MatMul", ["f", b.weight("head_w", 4096, 8)], "y", name="head")
    b.output("y")
    return b


def test_convolutions_that_nobody_named_compute_in_float_with_stored_weights(
    tmp_path: Path,
) -> None:
    source = convolutions().save(tmp_path)
    result = quantize(source, [], DynamicOptions(), tmp_path / "job")
    assert result.report.result_bytes < 0.35 * result.report.source_bytes
    assert result.warned - {"NOT_COMPARED"} == {"WEIGHT_ONLY_SLOWER"}
    nodes = {node.name: node for node in result.report.plan.nodes}
    assert nodes["conv_first"].state == "quantized"
    found = kernels(result.path, tmp_path)
    assert (found["ConvInteger"], found["Cast"], found["DequantizeLinear"]) == (0, 0, 0), found
    batch = normal_batches({"x": (1, 3, 32, 32)}, 1)[0]
    for optimize in (False, True):
        other = run(result.path, batch, optimize=optimize)[0]
        assert sqnr_db(run(source, batch)[0], other) > 30


@pytest.mark.parametrize(
    ("selection", "integer"),
    [
        (NodeSelection(op_types_to_quantize=("Conv",)), 2),
        (NodeSelection(nodes_to_quantize=("conv_first",)), 1),
        (NodeSelection(nodes_to_quantize=("conv_*",)), 0),
    ],
)
def test_convolutions_that_are_named_compute_on_integers(
    tmp_path: Path, selection: NodeSelection, integer: int
) -> None:
    options = DynamicOptions(selection=selection)
    result = quantize(convolutions().save(tmp_path), [], options, tmp_path / "job")
    assert operators(result.model)["ConvInteger"] == integer
    assert ("DYNAMIC_CONV_SLOW" in [w.code for w in result.report.warnings]) == bool(integer)


@pytest.mark.parametrize("symmetric", [True, False])
def test_convolutions_have_the_codes_of_int8_weights_as_uint8(
    tmp_path: Path, symmetric: bool
) -> None:
    """ONNX Runtime's ConvInteger is several times as fast with uint8 weights."""
    b = GraphBuilder()
    b.input("x", [1, 4, 9, 9])
    b.conv("x", "y", 4, 6)
    b.output("y")
    weight = WeightOptions(quant_type=QuantType.QINT8, symmetric=symmetric)
    options = DynamicOptions(weight=weight, selection=CONVOLUTIONS)
    result = quantize(b.save(tmp_path), [], options, tmp_path / "job")
    constants = {v.name: numpy_helper.to_array(v) for v in result.model.graph.initializer}
    (conv,) = (node for node in result.model.graph.node if node.op_type == "ConvInteger")
    codes, zero_point = constants[conv.input[1]], constants[conv.input[3]]
    assert codes.dtype == zero_point.dtype == np.uint8
    floats = numpy_helper.to_array(b.initializers[0])
    scale = np.ptp(floats) / 255 if not symmetric else np.abs(floats).max() / 127
    np.testing.assert_allclose((codes - np.float64(zero_point)) * scale, floats, atol=scale * 0.51)
    assert (zero_point == 128) == symmetric


def test_an_activation_is_quantized_once_for_all_that_read_it(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [5, 16])
    for name in ("q", "k", "v"):
        b.node("MatMul", ["x", b.weight(f"w_{name}", 16, 16)], name)
        b.output(name)
    result = quantize(b.save(tmp_path), [], dynamic(), tmp_path / "job")
    assert operators(result.model)["DynamicQuantizeLinear"] == 1


def test_without_samples_inputs_are_generated_and_with_samples_compared(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    generated = quantize(source, [], dynamic(), tmp_path / "generated")
    assert generated.report.verification.state is VerificationState.GENERATED
    batches = normal_batches({"x": (2, 3, 16, 16)})
    compared = quantize(source, batches, dynamic(), tmp_path / "compared")
    assert compared.report.verification.state is VerificationState.COMPARED
    assert compared.report.verification.batches == len(batches) // 2  # candidates have the others


def test_excluded_nodes_stay_as_they_are(tmp_path: Path) -> None:
    options = dynamic(selection=NodeSelection(nodes_to_exclude=("conv_*",)))
    result = quantize(residual().save(tmp_path), [], options, tmp_path / "job")
    assert operators(result.model)["Conv"] == 4
    assert operators(result.model)["MatMulInteger"] == 1


@pytest.mark.parametrize("per_channel", [False, True])
def test_old_opsets_are_converted(tmp_path: Path, per_channel: bool) -> None:
    b = GraphBuilder(opset=9)
    b.input("x", [5, 16])
    b.node("MatMul", ["x", b.weight("w", 16, 4)], "y")
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, [], dynamic(per_channel=per_channel), tmp_path / "job")
    assert [node.name for node in result.report.verification.nodes] == ["matmul_y"]
    batch = {"x": np.ones((5, 16), np.float32)}
    assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 30
