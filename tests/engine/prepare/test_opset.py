"""Opsets are raised where needed, without a change of meaning."""

from pathlib import Path

import numpy as np
import pytest
from support.graphs import Array, GraphBuilder, residual
from support.preparing import agree, op_types, prepared, uniform

from zeropoint.engine.errors import ModelError


def old_style(opset: int) -> GraphBuilder:
    """A network with what changed most between opset 7 and 13."""
    b = GraphBuilder(opset)
    b.input("x", ["N", 3, 8, 8])
    figures = [b.weight(name, 4, scale=1.0) for name in ("scale", "shift", "mean")]
    variance = b.constant("variance", np.full(4, 0.7, np.float32))
    b.node("BatchNormalization", [b.conv("x", "c", 3, 4), *figures, variance], "n")
    if opset < 11:
        b.node("Clip", ["n"], "r", min=0.0, max=6.0)
        b.node("Pad", ["r"], "p", pads=[0, 0, 1, 1, 0, 0, 1, 1])
    else:
        low, high = (
            b.constant("low", np.array(0, np.float32)),
            b.constant("high", np.array(6, np.float32)),
        )
        b.node("Clip", ["n", low, high], "r")
        b.node("Pad", ["r", b.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))], "p")
    if opset < 10:
        b.node("Slice", ["p"], "s", axes=[2, 3], starts=[0, 1], ends=[9, 9])
    else:
        ends = [b.constant(f"slice_{k}", np.array(v)) for k, v in enumerate(([0, 1], [9, 9]))]
        b.node("Slice", ["p", *ends, b.constant("slice_axes", np.array([2, 3]))], "s")
    b.node("Dropout", ["s"], "d")
    b.node("ReduceSum", ["d"], "sum", axes=[2], keepdims=0)
    b.node("Unsqueeze", ["sum"], "u", axes=[2])
    b.node("Squeeze", ["u"], "q", axes=[2])
    b.node("Softmax", ["q"], "y", axis=2)
    b.output("y")
    return b


@pytest.mark.parametrize("opset", range(7, 13))
def test_old_opsets_are_raised(opset: int, tmp_path: Path) -> None:
    source = old_style(opset).save(tmp_path)
    result = prepared(source, tmp_path)
    assert result.opset == 13
    assert {"BatchNormalization", "Dropout", "Flatten"}.isdisjoint(op_types(result))
    assert op_types(result)[-1] == "Softmax"
    agree(source, result, {"x": uniform(0, 2, 3, 8, 8)})


def test_opsets_are_only_raised_where_needed(tmp_path: Path) -> None:
    assert prepared(old_style(11).save(tmp_path), tmp_path, min_opset=10).opset == 11


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_new_opsets_are_raised(opset: int, tmp_path: Path) -> None:
    source = residual(opset).save(tmp_path)
    result = prepared(source, tmp_path, min_opset=21)
    assert result.opset == 21
    assert [result.origins(node) for node in result.model.graph] == [
        (node.name,) for node in residual().nodes
    ]
    agree(source, result, {"x": uniform(0, 2, 3, 16, 16)})


def single(op_type: str, opset: int, inputs: list[Array], **attributes: object) -> GraphBuilder:
    """One node; the first input is fed, the others are constants."""
    b = GraphBuilder(opset)
    b.input("x", inputs[0].shape)
    names = [b.constant(f"c{number}", array) for number, array in enumerate(inputs[1:])]
    b.node(op_type, ["x", *names], "y", **attributes)
    b.output("y")
    return b


@pytest.mark.parametrize(("axis", "rank"), [(1, 2), (1, 4), (-1, 3), (2, 4), (0, 3)])
@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "Hardmax"])
def test_softmax_keeps_its_meaning(op_type: str, axis: int, rank: int, tmp_path: Path) -> None:
    x = uniform(0, *[2, 3, 4, 5][:rank])
    source = single(op_type, 12, [x], axis=axis).save(tmp_path)
    result = prepared(source, tmp_path)
    agree(source, result, {"x": x})
    last = axis in (-1, rank - 1)
    assert (result.opset, result.contrib_qdq) == (13, False)
    assert (op_types(result) == [op_type]) == last


@pytest.mark.parametrize("scales", [(2, 3), (1.7, 2.3), (0.77, 0.61), (2, 0.6)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("opset", [7, 9, 10])
def test_resizing_keeps_its_positions(
    scales: tuple[float, float], mode: str, opset: int, tmp_path: Path
) -> None:
    if opset < 10 and min(scales) < 1:
        scales = (1 / scales[1], 3.3)  # Upsample only enlarges
    x, factors = uniform(0, 1, 2, 11, 13), [1.0, 1.0, *scales]
    if opset == 7:
        b = single("Upsample", opset, [x], mode=mode, scales=factors)
    else:
        op_type = "Upsample" if opset == 9 else "Resize"
        b = single(op_type, opset, [x, np.array(factors, np.float32)], mode=mode)
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    agree(source, result, {"x": x})
    both_ways = mode == "nearest" and min(scales) < 1 < max(scales)
    assert result.contrib_qdq == both_ways
    assert result.opset == (opset if both_ways else 13)


def test_operators_that_cannot_be_converted_keep_the_opset(tmp_path: Path) -> None:
    x = uniform(0, 1, 3, 4, 4)
    figures = [uniform(number, 3, 4, 4) + 0.1 for number in range(1, 5)]
    source = single("BatchNormalization", 7, [x, *figures], spatial=0).save(tmp_path)
    result = prepared(source, tmp_path)
    assert (result.opset, result.contrib_qdq) == (7, True)
    agree(source, result, {"x": x})


def test_ancient_opsets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"opset 6.*Export it again") as caught:
        prepared(residual(6).save(tmp_path), tmp_path)
    assert caught.value.reason == "MODEL_UNSUPPORTED"


def test_models_that_do_not_run_are_refused_in_the_words_of_the_runtime(tmp_path: Path) -> None:
    b = residual()
    b.nodes[1].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="NoSuchOperator") as caught:
        prepared(b.save(tmp_path), tmp_path)
    assert caught.value.reason == "MODEL_NOT_RUNNABLE"
