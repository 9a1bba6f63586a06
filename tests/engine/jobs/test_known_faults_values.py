"""Faults that `onnxruntime.quantization` 1.32 has or had, in scales and types."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.agreement import agreeing
from support.engine import Quantized, dynamic, kernels, run, sqnr_db, static
from support.graphs import Array, GraphBuilder, normal_batches
from support.unverified import quantize_unverified

from zeropoint.engine import (
    DynamicOptions,
    NodeSelection,
    NodeState,
    NothingToQuantize,
    OptionError,
    QuantType,
    StaticOptions,
    WeightOptions,
    inspect_model,
)

IMAGES = normal_batches({"x": (2, 4, 12, 12)})
ROWS = normal_batches({"x": (5, 16)})


def initializers(result: Quantized) -> dict[str, Array]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in result.model.graph.initializer}


# Weights


def test_transposed_convolution_with_groups_and_bias(tmp_path: Path) -> None:
    """Per-channel scales did not fit the bias; the node must not be requantized either."""
    b = GraphBuilder()
    b.input("x", ["N", 4, 12, 12])
    inputs = [b.conv("x", "c", 4, 4), b.weight("w", 4, 3, 3, 3), b.weight("b", 6)]
    b.node("ConvTranspose", inputs, "t", group=2)
    b.conv("t", "y", 6, 4)
    b.output("y")
    result = agreeing(b.save(tmp_path), IMAGES, static(per_channel=True), tmp_path)
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("shape", [(16, 8), (3, 16, 16), (16,)])
@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_matmul_has_a_scale_per_column_or_one(
    tmp_path: Path, left: bool, shape: tuple[int, ...], kind: str
) -> None:
    """A stack of weights, and one on the left, got scales along the inner axis."""
    if left and shape == (16, 8):
        shape = (8, 16)
    b = GraphBuilder()
    b.input("x", [3, 16, 16])
    array = b.rng.standard_normal(shape).astype(np.float32)
    array[..., 3] *= 20  # one column louder than the others
    weight = b.constant("w", array)
    b.node("MatMul", [weight, "x"] if left else ["x", weight], "y")
    b.output("y")
    batches = normal_batches({"x": (3, 16, 16)})
    options = static(per_channel=True) if kind == "static" else dynamic(per_channel=True)
    only_stored = kind == "dynamic" and left
    if only_stored and array.nbytes < 1024:
        with pytest.raises(NothingToQuantize):
            agreeing(b.save(tmp_path), batches, options, tmp_path)
        return
    result = agreeing(b.save(tmp_path), batches, options, tmp_path)
    scales = [a.size for name, a in initializers(result).items() if name.endswith("_scale")]
    assert max(scales) == (8 if not left and shape == (16, 8) else 16 if only_stored else 1)


def test_per_channel_refuses_asymmetric_weights() -> None:
    """The option was ignored in one format and honoured in the other."""
    with pytest.raises(OptionError, match="weight_symmetric"):
        WeightOptions(per_channel=True, symmetric=False)


@pytest.mark.parametrize("symmetric", [False, True])
def test_weight_symmetry_is_honoured(tmp_path: Path, symmetric: bool) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.constant("w", b.rng.random((16, 4), np.float32) + 1)], "y")
    b.output("y")
    source = b.save(tmp_path)
    weight = WeightOptions(quant_type=QuantType.QINT8, symmetric=symmetric)
    for options in (StaticOptions(weight=weight), DynamicOptions(weight=weight)):
        result = agreeing(source, ROWS, options, tmp_path / type(options).__name__)
        assert int(initializers(result)["w_zero_point"]) == (0 if symmetric else -128)


# Values


@pytest.mark.parametrize("peak", [1e30, 3e38])
def test_the_largest_values_give_finite_scales(tmp_path: Path, peak: float) -> None:
    """A width beyond float32 became a scale of infinity."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.weight("w", 16, 4, scale=1e-3)], "y")
    b.output("y")
    batches = [{"x": (batch["x"] / np.abs(batch["x"]).max() * peak)} for batch in ROWS]
    source = b.save(tmp_path)
    for symmetric in (False, True):
        options = static(activation_symmetric=symmetric)
        result = quantize_unverified(source, batches, options, tmp_path / str(symmetric))
        scales = [a for name, a in initializers(result).items() if name.endswith("_scale")]
        assert all(np.isfinite(scale).all() and (scale > 0).all() for scale in scales)
        reference, quantized = run(source, batches[0])[0], run(result.path, batches[0])[0]
        assert sqnr_db(reference / peak, quantized / peak) > 25


def test_an_activation_that_overflows_enters_no_scale(tmp_path: Path) -> None:
    """Infinities in one batch."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("Exp", ["x"], "e")
    b.node("MatMul", ["e", b.weight("w", 16, 4)], "y")
    b.output("y")
    overflow = {"x": ROWS[0]["x"].copy()}
    overflow["x"][0, 0] = 100.0
    result = quantize_unverified(b.save(tmp_path), [*ROWS, overflow], static(), tmp_path / "job")
    with np.errstate(over="ignore"):
        seen = np.exp(np.concatenate([*(batch["x"] for batch in ROWS), overflow["x"]]))
    expected = seen[np.isfinite(seen)].max() / 255
    assert math.isclose(float(initializers(result)["e_scale"]), expected, rel_tol=1e-5)


def test_a_constant_mask_of_infinities_stays_float(tmp_path: Path) -> None:
    """No scale fits it; nor a bias of which ONNX Runtime would make a part of a Gemm."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.weight("w", 16, 4)], "h")
    mask = b.constant("mask", np.array([0, -np.inf, 0, 0], np.float32))
    b.node("Softmax", [b.node("Add", ["h", mask], "masked")], "y")
    b.output("y")
    selection = NodeSelection(op_types_to_quantize=("MatMul", "Add"))
    result = agreeing(b.save(tmp_path), ROWS, static(selection=selection), tmp_path)
    assert result.states() == {
        "matmul_h": "quantized",
        "add_masked": "WEIGHT_NOT_FINITE",
        "softmax_y": "NOT_SELECTED",
    }


@pytest.mark.parametrize("mask", [-np.inf, np.finfo(np.float32).min])
def test_a_mask_that_is_computed_is_not_rounded(tmp_path: Path, mask: float) -> None:
    """Infinities entered no range: what they masked was masked no more."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    product = b.node("MatMul", ["x", b.weight("w", 16, 16, scale=1.0)], "product")
    late = b.node("Greater", ["x", b.constant("zero", np.array(0, np.float32))], "late")
    both = [b.constant(f"m{i}", np.full(16, v, np.float32)) for i, v in enumerate((mask, 0.0))]
    b.node(
        "Softmax", [b.node("Add", [product, b.node("Where", [late, *both], "mask")], "sum")], "p"
    )
    b.output(b.node("MatMul", ["p", b.weight("v", 16, 4)], "y"))
    selection = NodeSelection(op_types_to_quantize=("MatMul", "Add", "Softmax"))
    result = agreeing(b.save(tmp_path), ROWS, static(selection=selection), tmp_path)
    states = result.states()
    assert (states["add_sum"], states["softmax_p"]) == ("MASKED", "MASKED")
    assert states["matmul_product"] == states["matmul_y"] == "quantized"


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_an_opset_newer_than_the_quantizing_kernels(tmp_path: Path, kind: str) -> None:
    """ONNX Runtime runs models of an opset whose QuantizeLinear and Cast it does not have."""
    b = GraphBuilder(opset=28)
    b.input("x", ["N", 4, 12, 12])
    b.conv("x", "y", 4, 4)
    b.output("y")
    source = b.save(tmp_path)
    if kind == "static":
        result = agreeing(source, IMAGES, static(per_channel=True), tmp_path)
        assert kernels(result.path, tmp_path)["QLinearConv"] == 1
    else:
        with pytest.raises(NothingToQuantize, match="no Cast of opset 28"):
            agreeing(source, IMAGES, dynamic(), tmp_path)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_half_precision_loads_or_is_refused(tmp_path: Path, kind: str) -> None:
    """DynamicQuantizeLinear takes float32 only; the result did not load."""
    b = GraphBuilder()
    b.input("x", ["N", 16], TensorProto.FLOAT16)
    b.node("MatMul", ["x", b.constant("w", b.rng.standard_normal((16, 4)).astype(np.float16))], "y")
    b.output("y", ["N", 4], TensorProto.FLOAT16)
    batches = [{"x": batch["x"].astype(np.float16)} for batch in ROWS]
    options = static() if kind == "static" else dynamic()
    source = b.save(tmp_path)
    (tmp_path / "inspection").mkdir()
    nodes = inspect_model(source, options, tmp_path / "inspection").plan.nodes
    if any(node.state is NodeState.QUANTIZED for node in nodes):
        agreeing(source, batches, options, tmp_path)
    else:
        with pytest.raises(NothingToQuantize, match="FLOAT16"):
            agreeing(source, batches, options, tmp_path)


def test_a_type_that_shape_inference_does_not_know(tmp_path: Path) -> None:
    """A tensor without a type made an attribute error of a Conv."""
    b = GraphBuilder()
    b.input("x", ["N", 4, 12, 12])
    b.node("Gelu", ["x"], "g", domain="com.microsoft")
    b.conv("g", "y", 4, 4)
    b.output("y")
    model = b.model()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "model.onnx")
    result = agreeing(tmp_path / "model.onnx", IMAGES, static(), tmp_path)
    assert result.states()["conv_y"] == "quantized"


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("activation_type", list(QuantType))
@pytest.mark.parametrize("attributes", [{"ceil_mode": 1}, {"dilations": [2, 2]}])
def test_average_pool_that_the_runtime_would_fuse_into_a_wrong_kernel(
    tmp_path: Path, attributes: dict[str, int], activation_type: QuantType, between: bool
) -> None:
    """QLinearAveragePool counts other padding with ceil_mode, and with dilations does not load."""
    b = GraphBuilder(opset=19)
    b.input("x", [2, 4, 12, 12])
    data = b.conv("x", "c", 4, 4)
    if between:
        data = b.node("Transpose", [data], "t", perm=[0, 1, 3, 2])
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 0, 0]}
    b.node("AveragePool", [data], "p", name="pool", count_include_pad=1, **pool, **attributes)
    b.conv("p", "y", 4, 4)
    b.output("y")
    options = static(activation_type=activation_type)
    result = agreeing(b.save(tmp_path), IMAGES, options, tmp_path)
    assert result.states()["pool"] == "NO_INTEGER_FORM"
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
