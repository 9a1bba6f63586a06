"""Weights whose type nobody named have the numbers of uint8 codes, and are stored as int8."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from support.engine import kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches, residual

from zeropoint.engine import (
    DynamicOptions,
    NodeSelection,
    Options,
    QuantFormat,
    QuantType,
    StaticOptions,
    WeightOptions,
)

IMAGES = (1, 3, 16, 16)


def depthwise() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", [1, 3, 16, 16])
    data = b.node("Relu", [b.conv("x", "first", 3, 16)], "r")
    weight = b.constant("dw", (b.rng.random((16, 1, 3, 3)) * 0.4 - 0.1).astype(np.float32))
    data = b.node("Conv", [data, weight, b.weight("dw_b", 16)], "d", group=16, pads=[1] * 4)
    b.conv(data, "y", 16, 4)
    b.output("y")
    return b


def products() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", [8, 32])
    data = b.node("MatMul", ["x", b.weight("m", 32, 32)], "a")
    data = b.node("Tanh", [data], "t")
    b.node("Gemm", [data, b.weight("g", 16, 32), b.weight("c", 16)], "y", transB=1)
    b.output("y")
    return b


def lstm() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", [5, 1, 16])
    read = ["x", b.weight("w", 1, 64, 16), b.weight("r", 1, 64, 16), b.weight("b", 1, 128)]
    b.node("LSTM", read, "y", hidden_size=16)
    b.output("y")
    return b


CASES = {
    "residual": (residual, (2, 3, 16, 16)),
    "depthwise": (depthwise, IMAGES),
    "products": (products, (8, 32)),
    "lstm": (lstm, (5, 1, 16)),
}
CONVOLVING = NodeSelection(op_types_to_quantize=("Conv", "Gemm", "MatMul", "LSTM"))


def options(kind: str, weight: WeightOptions) -> Options:
    if kind == "dynamic":
        return DynamicOptions(weight=weight, selection=CONVOLVING)
    return StaticOptions(weight=weight, quant_format=QuantFormat(kind))


def types(model: onnx.ModelProto) -> set[np.dtype[np.generic]]:
    """Return the 8-bit types of the constants that are no zero points."""
    arrays = (numpy_helper.to_array(v) for v in model.graph.initializer)
    return {a.dtype for a in arrays if a.dtype.itemsize == 1 and a.size > 64}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["QDQ", "QOperator", "IntegerOps", "dynamic"])
@pytest.mark.parametrize("name", CASES)
def test_they_give_what_uint8_weights_give(
    tmp_path: Path, name: str, kind: str, per_channel: bool
) -> None:
    make, shape = CASES[name]
    source, batches = make().save(tmp_path), normal_batches({"x": shape}, 4)
    found = quantize(
        source, batches, options(kind, WeightOptions(per_channel=per_channel)), tmp_path / "found"
    )
    weight = WeightOptions(quant_type=QuantType.QUINT8, per_channel=per_channel)
    named = quantize(source, batches, options(kind, weight), tmp_path / "named")
    for optimize in (False, True):
        one, other = (
            run(result.path, batches[0], optimize=optimize)[0] for result in (found, named)
        )
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert [k.integer for k in found.report.verification.kernels] == [
        k.integer for k in named.report.verification.kernels
    ]
    convolving = name in ("residual", "depthwise") and kind in ("IntegerOps", "dynamic")
    if not convolving:  # ConvInteger is fast with uint8 alone
        assert types(found.model) == {np.dtype(np.int8)}
    assert types(named.model) == {np.dtype(np.uint8)}


@pytest.mark.parametrize("per_channel", [False, True])
def test_seven_bits_do_not_saturate_as_int8(tmp_path: Path, per_channel: bool) -> None:
    weight = WeightOptions(reduce_range=True, per_channel=per_channel)
    batches = normal_batches({"x": IMAGES}, 4)
    source = depthwise().save(tmp_path)
    result = quantize(source, batches, StaticOptions(weight=weight), tmp_path / "job")
    codes = [
        numpy_helper.to_array(v)
        for v in result.model.graph.initializer
        if v.name.endswith("_quantized") and numpy_helper.to_array(v).dtype == np.int8
    ]
    assert len(codes) == 3
    assert all(np.abs(array.astype(int)).max() <= 64 for array in codes)
    assert kernels(result.path, tmp_path)["QLinearConv"] == 3
    assert sqnr_db(run(source, batches[0])[0], run(result.path, batches[0])[0]) > 25
