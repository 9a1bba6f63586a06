"""Operators that keep integer kernels joined: no float kernel, and no conversion, in between."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.engine import Quantized, kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import ParameterSource, QuantType

IMAGES = normal_batches({"x": (2, 3, 8, 8)})


def whole(b: GraphBuilder, *numbers: int) -> str:
    return b.constant(f"numbers_{len(b.initializers)}", np.array(numbers, np.int64))


def gather(b: GraphBuilder) -> str:
    return b.node("Gather", ["a", whole(b, 1, 0, 3, 7, 5, 2)], "o", axis=1)


def gather_elements(b: GraphBuilder) -> str:
    indices = b.rng.integers(0, 8, (2, 8, 8, 8))
    return b.node("GatherElements", ["a", b.constant("i", indices)], "o", axis=1)


def depth_to_space(b: GraphBuilder) -> str:
    return b.node("DepthToSpace", ["a"], "o", blocksize=2)


def expand(b: GraphBuilder) -> str:
    b.node("ReduceMax", ["a"], "m", axes=[2, 3])
    return b.node("Expand", ["m", whole(b, 2, 8, 5, 5)], "o")


def tile(b: GraphBuilder) -> str:
    return b.node("Tile", ["a", whole(b, 1, 1, 2, 1)], "o")


def reduce_max(b: GraphBuilder) -> str:
    return b.node("ReduceMax", ["a"], "o", axes=[3])


def reduce_min(b: GraphBuilder) -> str:
    return b.node("ReduceMin", ["a"], "o", axes=[2])


def split(b: GraphBuilder) -> str:
    b.node("Split", ["a", whole(b, 4, 4)], "o1", axis=1)
    b.nodes[-1].output.append("o2")
    return b.node("Concat", ["o2", "o1"], "o", axis=1)


def softmax(b: GraphBuilder) -> str:
    return b.node("Softmax", ["a"], "o", axis=1)


def where(b: GraphBuilder) -> str:
    mask = b.constant("mask", b.rng.random((8, 8)) > 0.5)
    return b.node("Where", [mask, "a", b.conv("x", "c", 3, 8)], "o")


def where_constant(b: GraphBuilder) -> str:
    mask = b.constant("mask", b.rng.random((8, 8)) > 0.5)
    return b.node("Where", [mask, "a", b.constant("half", np.array(0.5, np.float32))], "o")


def between(make: Callable[[GraphBuilder], str], channels: int = 8) -> GraphBuilder:
    """What `make` adds behind a convolution `a` [N, 8, 8, 8], and a convolution behind it."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    b.conv("x", "a", 3, 8)
    b.conv(make(b), "y", channels, 8)
    b.output("y")
    return b


@pytest.mark.parametrize(
    ("make", "channels", "kernel"),
    [
        (gather, 6, "Gather"),
        (gather_elements, 8, "GatherElements"),
        (depth_to_space, 2, "DepthToSpace"),
        (expand, 8, "Expand"),
        (tile, 8, "Tile"),
        (reduce_max, 8, "ReduceMax"),
        (reduce_min, 8, "ReduceMin"),
        (split, 8, "Split"),
        (softmax, 8, "QLinearSoftmax"),
        (where, 8, "QLinearWhere"),
        (where_constant, 8, "QLinearWhere"),
    ],
)
@pytest.mark.parametrize("activation_type", list(QuantType))
def test_integers_pass_between_convolutions(
    tmp_path: Path,
    make: Callable[[GraphBuilder], str],
    channels: int,
    kernel: str,
    activation_type: QuantType,
) -> None:
    b = between(make, channels)
    source = b.save(tmp_path)
    options = static(per_channel=True, activation_type=activation_type)
    result = quantize(source, IMAGES, options, tmp_path / "job")
    reference, other = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert sqnr_db(reference, other) > 20
    if activation_type.signed and kernel == "QLinearWhere":
        return  # ONNX Runtime gives up on int8 that two nodes read, or that is constant
    found = kernels(result.path, tmp_path)
    assert found[kernel] == 1
    assert found["QLinearConv"] == sum(node.op_type == "Conv" for node in b.nodes)
    assert found["QuantizeLinear"] == 1, "only the input is quantized"
    assert found["DequantizeLinear"] == 1, "only the output is float"


def states(make: Callable[[GraphBuilder], str], folder: Path) -> Quantized:
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    b.conv("x", "a", 3, 8)
    b.output(make(b))
    return quantize(b.save(folder), IMAGES, static(), folder / "job")


@pytest.mark.parametrize("make", [gather, tile, softmax, where])
def test_what_no_integer_kernel_reads_stays_float(
    tmp_path: Path, make: Callable[[GraphBuilder], str]
) -> None:
    result = states(make, tmp_path)
    found = result.states()
    assert [found[name] for name in found if name.endswith("_o")] == ["NO_INTEGER_NEIGHBOUR"]


def test_parts_of_a_split_inherit_its_parameters(tmp_path: Path) -> None:
    source = between(split).save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    found = {t.name: t for t in result.report.plan.tensors}
    for name in ("o1", "o2"):
        assert found[name].source is ParameterSource.INHERITED
        assert found[name].scale == found["a"].scale


def test_a_part_that_nobody_reads(tmp_path: Path) -> None:
    def half(b: GraphBuilder) -> str:
        b.node("Split", ["a", whole(b, 4, 4)], "o1", axis=1)
        b.nodes[-1].output.append("o2")
        return "o2"

    source = between(half, 4).save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    reference, other = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert sqnr_db(reference, other) > 20


@pytest.mark.parametrize("number", [-np.inf, -3e38, -1e9])
def test_a_number_that_masks_is_no_data(tmp_path: Path, number: float) -> None:
    def masked(b: GraphBuilder) -> str:
        mask = b.constant("mask", b.rng.random((8, 8)) > 0.5)
        b.node("Where", [mask, "a", b.constant("off", np.array(number, np.float32))], "m")
        return b.node("Softmax", ["m"], "o", axis=3)

    source = between(masked).save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    assert result.states()["where_m"] == "NO_INTEGER_FORM"
    reference, other = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert sqnr_db(reference, other) > 20


@pytest.mark.parametrize("filled_in", [0.0, 5.0])
def test_a_resize_that_fills_in_a_value_shares_no_range(tmp_path: Path, filled_in: float) -> None:
    """What lies outside of its data has a value of its own, which their codes need not reach."""

    def cropped(b: GraphBuilder) -> str:
        roi = b.constant("roi", np.array([0, 0, -0.5, -0.5, 1, 1, 1.2, 1.2], np.float32))
        scales = b.constant("scales", np.array([1, 1, 2, 2], np.float32))
        return b.node(
            "Resize",
            ["a", roi, scales],
            "o",
            mode="nearest",
            coordinate_transformation_mode="tf_crop_and_resize",
            extrapolation_value=filled_in,
        )

    source = between(cropped).save(tmp_path)
    result = quantize(source, IMAGES, static(), tmp_path / "job")
    assert result.states()["resize_o"] == "NO_INTEGER_FORM"
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 25
