"""What ONNX Runtime fuses of the float nodes around integer kernels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.engine import dynamic, kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import DynamicOptions, Options, StaticOptions

ROWS = normal_batches({"x": (2, 5, 8)})
IMAGES = normal_batches({"x": (2, 3, 8, 8)})


def number(b: GraphBuilder, value: float) -> str:
    return b.constant(f"number_{len(b.initializers)}", np.array(value, np.float32))


def gelu(b: GraphBuilder, data: str, output: str) -> str:
    b.node("Erf", [b.node("Div", [data, number(b, np.sqrt(2))], "scaled")], "erf")
    b.node("Mul", [data, b.node("Add", ["erf", number(b, 1)], "shifted")], "product")
    return b.node("Mul", ["product", number(b, 0.5)], output)


def normalization(b: GraphBuilder, data: str, output: str) -> str:
    b.node("Sub", [data, b.node("ReduceMean", [data], "mean", axes=[-1])], "centred")
    b.node("Pow", ["centred", number(b, 2)], "squares")
    b.node("Add", [b.node("ReduceMean", ["squares"], "variance", axes=[-1]), number(b, 1e-5)], "v")
    b.node("Div", ["centred", b.node("Sqrt", ["v"], "deviation")], "normal")
    b.node(
        "Mul", ["normal", b.constant("gain", np.linspace(0.5, 2, 8, dtype=np.float32))], "scaled"
    )
    return b.node("Add", ["scaled", b.constant("shift", np.ones(8, np.float32))], output)


@pytest.mark.parametrize(("make", "fused"), [(gelu, "Gelu"), (normalization, "LayerNormalization")])
@pytest.mark.parametrize("per_channel", [False, True])
def test_what_reads_a_tensor_twice_is_fused(
    tmp_path: Path,
    make: Callable[[GraphBuilder, str, str], str],
    fused: str,
    per_channel: bool,
) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    b.conv(make(b, b.conv("x", "a", 3, 8), "o"), "y", 8, 8)
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, IMAGES, static(per_channel=per_channel), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert (found["QLinearConv"], found[fused], found["Div"]) == (2, 1, 0), found
    assert found["DequantizeLinear"] <= 2, found  # behind both convolutions
    reference, other = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert sqnr_db(reference, other) > 25
    plain = run(result.path, IMAGES[0], optimize=False)[0]
    assert sqnr_db(reference, plain) > 25


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("options", [static(), dynamic()], ids=["static", "dynamic"])
def test_a_sum_and_its_normalization_stay_two_kernels(
    tmp_path: Path, options: Options, whole: bool
) -> None:
    """The one for both is several times slower."""
    b = GraphBuilder(17)
    b.input("x", [2, 5, 8])
    b.node("Add", ["x", b.node("MatMul", ["x", b.weight("w", 8, 8)], "m")], "a")
    if whole:
        gain = b.constant("gain", np.linspace(0.5, 2, 8, dtype=np.float32))
        b.node("LayerNormalization", ["a", gain], "n")
    else:
        normalization(b, "a", "n")
    b.node("MatMul", ["n", b.weight("u", 8, 8)], "y")
    b.output("y")
    source = b.save(tmp_path)
    assert kernels(source, tmp_path)["SkipLayerNormalization"] == 1
    result = quantize(source, ROWS, options, tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert (found["SkipLayerNormalization"], found["LayerNormalization"]) == (0, 1), found
    assert sqnr_db(run(source, ROWS[0])[0], run(result.path, ROWS[0])[0]) > 25


def test_a_sum_of_products_has_no_float_kernel(tmp_path: Path) -> None:
    """Product and Add would be a Gemm with a computed bias, which is float."""
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("MatMul", ["x", b.weight("w", 8, 8)], "m")
    b.node("MatMul", [b.node("Tanh", ["x"], "t"), b.weight("v", 8, 8)], "n")
    b.node("Tanh", [b.node("Add", ["m", "n"], "s")], "y")
    b.output("y")
    batches = normal_batches({"x": (5, 8)})
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    assert (found["MatMulIntegerToFloat"], found["Gemm"], found["MatMul"]) == (2, 0, 0), found
    assert [k.integer for k in result.report.verification.kernels] == [2]


MISFITS: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "a product with a vector": ((3, 4), (4,), (3,)),
    "a product with a vector, square": ((4, 4), (4,), (4,)),
    "a batch of products with a vector": ((2, 3, 4), (4,), (3,)),
    "a column": ((3, 4), (4, 1), (5,)),
    "a row that gives the product an axis": ((3, 4), (4, 5), (1, 1, 5)),
    "a row that gives a vector an axis": ((4,), (4, 5), (1, 5)),
}


@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()], ids=["static", "dynamic"])
@pytest.mark.parametrize("constant_first", [False, True])
@pytest.mark.parametrize("case", MISFITS)
def test_what_is_no_bias_is_added_behind_the_product(
    tmp_path: Path, options: Options, constant_first: bool, case: str
) -> None:
    """ONNX Runtime makes any row a bias of its kernel, which refuses it or loses an axis."""
    data, weight, added = MISFITS[case]
    b = GraphBuilder(17)
    b.input("x", data)
    product, constant = b.node("MatMul", ["x", b.weight("w", *weight)], "m"), b.weight("b", *added)
    b.node("Add", [constant, product] if constant_first else [product, constant], "y")
    b.output("y")
    source, batches = b.save(tmp_path), normal_batches({"x": data})
    result = quantize(source, batches, options, tmp_path / "job")
    assert [k.integer for k in result.report.verification.kernels] == [1]
    reference, other = run(source, batches[0])[0], run(result.path, batches[0])[0]
    assert reference.shape == other.shape
    assert sqnr_db(reference, other) > 30
