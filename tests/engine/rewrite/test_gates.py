"""Hard-swish between integer kernels is an integer kernel itself."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import Quantized, kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, clip_bounds, normal_batches

from zeropoint.engine import (
    AccuracyMode,
    AccuracyOptions,
    NodeSelection,
    Options,
    QuantFormat,
    QuantType,
    TensorQuantOverride,
)

IMAGES = normal_batches({"x": (1, 3, 12, 12)}, count=4)
FLOATS = ("HardSwish", "HardSigmoid", "Mul", "Add", "Sigmoid")


def network(gain: float = 4.0, *, written_out: bool = False) -> GraphBuilder:
    """Conv, hard-swish, Conv; what hard-swish reads is spread by `gain`."""
    b = GraphBuilder(14)
    b.input("x", [1, 3, 12, 12])
    b.node("Conv", ["x", b.weight("w", 8, 3, 3, 3, scale=0.2 * gain)], "c", name="first")
    if written_out:
        b.node("Add", ["c", b.constant("three", np.array(3, np.float32))], "shifted")
        b.node("Clip", ["shifted", *clip_bounds(b, 0, 6)], "ramp")
        b.node("Mul", ["c", "ramp"], "product")
        b.node("Div", ["product", b.constant("six", np.array(6, np.float32))], "h", name="gate")
    else:
        b.node("HardSwish", ["c"], "h", name="gate")
    b.node("Conv", ["h", b.weight("v", 8, 8, 3, 3)], "y", name="last")
    b.output("y")
    return b


def quantized(b: GraphBuilder, folder: Path, options: Options) -> Quantized:
    return quantize(b.save(folder), IMAGES, options, folder / "job")


def floats(result: Quantized, folder: Path) -> set[str]:
    return set(kernels(result.path, folder)) & set(FLOATS)


@pytest.mark.parametrize("written_out", [False, True])
@pytest.mark.parametrize("gain", [0.3, 1.0, 4.0, 30.0])
def test_no_float_kernel_is_left(tmp_path: Path, gain: float, written_out: bool) -> None:
    result = quantized(network(gain, written_out=written_out), tmp_path, static())
    found = kernels(result.path, tmp_path)
    assert not set(found) & set(FLOATS), found
    assert (found["QLinearConv"], found["QLinearMul"]) == (2, 1), found
    assert found["DequantizeLinear"] == found["QuantizeLinear"] == 1, found
    assert set(result.states().values()) == {"quantized"}
    reference, other = (run(path, IMAGES[0])[0] for path in (result.source, result.path))
    assert sqnr_db(reference, other) > 32
    plain = run(result.path, IMAGES[0], optimize=False)[0]
    assert sqnr_db(reference, plain) > 32


def given_grids(scale: float, zero_point: int, *named: str) -> Options:
    overrides = tuple(
        TensorQuantOverride(tensor_name=name, scale=(step,), zero_point=(zero,))
        for name, step, zero in (("c", scale, zero_point), ("h", 0.0613, 7))
    )
    selection = NodeSelection(nodes_to_quantize=named)
    as_asked = AccuracyOptions(mode=AccuracyMode.OFF)
    return static(selection=selection, tensor_quant_overrides=overrides, accuracy=as_asked)


@pytest.mark.parametrize(
    ("scale", "zero_point", "decibels"),
    [
        (3 / 40, 128, 80),  # the same codes
        (3 / 40, 40, 80),
        (3 / 40.4, 128, 35),  # bends between codes
        (3 / 40, 30, 35),  # a table: nothing below -3 is left out, and more than 3 is seen
        (3 / 200, 130, 35),  # a table, all of it on the slope
    ],
)
def test_codes_are_those_of_the_float_function(
    tmp_path: Path, scale: float, zero_point: int, decibels: float
) -> None:
    result = quantized(network(), tmp_path, given_grids(scale, zero_point))
    assert not floats(result, tmp_path)
    named = (node.name for node in network().nodes)
    float_path = tmp_path / "float"
    float_path.mkdir()
    pairs = quantized(network(), float_path, given_grids(scale, zero_point, *named))
    assert floats(pairs, tmp_path) == {"HardSigmoid", "Mul"}
    for batch in IMAGES:
        expected, found = (run(path, batch)[0] for path in (pairs.path, result.path))
        assert sqnr_db(expected, found) > decibels


def test_a_range_ends_where_nothing_passes(tmp_path: Path) -> None:
    tensors = quantized(network(), tmp_path, static()).report.plan.tensors
    (data,) = (tensor for tensor in tensors if tensor.name == "c")
    assert data.low == pytest.approx(-3)
    assert data.scale is not None
    assert 3 / data.scale == pytest.approx(data.zero_point, rel=1e-6)


def test_what_others_read_keeps_its_range(tmp_path: Path) -> None:
    b = network()
    b.node("MaxPool", ["c"], "pooled", kernel_shape=[2, 2])
    b.node("Conv", ["pooled", b.weight("u", 8, 8, 1, 1)], "z")
    b.output("z")
    result = quantized(b, tmp_path, static())
    (data,) = (tensor for tensor in result.report.plan.tensors if tensor.name == "c")
    assert data.low is not None
    assert data.low < -8
    assert not floats(result, tmp_path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (static(activation_type=QuantType.QINT8), set()),
        (static(quant_format=QuantFormat.QOPERATOR), set()),
        (static(quant_format=QuantFormat.INTEGER_OPS), {"Mul"}),  # ConvInteger gives floats
        (
            static(activation_type=QuantType.QINT8, keep_activation_type=True),
            {"HardSigmoid", "Mul"},
        ),
        (
            static(selection=NodeSelection(nodes_to_exclude=("gate",))),
            {"HardSigmoid", "Mul"},
        ),
        (
            static(selection=NodeSelection(op_types_to_quantize=("Conv", "HardSwish"))),
            {"HardSigmoid", "Mul"},
        ),
    ],
)
def test_forms_and_types(tmp_path: Path, options: Options, expected: set[str]) -> None:
    result = quantized(network(), tmp_path, options)
    assert floats(result, tmp_path) == expected
    reference, other = (run(path, IMAGES[0])[0] for path in (result.source, result.path))
    assert sqnr_db(reference, other) > 30


def test_what_users_read_is_computed_in_float(tmp_path: Path) -> None:
    b = network()
    b.nodes.pop()
    b.outputs.clear()
    b.output("h")
    result = quantized(b, tmp_path, static())
    assert "HardSwish" in {node.op_type for node in onnx.load(result.path).graph.node}


def test_squeeze_and_excite_and_a_sum_stay_on_integers(tmp_path: Path) -> None:
    b = network(written_out=True)
    b.nodes.pop()
    b.outputs.clear()
    b.node("GlobalAveragePool", ["h"], "means")
    b.node("Conv", ["means", b.weight("w1", 8, 8, 1, 1), b.weight("b1", 8)], "squeezed")
    b.node("HardSigmoid", ["squeezed"], "ratio", alpha=0.2)
    b.node("Mul", ["h", "ratio"], "excited")
    b.node("Conv", ["excited", b.weight("w2", 8, 8, 1, 1)], "d")
    b.node("Add", ["d", "h"], "sum")
    b.node("Conv", ["sum", b.weight("w3", 8, 8, 1, 1)], "y")
    b.output("y")
    result = quantized(b, tmp_path, static())
    found = kernels(result.path, tmp_path)
    assert not set(found) & set(FLOATS), found
    assert (found["QLinearMul"], found["QLinearAdd"], found["QLinearConv"]) == (2, 1, 4)
    reference, other = (run(path, IMAGES[0])[0] for path in (result.source, result.path))
    assert sqnr_db(reference, other) > 30
