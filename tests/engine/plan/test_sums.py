"""Sums of so many products that they may leave int32: weights with fewer bits, or floats."""

from pathlib import Path

import numpy as np
import pytest
from support.engine import Quantized, dynamic, kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder

from zeropoint.engine import Options, QuantFormat, QuantType, StaticOptions, WeightOptions
from zeropoint.engine.options import NodeSelection

SIDE = 16


def mean_by(op_type: str, terms: int, sign: float = 1.0) -> GraphBuilder:
    """Means of so many values as a layer computes them: all weights equal but for 10 %."""
    b = GraphBuilder()
    shape = (2, terms // SIDE**2, SIDE, SIDE) if op_type == "Conv" else (terms, 2)
    weight = sign * (1 - 0.1 * b.rng.random(shape)) / terms
    b.constant("w", weight.astype(np.float32))
    b.input("x", ["N", *shape[1:]] if op_type == "Conv" else ["N", terms])
    more = [b.weight("bias", 2)] if op_type != "MatMul" else []
    b.node(op_type, ["x", "w", *more], "y", name="mean")
    b.output("y")
    return b


def large(b: GraphBuilder) -> list[dict[str, np.ndarray]]:
    """Data near the upper end of its range."""
    sizes = [d.dim_value or 2 for d in b.inputs[0].type.tensor_type.shape.dim]
    rngs = (np.random.default_rng(seed) for seed in range(3))
    return [{"x": (1 - 0.1 * rng.random(sizes)).astype(np.float32)} for rng in rngs]


def check(b: GraphBuilder, options: Options, folder: Path, least: float = 30) -> Quantized:
    batches = large(b)
    result = quantize(b.save(folder), batches, options, folder / "job")
    reference = run(result.source, batches[0])[0]
    for optimize in (True, False):
        assert sqnr_db(reference, run(result.path, batches[0], optimize=optimize)[0]) > least
    return result


def weights_only(result: Quantized) -> list[str]:
    """Warnings about nodes that compute in float."""
    codes = [warning.code for warning in result.report.warnings]
    return [code for code in codes if code.startswith("WEIGHT_ONLY") or "KERNELS" in code]


@pytest.mark.parametrize("op_type", ["MatMul", "Gemm", "Conv"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("form", list(QuantFormat))
def test_long_sums_of_static_results(
    tmp_path: Path, op_type: str, sign: float, form: QuantFormat
) -> None:
    result = check(mean_by(op_type, 61_440, sign), StaticOptions(quant_format=form), tmp_path)
    assert result.states()["mean"] == "quantized"
    assert not kernels(result.path, tmp_path)[op_type]


@pytest.mark.parametrize(
    ("activation_type", "weight_type"),
    [
        (QuantType.QUINT8, QuantType.QUINT8),
        (QuantType.QUINT8, QuantType.QINT8),
        (QuantType.QINT8, QuantType.QINT8),
    ],
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_long_sums_whatever_the_types(
    tmp_path: Path, weight_type: QuantType, activation_type: QuantType, *, per_channel: bool
) -> None:
    weight = WeightOptions(quant_type=weight_type, per_channel=per_channel)
    options = StaticOptions(activation_type=activation_type, weight=weight)
    assert check(mean_by("MatMul", 61_440), options, tmp_path).states()["mean"] == "quantized"


@pytest.mark.parametrize("op_type", ["MatMul", "Gemm", "Conv"])
@pytest.mark.parametrize("weight_type", list(QuantType))
def test_long_sums_of_dynamic_results(tmp_path: Path, op_type: str, weight_type: QuantType) -> None:
    named = NodeSelection(op_types_to_quantize=(op_type,))
    options = dynamic(weight_type=weight_type, selection=named)
    result = check(mean_by(op_type, 61_440), options, tmp_path)
    assert result.states()["mean"] == "quantized"


@pytest.mark.parametrize("options", [StaticOptions(), dynamic()])
@pytest.mark.parametrize("op_type", ["MatMul", "Gemm", "Conv"])
def test_sums_that_leave_no_seven_bits_are_of_floats(
    tmp_path: Path, op_type: str, options: Options
) -> None:
    result = check(mean_by(op_type, 307_200), options, tmp_path)
    assert weights_only(result) == ["WEIGHT_ONLY_SUM_TOO_LONG"]
    assert result.report.result_bytes < result.report.source_bytes / 2
    assert kernels(result.path, tmp_path)["Conv" if op_type == "Conv" else op_type]


def test_sums_of_two_computed_tensors(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [2, 40_000])
    b.node("Transpose", ["x"], "t", perm=[1, 0])
    b.node("MatMul", ["x", "t"], "m", name="product")
    b.node("MatMul", ["m", b.weight("w", 2, 8)], "y")
    b.output("y")
    result = check(b, StaticOptions(), tmp_path, least=20)
    assert result.states()["product"] == "SUM_TOO_LONG"


def test_a_node_is_not_forced_into_wrong_sums(tmp_path: Path) -> None:
    selection = NodeSelection(nodes_to_quantize=("mean",), op_types_to_quantize=("MatMul",))
    result = check(mean_by("MatMul", 307_200), StaticOptions(selection=selection), tmp_path)
    assert weights_only(result) == ["WEIGHT_ONLY_SUM_TOO_LONG"]


def test_a_bias_that_fills_int32(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 64])
    b.constant("w", np.full((64, 2), 1e-4, np.float32))
    b.constant("bias", np.array([8e3, -8e3], np.float32))
    b.node("Gemm", ["x", "w", "bias"], "y")
    b.output("y")
    check(b, StaticOptions(), tmp_path, least=90)
