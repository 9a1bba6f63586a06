"""The numbers of onnxruntime.quantization 1.32, where that tool is right."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime import quantization as ort_quantization
from support.engine import Feeds, quantize
from support.graphs import Array, GraphBuilder, normal_batches

from zeropoint.engine import QuantType, StaticOptions, WeightOptions

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
    ort_quantization.quantize_static(
        source,
        tmp_path / "theirs.onnx",
        Reader(),
        activation_type=TYPES[activation_type],
        weight_type=TYPES[weight_type],
        per_channel=per_channel,
        reduce_range=reduce_range,
        extra_options={"ActivationSymmetric": symmetric},
    )
    theirs = constants(tmp_path / "theirs.onnx")
    for weight in ("c1_w", "y_w"):
        for part in ("scale", "zero_point", "quantized"):
            mine, other = ours[f"{weight}_{part}"], theirs[f"{weight}_{part}"]
            if reduce_range and weight_type is QuantType.QUINT8:
                # There 7-bit codes can reach 128.
                other = np.minimum(other, 127) if part == "quantized" else other
            np.testing.assert_array_equal(mine, other)
    # Calibration runs optimized here and unoptimized there, so the last bits may differ.
    np.testing.assert_array_equal(ours["x_scale"], theirs["x_scale"])
    for tensor in ("x", "r1", "y"):
        np.testing.assert_allclose(ours[f"{tensor}_scale"], theirs[f"{tensor}_scale"], rtol=1e-5)
        np.testing.assert_array_equal(ours[f"{tensor}_zero_point"], theirs[f"{tensor}_zero_point"])
