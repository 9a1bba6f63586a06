"""The numbers of onnxruntime.quantization 1.32, where that tool is right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime import quantization as ort_quantization
from support.engine import Feeds, quantize
from support.graphs import Array, GraphBuilder, normal_batches
from support.unverified import quantize_unverified

from zeropoint.engine import QuantType, StaticOptions, TensorQuantOverride, WeightOptions

BATCHES = normal_batches({"x": (2, 3, 16, 16)})
TYPES = {
    QuantType.QUINT8: ort_quantization.QuantType.QUInt8,
    QuantType.QINT8: ort_quantization.QuantType.QInt8,
}


class Reader(ort_quantization.CalibrationDataReader):  # type: ignore[misc] # it is untyped
    def __init__(self) -> None:
        self._batches: Iterator[Feeds] = iter(BATCHES)

    def get_next(self) -> Feeds | None:
        return next(self._batches, None)


def convolutions() -> GraphBuilder:
    """What both tools quantize alike: convolutions with Relu between them."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 16, 16])
    b.node("Relu", [b.conv("x", "c1", 3, 8)], "r1")
    b.conv("r1", "y", 8, 4)
    b.output("y", ["N", 4, 16, 16])
    return b


def theirs(source: Path, folder: Path, extra: dict[str, Any], **options: Any) -> dict[str, Array]:
    """Constants of what 1.32 makes, by default with int8 weights and uint8 activations."""
    types = {"activation_type": TYPES[QuantType.QUINT8], "weight_type": TYPES[QuantType.QINT8]}
    path = folder / "theirs.onnx"
    ort_quantization.quantize_static(
        source, path, Reader(), extra_options=extra, **(types | options)
    )
    return constants(path)


def constants(path: Path) -> dict[str, Array]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("reduce_range", [False, True])
@pytest.mark.parametrize(
    ("activation_type", "weight_type", "symmetric"),
    [
        (QuantType.QUINT8, QuantType.QINT8, False),
        (QuantType.QINT8, QuantType.QINT8, True),
        (QuantType.QUINT8, QuantType.QUINT8, False),
    ],
)
def test_scales_zero_points_and_codes(
    tmp_path: Path,
    per_channel: bool,
    reduce_range: bool,
    activation_type: QuantType,
    weight_type: QuantType,
    symmetric: bool,
) -> None:
    source = convolutions().save(tmp_path)
    options = StaticOptions(
        activation_type=activation_type,
        activation_symmetric=symmetric,
        weight=WeightOptions(
            quant_type=weight_type, per_channel=per_channel, reduce_range=reduce_range
        ),
    )
    ours = constants(quantize(source, BATCHES, options, tmp_path / "job").path)
    other_tool = theirs(
        source,
        tmp_path,
        {"ActivationSymmetric": symmetric},
        activation_type=TYPES[activation_type],
        weight_type=TYPES[weight_type],
        per_channel=per_channel,
        reduce_range=reduce_range,
    )
    for weight in ("c1_w", "y_w"):
        for part in ("scale", "zero_point", "quantized"):
            mine, other = ours[f"{weight}_{part}"], other_tool[f"{weight}_{part}"]
            if not reduce_range or weight_type is QuantType.QINT8:
                np.testing.assert_array_equal(mine, other)
            elif part == "quantized":
                # There the zero point is rounded after the scale, and codes can reach 128.
                assert np.abs(mine.astype(int) - other.astype(int)).max() <= 2
                assert mine.max() <= 127
    # Calibration runs optimized here and unoptimized there, so the last bits may differ.
    np.testing.assert_array_equal(ours["x_scale"], other_tool["x_scale"])
    for tensor in ("x", "r1", "y"):
        np.testing.assert_allclose(
            ours[f"{tensor}_scale"], other_tool[f"{tensor}_scale"], rtol=1e-5
        )
        np.testing.assert_array_equal(
            ours[f"{tensor}_zero_point"], other_tool[f"{tensor}_zero_point"]
        )


@pytest.mark.parametrize("per_channel", [False, True])
def test_least_ranges(tmp_path: Path, per_channel: bool) -> None:
    """Six is wider than the ranges of the weights, and of what comes behind the Relu."""
    source = convolutions().save(tmp_path)
    weight = WeightOptions(
        quant_type=QuantType.QINT8, per_channel=per_channel, minimum_real_range=6.0
    )
    options = StaticOptions(weight=weight, minimum_real_range=6.0)
    ours = constants(quantize_unverified(source, BATCHES, options, tmp_path / "job").path)
    other_tool = theirs(source, tmp_path, {"MinimumRealRange": 6.0}, per_channel=per_channel)
    plain = theirs(source, tmp_path, {}, per_channel=per_channel)
    assert (other_tool["c1_w_scale"] > plain["c1_w_scale"]).all()
    assert other_tool["r1_scale"] > plain["r1_scale"]
    for name in ("c1_w", "y_w", "x", "r1"):
        for part in ("scale", "zero_point"):
            np.testing.assert_array_equal(ours[f"{name}_{part}"], other_tool[f"{name}_{part}"])


def test_restricted_zero_points(tmp_path: Path) -> None:
    source = convolutions().save(tmp_path)
    options = StaticOptions(
        activation_restricted_asymmetric=True, weight=WeightOptions(quant_type=QuantType.QINT8)
    )
    ours = constants(quantize_unverified(source, BATCHES, options, tmp_path / "job").path)
    other_tool = theirs(source, tmp_path, {"ActivationRestrictedAsymmetric": True})
    assert [ours[f"{name}_zero_point"] for name in ("x", "r1", "y")] == [128, 0, 128]
    np.testing.assert_array_equal(ours["x_scale"], other_tool["x_scale"])
    for name in ("x", "r1", "y"):
        np.testing.assert_allclose(ours[f"{name}_scale"], other_tool[f"{name}_scale"], rtol=1e-5)
        np.testing.assert_array_equal(ours[f"{name}_zero_point"], other_tool[f"{name}_zero_point"])


def test_overrides_of_tensors(tmp_path: Path) -> None:
    source = convolutions().save(tmp_path)
    mine = (
        TensorQuantOverride(tensor_name="x", scale=(0.05,), zero_point=(100,)),
        TensorQuantOverride(tensor_name="r1", rmin=(-0.5,), rmax=(3.0,)),
        TensorQuantOverride(tensor_name="y", symmetric=True),
        TensorQuantOverride(tensor_name="c1_w", axis=0, quant_type=QuantType.QUINT8),
        TensorQuantOverride(tensor_name="y_w", rmin=(-1.0,), rmax=(0.5,), symmetric=False),
    )
    options = StaticOptions(
        weight=WeightOptions(quant_type=QuantType.QINT8), tensor_quant_overrides=mine
    )
    ours = constants(quantize_unverified(source, BATCHES, options, tmp_path / "job").path)
    overrides = {
        "x": [{"scale": np.array(0.05, np.float32), "zero_point": np.array(100, np.uint8)}],
        "r1": [{"rmin": np.float32(-0.5), "rmax": np.float32(3.0)}],
        "y": [{"symmetric": True}],
        "c1_w": [{"axis": 0, "quant_type": TYPES[QuantType.QUINT8]}],
        "y_w": [{"rmin": -1.0, "rmax": 0.5, "symmetric": False}],
    }
    other_tool = theirs(source, tmp_path, {"TensorQuantOverrides": overrides})
    assert ours["c1_w_quantized"].dtype == np.uint8
    for name in ("x", "r1", "c1_w", "y_w"):
        for part in ("scale", "zero_point"):
            np.testing.assert_array_equal(ours[f"{name}_{part}"], other_tool[f"{name}_{part}"])
    for name in ("c1_w_quantized", "y_w_quantized"):
        np.testing.assert_array_equal(ours[name], other_tool[name])
    assert ours["y_zero_point"] == other_tool["y_zero_point"] == 128
    np.testing.assert_allclose(ours["y_scale"], other_tool["y_scale"], rtol=1e-5)
