"""Sigmoid and Softmax: their results lie in 0..1, and are quantized by where they do lie."""

from pathlib import Path

import numpy as np
import pytest
from support.engine import kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import (
    CalibrationMethod,
    ParameterSource,
    QuantFormat,
    QuantType,
    StaticOptions,
    WeightOptions,
)

IMAGES = normal_batches({"x": (2, 3, 8, 8)})


def gate(op_type: str) -> GraphBuilder:
    """A convolution, of which values near 0.01 are made, and a convolution of these."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    bias = b.constant("bias", np.full(64, -4.5, np.float32))
    b.node("Conv", ["x", b.weight("w", 64, 3, 3, 3, scale=0.05), bias], "a", pads=[1, 1, 1, 1])
    more = {"axis": 1} if op_type == "Softmax" else {}
    b.node(op_type, ["a"], "s", **more)
    b.conv("s", "y", 64, 8, bias=False)
    b.output("y")
    return b


@pytest.mark.parametrize("op_type", ["Sigmoid", "Softmax"])
@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_small_values_keep_their_resolution(
    tmp_path: Path, op_type: str, method: CalibrationMethod
) -> None:
    source = gate(op_type).save(tmp_path)
    result = quantize(source, IMAGES, StaticOptions(calibrate_method=method), tmp_path / "job")
    (gated,) = (t for t in result.report.plan.tensors if t.name == "s")
    assert gated.source is ParameterSource.CALIBRATED
    assert gated.scale is not None
    assert gated.scale < 0.1 / 255
    reference = run(source, IMAGES[0])[0]
    for optimize in (True, False):
        assert sqnr_db(reference, run(result.path, IMAGES[0], optimize=optimize)[0]) > 30


@pytest.mark.parametrize("op_type", ["Sigmoid", "Softmax"])
@pytest.mark.parametrize("kind", list(QuantType))
@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOPERATOR])
def test_integer_kernels_take_any_scale(
    tmp_path: Path, op_type: str, kind: QuantType, form: QuantFormat
) -> None:
    options = StaticOptions(
        activation_type=kind, weight=WeightOptions(quant_type=QuantType.QINT8), quant_format=form
    )
    source = gate(op_type).save(tmp_path)
    result = quantize(source, IMAGES, options, tmp_path / "job")
    assert kernels(result.path, tmp_path)[f"QLinear{op_type}"] == 1
    reference = run(source, IMAGES[0])[0]
    for optimize in (True, False):
        assert sqnr_db(reference, run(result.path, IMAGES[0], optimize=optimize)[0]) > 25
