"""Float ends: a shortcut that is no integer does not make all behind it float."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from support.engine import Quantized, kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection, StaticOptions

IMAGES = normal_batches({"x": (2, 8, 8, 8)})


def image() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", ["N", 8, 8, 8])
    return b


def blocks(b: GraphBuilder, value: str, count: int = 3) -> GraphBuilder:
    """Residual blocks behind a value, pooling and a Gemm."""
    for i in range(count):
        b.node("Relu", [b.conv(value, f"a{i}", 8, 8)], f"r{i}")
        b.node("Add", [b.conv(f"r{i}", f"b{i}", 8, 8), value], f"s{i}", name=f"add{i}")
        value = b.node("Relu", [f"s{i}"], f"t{i}")
    b.node("GlobalAveragePool", [value], "gap")
    b.node("Flatten", ["gap"], "flat")
    b.node("Gemm", ["flat", b.weight("fc", 8, 10)], "y")
    b.output("y")
    return b


def quantized(
    b: GraphBuilder, folder: Path, *, exclude: tuple[str, ...] = ()
) -> tuple[Quantized, Counter[str]]:
    """Quantize with default options; return the result and the kernels that run of it."""
    options = StaticOptions(selection=NodeSelection(nodes_to_exclude=exclude))
    result = quantize(b.save(folder), IMAGES, options, folder / "job")
    reference = run(result.source, IMAGES[0])[0]
    for optimize in (True, False):
        assert sqnr_db(reference, run(result.path, IMAGES[0], optimize=optimize)[0]) > 20
    return result, kernels(result.path, folder)


def stem(b: GraphBuilder) -> str:
    return b.node("Relu", [b.conv("x", "stem", 8, 8)], "stem_relu")


def test_a_shortcut_from_the_input_leaves_a_residual_chain_on_integers(tmp_path: Path) -> None:
    result, found = quantized(blocks(image(), "x"), tmp_path)
    assert set(result.states().values()) == {"quantized"}
    assert found["QLinearAdd"] == 3
    assert found["QLinearGlobalAveragePool"] == 1
    assert found["QuantizeLinear"] == 1, "the input is quantized once"
    assert not found["DequantizeLinear"]


def test_a_shortcut_from_an_excluded_stem_leaves_a_residual_chain_on_integers(
    tmp_path: Path,
) -> None:
    b = image()
    result, found = quantized(blocks(b, stem(b)), tmp_path, exclude=("conv_stem",))
    floats = {name for name, state in result.states().items() if state != "quantized"}
    assert floats == {"conv_stem", "relu_stem_relu"}
    assert found["QLinearAdd"] == 3
    assert found["QuantizeLinear"] == 1, "the stem's result is quantized once"


def joined(b: GraphBuilder, op_type: str, other: str, channels: int = 8) -> GraphBuilder:
    """A convolution, joined with another value, and a convolution behind it."""
    more = {"axis": 1} if op_type == "Concat" else {}
    b.node(op_type, [b.conv("x", "a", 8, 8), other], "j", name="join", **more)
    b.conv("j", "y", channels, 8)
    b.output("y")
    return b


def tanh(b: GraphBuilder) -> str:
    return b.node("Tanh", ["x"], "t")


def pooled(b: GraphBuilder) -> str:
    return b.node("MaxPool", [tanh(b)], "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def gate(b: GraphBuilder) -> str:
    b.node("GlobalAveragePool", ["x"], "g")
    return b.node("HardSigmoid", [b.conv("g", "g1", 8, 8)], "g2")


@pytest.mark.parametrize(
    ("op_type", "end", "channels", "kernel"),
    [
        ("Add", tanh, 8, "QLinearAdd"),
        ("Mul", gate, 8, "QLinearMul"),
        ("Add", pooled, 8, "QLinearAdd"),
        ("Concat", tanh, 16, "QLinearConcat"),
    ],
)
def test_a_join_with_one_float_end_runs_on_integers(
    tmp_path: Path, op_type: str, end: Callable[[GraphBuilder], str], channels: int, kernel: str
) -> None:
    b = image()
    result, found = quantized(joined(b, op_type, end(b), channels), tmp_path)
    assert result.states()["join"] == "quantized"
    assert found[kernel] == 1


def test_a_float_pool_in_front_of_a_join_stays_float(tmp_path: Path) -> None:
    b = image()
    quantized(joined(b, "Add", pooled(b)), tmp_path)
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    producers = {name: node.op_type for node in graph.node for name in node.output}
    (pool,) = (node for node in graph.node if node.op_type == "MaxPool")
    assert producers[pool.input[0]] == "Tanh", "no QuantizeLinear was moved before it"


def test_two_chains_with_float_ends_of_their_own(tmp_path: Path) -> None:
    b = image()
    joined(b, "Add", tanh(b))
    del b.outputs[:]
    b.node("Add", ["y", b.node("Exp", ["x"], "e")], "k", name="second")
    b.output(b.conv("k", "z", 8, 8))
    result, found = quantized(b, tmp_path)
    assert result.states()["join"] == result.states()["second"] == "quantized"
    assert found["QLinearAdd"] == 2


def test_a_residual_stream_that_float_nodes_read_stays_float(tmp_path: Path) -> None:
    b = GraphBuilder(opset=17)
    b.input("x", ["N", 8, 8, 8])
    value = stem(b)
    for i in range(3):
        normal = [value, b.weight(f"g{i}", 8), b.weight(f"n{i}", 8)]
        b.node("LayerNormalization", normal, f"l{i}")
        b.node("Erf", [b.conv(f"l{i}", f"a{i}", 8, 8)], f"e{i}")
        b.node("Add", [b.node("Tanh", [f"e{i}"], f"h{i}"), value], f"s{i}", name=f"add{i}")
        value = f"s{i}"
    b.output(b.conv(value, "y", 8, 8))
    result, found = quantized(b, tmp_path)
    states = result.states()
    assert [states[f"add{i}"] for i in range(3)] == ["NO_INTEGER_NEIGHBOUR"] * 3
    assert not found["QLinearAdd"]


def test_a_join_of_floats_stays_float(tmp_path: Path) -> None:
    b = image()
    b.node("Add", [b.node("Erf", ["x"], "e"), tanh(b)], "j", name="join")
    b.conv("j", "y", 8, 8)
    b.output("y")
    result, _ = quantized(b, tmp_path)
    assert result.states()["join"] == "NO_INTEGER_NEIGHBOUR"
