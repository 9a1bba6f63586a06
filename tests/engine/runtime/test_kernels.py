"""Integer kernels are counted in the graph that ONNX Runtime itself makes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from support.graphs import GraphBuilder
from support.quantized import CLASSIFIER_NODES, classifier, fake_quantized, stored

from zeropoint.engine.report import KernelCount
from zeropoint.engine.runtime import IntegerKernels, Session, count_integer_kernels


def _count(b: GraphBuilder, nodes: Mapping[str, str], folder: Path) -> IntegerKernels:
    optimized = folder / "optimized.onnx"
    Session(b.save(folder), optimized=optimized)
    return count_integer_kernels(optimized, nodes)


def _product(kind: str, *, output_codes: bool = True, bias: bool = False) -> GraphBuilder:
    """A MatMul or Gemm named "product" between codes."""
    b = GraphBuilder()
    data = fake_quantized(b, b.input("x", ["N", 16]), 0.02)
    weight = stored(b, "w", b.rng.standard_normal((16, 8)))
    value = b.node(kind, [data, weight], "y", name="product")
    if bias:
        bias_value = stored(b, "b", b.rng.standard_normal(8), bits=32, scale=1e-4)
        value = b.node("Add", [value, bias_value], "y_plus", name="bias")
    b.output(fake_quantized(b, value, 0.1) if output_codes else value)
    return b


def test_a_quantized_model_runs_on_integers(tmp_path: Path) -> None:
    found = _count(classifier(quantized=True), CLASSIFIER_NODES, tmp_path)
    assert found.counts == (
        KernelCount(op_type="Conv", nodes=1, integer=1),
        KernelCount(op_type="MatMul", nodes=1, integer=1),
    )
    assert found.float_nodes == ()


def test_a_float_model_does_not(tmp_path: Path) -> None:
    found = _count(classifier(quantized=False), CLASSIFIER_NODES, tmp_path)
    assert [count.integer for count in found.counts] == [0, 0]
    assert found.float_nodes == ("conv", "head")


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
@pytest.mark.parametrize("output_codes", [True, False])
def test_products_keep_their_name_through_fusion(
    kind: str, output_codes: bool, tmp_path: Path
) -> None:
    found = _count(_product(kind, output_codes=output_codes), {"product": kind}, tmp_path)
    assert found.counts == (KernelCount(op_type=kind, nodes=1, integer=1),)
    assert found.float_nodes == ()


def test_a_product_that_is_fused_with_its_bias_keeps_its_name(tmp_path: Path) -> None:
    found = _count(_product("MatMul", bias=True), {"product": "MatMul"}, tmp_path)
    assert found.counts[0].integer == 1


def test_a_node_that_stays_float_among_codes_is_named(tmp_path: Path) -> None:
    """ONNX Runtime has integer Conv only with a quantized output, and no ConvTranspose at all."""
    b = GraphBuilder()
    data = fake_quantized(b, b.input("x", [1, 4, 8, 8]), 0.02)
    weight = stored(b, "w", b.rng.standard_normal((4, 4, 3, 3)))
    up = b.node("ConvTranspose", [data, weight], "up", name="up")
    b.output(b.node("Conv", [fake_quantized(b, up, 0.1), weight], "y", name="last"))
    found = _count(b, {"up": "ConvTranspose", "last": "Conv"}, tmp_path)
    assert found.counts == (
        KernelCount(op_type="Conv", nodes=1, integer=0),
        KernelCount(op_type="ConvTranspose", nodes=1, integer=0),
    )
    assert found.float_nodes == ("up", "last")


def _dynamic(names: list[str]) -> GraphBuilder:
    """Products of one input on integers that are found as the model runs."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    outputs = ["codes", "scale", "zero_point"]
    b.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], outputs))
    for index, name in enumerate(names):
        codes = b.constant(f"w{index}", b.rng.integers(-90, 90, (16, 8)).astype(np.int8))
        scale = b.constant(f"s{index}", np.array(0.01 * (index + 1), np.float32))
        product = b.node("MatMulInteger", ["codes", codes, "zero_point"], f"i{index}", name=name)
        value = b.node("Cast", [product], f"f{index}", to=1)
        b.output(b.node("Mul", [value, b.node("Mul", ["scale", scale], f"m{index}")], f"y{index}"))
    return b


def test_dynamic_integers_are_found_by_the_name_they_were_derived_from(tmp_path: Path) -> None:
    b = _dynamic(["a_MatMulInteger", "b_MatMulInteger_1"])
    found = _count(b, {"a": "MatMul", "b": "Gemm", "c": "MatMul"}, tmp_path)
    assert found.counts == (
        KernelCount(op_type="Gemm", nodes=1, integer=1),
        KernelCount(op_type="MatMul", nodes=2, integer=1),
    )
    assert found.float_nodes == ("c",)


def test_kernels_without_a_known_name_are_counted_but_accuse_nobody(tmp_path: Path) -> None:
    b = _dynamic(["", "a"])
    found = _count(b, {"a": "MatMul", "b": "MatMul", "c": "MatMul", "d": "Conv"}, tmp_path)
    assert found.counts == (
        KernelCount(op_type="Conv", nodes=1, integer=0),
        KernelCount(op_type="MatMul", nodes=3, integer=2),
    )
    assert found.float_nodes == ("d",)


def test_there_are_never_more_integer_kernels_than_nodes(tmp_path: Path) -> None:
    found = _count(_dynamic(["x1", "x2", "x3"]), {"a": "MatMul"}, tmp_path)
    assert found.counts == (KernelCount(op_type="MatMul", nodes=1, integer=1),)
