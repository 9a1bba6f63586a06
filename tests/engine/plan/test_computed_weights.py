"""Layers whose weights are computed or fed: quantized like data where kernels take that."""

from pathlib import Path

import pytest
from support.engine import Array, dynamic, kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection, NothingToQuantize, QuantType, StaticOptions
from zeropoint.engine.options import WeightOptions

SHAPES = {
    "Conv": ((2, 4, 8, 8), (8, 4, 3, 3)),
    "Gemm": ((4, 16), (16, 8)),
    "MatMul": ((4, 16), (16, 8)),
}


def layer(op_type: str, *, bias: float | None, computed: bool) -> GraphBuilder:
    """A layer whose weight is an input, or computed of one."""
    b = GraphBuilder()
    data, weight = SHAPES[op_type]
    b.input("x", data)
    b.input("w", weight)
    read = ["x", b.node("Tanh", ["w"], "t") if computed else "w"]
    if bias is not None:
        read.append(b.weight("b", 8, scale=bias))
    b.node(op_type, read, "y", name="layer")
    b.output("y")
    return b


def batches(op_type: str) -> list[dict[str, Array]]:
    data, weight = SHAPES[op_type]
    return normal_batches({"x": data, "w": weight})


@pytest.mark.parametrize(
    ("op_type", "bias"),
    [("Conv", None), ("Conv", 0.2), ("Conv", 1e6), ("Gemm", None), ("Gemm", 0.2), ("MatMul", None)],
)
@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize(
    "types",
    [
        (QuantType.QUINT8, QuantType.QUINT8),
        (QuantType.QUINT8, QuantType.QINT8),
        (QuantType.QINT8, QuantType.QINT8),
    ],
)
def test_computed_weights_get_integer_kernels(
    tmp_path: Path, op_type: str, bias: float | None, computed: bool, types: tuple[QuantType, ...]
) -> None:
    source = layer(op_type, bias=bias, computed=computed).save(tmp_path)
    weight = WeightOptions(quant_type=types[1])
    options = StaticOptions(activation_type=types[0], weight=weight)
    result = quantize(source, batches(op_type), options, tmp_path / "job")
    assert result.states()["layer"] == "quantized"
    assert not kernels(result.path, tmp_path)[op_type]
    assert "FLOAT_KERNELS" not in {warning.code for warning in result.report.warnings}
    reference = run(source, batches(op_type)[0])[0]
    for optimize in (True, False):
        found = run(result.path, batches(op_type)[0], optimize=optimize)[0]
        assert sqnr_db(reference, found) > 28


def test_a_weight_that_others_read_has_the_type_of_data(tmp_path: Path) -> None:
    b = layer("Conv", bias=None, computed=True)
    b.output(b.node("Conv", ["x", "t"], "z", name="other"))
    options = StaticOptions(weight=WeightOptions(quant_type=QuantType.QINT8))
    result = quantize(b.save(tmp_path), batches("Conv"), options, tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2


@pytest.mark.parametrize(
    ("op_type", "advised"),
    [("Conv", "quantize_static takes"), ("MatMul", "MatMulConstBOnly=False")],
)
def test_dynamic_results_say_what_takes_computed_weights(
    tmp_path: Path, op_type: str, advised: str
) -> None:
    source = layer(op_type, bias=None, computed=False).save(tmp_path)
    with pytest.raises(NothingToQuantize, match=advised):
        quantize(source, batches(op_type), dynamic(), tmp_path / "job")


@pytest.mark.parametrize(
    ("selection", "advised"),
    [
        (NodeSelection(nodes_to_exclude=("layer",)), "Take nodes out of nodes_to_exclude"),
        (NodeSelection(op_types_to_quantize=("Conv",)), "Widen op_types_to_quantize"),
        (NodeSelection(matmul_const_b_only=True), "MatMulConstBOnly=False"),
    ],
)
def test_advice_follows_the_reason(tmp_path: Path, selection: NodeSelection, advised: str) -> None:
    source = layer("MatMul", bias=None, computed=False).save(tmp_path)
    options = StaticOptions(selection=selection)
    with pytest.raises(NothingToQuantize, match=advised):
        quantize(source, batches("MatMul"), options, tmp_path / "job")
