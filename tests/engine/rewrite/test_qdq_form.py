"""Forms in which Q/DQ pairs are written: for other runtimes; ONNX Runtime computes the same."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.engine import Quantized, kernels, quantize, run, sqnr_db, static
from support.graphs import Array, GraphBuilder, normal_batches, residual
from support.unverified import quantize_unverified

from zeropoint.engine import QdqOptions, QuantType, StaticOptions, WeightOptions

IMAGES = normal_batches({"x": (2, 3, 16, 16)})


def quantized(folder: Path, form: QdqOptions, *, per_channel: bool = True) -> Quantized:
    folder.mkdir()
    source = residual().save(folder)
    options = static(per_channel=per_channel, qdq=form)
    return quantize_unverified(source, IMAGES, options, folder / "job")


def nodes(result: Quantized, op_type: str) -> list[onnx.NodeProto]:
    return [node for node in result.model.graph.node if node.op_type == op_type]


def constants(result: Quantized) -> dict[str, Array]:
    return {t.name: numpy_helper.to_array(t) for t in result.model.graph.initializer}


@pytest.mark.parametrize(
    "form",
    [
        QdqOptions(add_pair_to_weight=True),
        QdqOptions(dedicated_pair=True),
        QdqOptions(use_contrib_ops=True),
    ],
)
def test_the_form_changes_no_result_and_no_kernel(tmp_path: Path, form: QdqOptions) -> None:
    plain = quantized(tmp_path / "plain", QdqOptions())
    other = quantized(tmp_path / "other", form)
    assert kernels(other.path, tmp_path) == kernels(plain.path, tmp_path)
    for optimize in (True, False):
        expected, found = (run(one.path, IMAGES[0], optimize=optimize)[0] for one in (plain, other))
        np.testing.assert_array_equal(expected, found)
    assert plain.report.plan == other.report.plan
    assert plain.report.digest != other.report.digest, "the file is another one"


# Biases


def test_biases_stay_float_in_the_file(tmp_path: Path) -> None:
    """ONNX Runtime makes int32 of them as it loads the model, where the output is quantized."""
    result = quantized(tmp_path / "float", QdqOptions(quantize_bias=False))
    arrays = constants(result)
    assert not [name for name, array in arrays.items() if array.dtype == np.int32]
    assert [arrays[node.input[2]].dtype for node in nodes(result, "Conv")] == [np.float32] * 4
    assert not [t for t in result.report.plan.tensors if t.name.endswith(":bias")]
    found = kernels(result.path, tmp_path)
    assert found["QLinearConv"] == 4
    assert found["Gemm"] == 1, "its output is float"
    plain = quantized(tmp_path / "plain", QdqOptions())
    expected, float_bias = (run(one.path, IMAGES[0])[0] for one in (plain, result))
    assert sqnr_db(expected, float_bias) > 60


def test_a_large_bias_that_stays_float_still_fits_what_runtimes_make_of_it(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    bias = b.constant("large", np.linspace(-5e4, 5e4, 8).astype(np.float32))
    b.node("Conv", ["x", b.weight("w", 8, 3, 3, 3, scale=1e-6), bias], "c", pads=[1] * 4)
    b.conv("c", "y", 8, 4)
    b.output("y")
    source = b.save(tmp_path)
    form = QdqOptions(quantize_bias=False)
    result = quantize_unverified(source, IMAGES, static(qdq=form), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 30


def test_a_float_bias_behind_a_product_stays_an_add(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("Add", [b.node("MatMul", ["x", b.weight("w", 8, 6)], "m"), b.weight("b", 6)], "y")
    b.output("y")
    rows = normal_batches({"x": (4, 8)})
    form = QdqOptions(quantize_bias=False)
    result = quantize(b.save(tmp_path), rows, static(qdq=form), tmp_path / "job")
    assert "b" in nodes(result, "Add")[0].input
    assert set(result.states().values()) == {"quantized"}
    assert len(result.report.verification.nodes) == 1


# Weights


@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_are_floats_with_a_pair_behind_them(tmp_path: Path, per_channel: bool) -> None:
    form = QdqOptions(add_pair_to_weight=True)
    result = quantized(tmp_path / "floats", form, per_channel=per_channel)
    arrays = constants(result)
    behind = [node for node in nodes(result, "QuantizeLinear") if node.input[0] in arrays]
    assert sorted(node.input[0] for node in behind) == ["c1_w", "c2_w", "c3_w", "c4_w", "fc_w"]
    assert not [name for name, a in arrays.items() if a.dtype == np.int8 and a.ndim > 1]


def test_weights_in_7_bits_are_so_from_floats_too(tmp_path: Path) -> None:
    """Asymmetric uint8: rounding alone would give the code 128."""
    b = GraphBuilder()
    b.input("x", ["N", 2])
    weight = np.array([[-1.5, 125.5], [0.25, 3]], np.float32)
    b.node("MatMul", ["x", b.constant("w", weight)], "y")
    b.output("y")
    rows = normal_batches({"x": (4, 2)})
    codes: dict[bool, Array] = {}
    for pair in (False, True):
        options = StaticOptions(
            weight=WeightOptions(quant_type=QuantType.QUINT8, reduce_range=True),
            qdq=QdqOptions(add_pair_to_weight=pair),
        )
        result = quantize_unverified(b.save(tmp_path), rows, options, tmp_path / f"{pair}")
        arrays = constants(result)
        scale, zero_point = arrays["w_scale"], arrays["w_zero_point"]
        if pair:
            steps = np.rint(arrays["w_limited"] / scale) + zero_point
            codes[pair] = np.clip(steps, 0, 255).astype(np.uint8)
        else:
            codes[pair] = arrays["w_quantized"]
    np.testing.assert_array_equal(codes[True], codes[False])
    assert codes[True].max() <= 127


# Readers


def test_each_reader_has_a_pair_of_its_own(tmp_path: Path) -> None:
    result = quantized(tmp_path / "dedicated", QdqOptions(dedicated_pair=True))
    reads = Counter(name for node in result.model.graph.node for name in node.input)
    pairs = nodes(result, "QuantizeLinear")
    assert Counter(node.input[0] for node in pairs)["r1"] == 2, "the second Conv and the Add"
    assert {reads[node.output[0]] for node in pairs} == {1}
    assert {reads[node.output[0]] for node in nodes(result, "DequantizeLinear")} == {1}


def test_an_output_that_is_read_keeps_its_pair_and_name(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.node("Relu", [b.conv("x", "c1", 3, 8)], "r1")
    b.conv("r1", "y", 8, 4)
    b.output("r1")
    b.output("y")
    source = b.save(tmp_path)
    form = QdqOptions(dedicated_pair=True)
    result = quantize_unverified(source, IMAGES, static(qdq=form), tmp_path / "job")
    assert [output.name for output in result.model.graph.output] == ["r1", "y"]
    reads = Counter(name for node in result.model.graph.node for name in node.input)
    assert reads["r1"] == 0
    for reference, found in zip(run(source, IMAGES[0]), run(result.path, IMAGES[0]), strict=True):
        assert sqnr_db(reference, found) > 30


def test_contributed_operators(tmp_path: Path) -> None:
    result = quantized(tmp_path / "contributed", QdqOptions(use_contrib_ops=True))
    pairs = [*nodes(result, "QuantizeLinear"), *nodes(result, "DequantizeLinear")]
    assert {node.domain for node in pairs} == {"com.microsoft"}


@pytest.mark.parametrize(
    "form", [QdqOptions(add_pair_to_weight=True), QdqOptions(quantize_bias=False)]
)
def test_float16_models(tmp_path: Path, form: QdqOptions) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16], onnx.TensorProto.FLOAT16)
    for name, shape in (("w", (8, 3, 3, 3)), ("b", (8,))):
        b.constant(name, (b.rng.standard_normal(shape) * 0.2).astype(np.float16))
    b.node("Conv", ["x", "w", "b"], "y", pads=[1] * 4)
    b.output("y", dtype=onnx.TensorProto.FLOAT16)
    batches = [{"x": feeds["x"].astype(np.float16)} for feeds in IMAGES]
    result = quantize(b.save(tmp_path), batches, static(qdq=form), tmp_path / "job")
    assert result.report.verification.sqnr_db is not None
    assert result.report.verification.sqnr_db > 30
    assert kernels(result.path, tmp_path)["QLinearConv"] == 1
