"""MatMul and Gemm in front of a Relu or Clip: integer kernels wherever ONNX Runtime has them.

It takes the Relu or Clip for part of the product, and leaves the whole float unless the result is
quantized, except at the end of the graph.
"""

from pathlib import Path

import numpy as np
import pytest
from support.engine import kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, clip_bounds, normal_batches

from zeropoint.engine import NodeSelection, QuantType

BATCHES = normal_batches({"x": (6, 32)})
INTEGER = ("QGemm", "QLinearMatMul", "MatMulIntegerToFloat")


def product(kind: str, clamp: str) -> GraphBuilder:
    """A product, a clamp, and an operator that stays float."""
    b = GraphBuilder()
    b.input("x", ["N", 32])
    if kind == "Gemm":
        b.node("Gemm", ["x", b.weight("w", 32, 16), b.weight("b", 16)], "sum")
    else:
        product = "product" if kind == "MatMul+Add" else "sum"
        b.node("MatMul", ["x", b.weight("w", 32, 16)], product)
        if kind == "MatMul+Add":
            b.node("Add", [product, b.weight("b", 16)], "sum")
    bounds = clip_bounds(b, -0.3, 0.9) if clamp == "Clip" else []
    b.node(clamp, ["sum", *bounds], "clamped", name="clamp")
    b.node("Softplus", ["clamped"], "y")
    b.output("y", ["N", 16])
    return b


@pytest.mark.parametrize("activation_type", list(QuantType))
@pytest.mark.parametrize("clamp", ["Relu", "Clip"])
@pytest.mark.parametrize("kind", ["MatMul", "MatMul+Add", "Gemm"])
def test_they_become_integer_kernels(
    tmp_path: Path, kind: str, clamp: str, activation_type: QuantType
) -> None:
    options = static(activation_type=activation_type, per_channel=True)
    source = product(kind, clamp).save(tmp_path)
    result = quantize(source, BATCHES, options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert sum(found[name] for name in INTEGER) == 1, found
    assert not {"Gemm", "FusedGemm", "MatMul"} & set(found)
    assert result.warned <= {"CODES_UNUSED"}
    assert sqnr_db(run(source, BATCHES[0])[0], run(result.path, BATCHES[0])[0]) > 30


@pytest.mark.parametrize("kind", ["MatMul", "MatMul+Add", "Gemm"])
def test_a_clamp_that_was_excluded_stays_float(tmp_path: Path, kind: str) -> None:
    options = static(selection=NodeSelection(nodes_to_exclude=("clamp",)))
    source = product(kind, "Relu").save(tmp_path)
    result = quantize(source, BATCHES, options, tmp_path / "job")
    assert sum(kernels(result.path, tmp_path)[name] for name in INTEGER) == 1
    assert result.states()["clamp"] == "EXCLUDED"
    assert sqnr_db(run(source, BATCHES[0])[0], run(result.path, BATCHES[0])[0]) > 30


def test_a_clip_with_computed_bounds_holds(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 32])
    b.node("MatMul", ["x", b.weight("w", 32, 16)], "m")
    b.node("ReduceMean", ["x"], "mean", keepdims=0)
    b.node("Clip", ["m", "mean"], "clamped")
    b.node("Softplus", ["clamped"], "y")
    b.output("y", ["N", 16])
    source = b.save(tmp_path)
    result = quantize(source, BATCHES, static(), tmp_path / "job")
    reference, found = run(source, BATCHES[0])[0], run(result.path, BATCHES[0])[0]
    assert sqnr_db(reference, found) > 30
    assert found.min() >= reference.min() - 0.02


def test_a_clamp_at_the_end_needs_no_quantization(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 32])
    b.node("MatMul", ["x", b.weight("w", 32, 16)], "m")
    b.node("Relu", ["m"], "y")
    b.output("y", ["N", 16])
    source = b.save(tmp_path)
    result = quantize(source, BATCHES, static(), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert found["MatMulIntegerToFloat"] == 1
    assert found["QuantizeLinear"] == 1
    np.testing.assert_array_less(-1e-6, run(result.path, BATCHES[0])[0])
