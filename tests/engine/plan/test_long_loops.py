"""Loops of many turns: a decoder of a GRU cell and attention, as readers of tables and text are."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.engine import Quantized, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection, StaticOptions

WIDTH, PLACES, WORDS = 32, 10, 24
BATCHES = normal_batches({"x": (1, PLACES, WIDTH)}, count=3)


def decoder(*, choosing: bool) -> GraphBuilder:
    """One turn: attention over `enc`, a GRU cell, and the next word, chosen or as it is likely."""
    b = GraphBuilder(opset=17, seed=3)
    b.input("i", [], TensorProto.INT64)
    b.input("going", [], TensorProto.BOOL)
    b.input("h", ["N", 1, WIDTH])
    b.input("e", ["N", 1, WIDTH])
    b.node("Identity", ["going"], "goes_on")
    b.node("Add", [b.node("MatMul", ["h", b.weight("wq", WIDTH, WIDTH)], "q"), "keys"], "sum")
    b.node("MatMul", [b.node("Tanh", ["sum"], "t"), b.weight("wv", WIDTH, 1)], "scores")
    b.node("Transpose", [b.node("Softmax", ["scores"], "a", axis=1)], "turned", perm=[0, 2, 1])
    b.node("Concat", [b.node("MatMul", ["turned", "enc"], "context"), "e"], "read", axis=2)
    for gate in "rzn":
        b.node("MatMul", ["read", b.weight(f"w{gate}", 2 * WIDTH, WIDTH)], f"x{gate}")
        b.node("MatMul", ["h", b.weight(f"u{gate}", WIDTH, WIDTH)], f"h{gate}")
    for gate in "rz":
        b.node("Sigmoid", [b.node("Add", [f"x{gate}", f"h{gate}"], f"s{gate}")], f"g{gate}")
    b.node("Tanh", [b.node("Add", ["xn", b.node("Mul", ["gr", "hn"], "rh")], "sn")], "candidate")
    b.node("Mul", ["gz", b.node("Sub", ["h", "candidate"], "step")], "kept")
    b.node("Add", ["candidate", "kept"], "next")
    b.node("MatMul", ["next", b.weight("wo", WIDTH, WORDS, scale=1.0)], "logits")
    word = b.node("Softmax", ["logits"], "likely", axis=2)
    if choosing:
        b.node("ArgMax", ["logits"], "word", axis=2, keepdims=0)
        values = b.constant("values", np.array([0, 1], np.float32))
        depth = b.constant("depth", np.array([WORDS], np.int64))
        word = b.node("OneHot", ["word", depth, values], "one")
    b.node("MatMul", [word, b.weight("embedding", WORDS, WIDTH)], "next_e")
    b.output("goes_on", [], TensorProto.BOOL)
    for name in ("next", "next_e", "logits"):
        b.output(name)
    return b


def reader(
    *, turns: int | None = 40, choosing: bool = True, within_if: bool = False
) -> GraphBuilder:
    """Features of places, and a Loop that reads them; without `turns`, an input says how many."""
    b = GraphBuilder(opset=17)
    b.input("x", ["N", PLACES, WIDTH])
    b.node("Relu", [b.node("MatMul", ["x", b.weight("we", WIDTH, WIDTH)], "e0")], "enc")
    b.node("MatMul", ["enc", b.weight("wk", WIDTH, WIDTH)], "keys")
    b.node("ReduceMean", ["enc"], "h0", axes=[1], keepdims=1)
    b.constant("yes", np.array(True))
    if turns is None:
        b.input("turns", [], TensorProto.INT64)
    else:
        b.constant("turns", np.array(turns, np.int64))
    outer = GraphBuilder(opset=17) if within_if else b
    body = decoder(choosing=choosing).graph("body")
    loop = helper.make_node(
        "Loop", ["turns", "yes", "h0", "h0"], ["hl", "el", "y"], "loop", body=body
    )
    outer.nodes.append(loop)
    if within_if:
        outer.output("y")
        other = GraphBuilder(opset=17)
        other.node("Unsqueeze", ["h0", other.constant("front", np.array([0], np.int64))], "z")
        other.output("z")
        branches = {"then_branch": outer.graph("then"), "else_branch": other.graph("else")}
        b.node("If", ["yes"], "result", **branches)
    b.output("result" if within_if else "y")
    return b


def job(b: GraphBuilder, folder: Path, **selection: object) -> Quantized:
    batches = BATCHES
    if any(value.name == "turns" for value in b.inputs):
        batches = [{**batch, "turns": np.array(40, np.int64)} for batch in batches]
    options = StaticOptions(selection=NodeSelection(**selection))  # type: ignore[arg-type]
    result = quantize(b.save(folder), batches, options, folder / "job")
    assert run(result.source, batches[0])[0].shape == run(result.path, batches[0])[0].shape
    return result


def weight_only(result: Quantized) -> dict[str, set[str]]:
    warnings = result.report.warnings
    return {w.code: set(w.nodes) for w in warnings if w.code.startswith("WEIGHT_ONLY")}


@pytest.mark.parametrize("within_if", [False, True])
def test_a_long_loop_that_goes_on_from_choices_computes_in_float(
    tmp_path: Path, *, within_if: bool
) -> None:
    result = job(reader(within_if=within_if), tmp_path)
    (found,) = weight_only(result).items()
    assert found[0] == "WEIGHT_ONLY_LOOP_FEEDBACK"
    assert {"matmul_q", "matmul_xr", "matmul_hn", "matmul_logits"} <= found[1]
    assert result.states()["matmul_keys"] == "quantized"
    assert "quantized" not in {result.states()[name] for name in ("add_sum", "concat_read")}


def test_a_long_loop_without_choices_runs_on_integers(tmp_path: Path) -> None:
    result = job(reader(choosing=False), tmp_path)
    assert not weight_only(result)
    for batch in BATCHES:
        assert sqnr_db(run(result.source, batch)[0], run(result.path, batch)[0]) > 20


def test_a_short_loop_with_choices_runs_on_integers(tmp_path: Path) -> None:
    assert not weight_only(job(reader(turns=4), tmp_path))


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        ({"op_types_to_quantize": ("MatMul",)}, False),
        ({"nodes_to_quantize": ("matmul_logits", "matmul_keys")}, False),
        ({"nodes_to_quantize": ("matmul_*",)}, True),
    ],
)
def test_what_is_named_is_quantized_nevertheless(
    tmp_path: Path, selection: dict[str, tuple[str, ...]], *, left: bool
) -> None:
    result = job(reader(), tmp_path, **selection)
    assert ("WEIGHT_ONLY_LOOP_FEEDBACK" in weight_only(result)) == left
    assert result.states()["matmul_logits"] == "quantized"


def test_a_loop_whose_length_is_an_input_says_so(tmp_path: Path) -> None:
    assert list(weight_only(job(reader(turns=None), tmp_path))) == [
        "WEIGHT_ONLY_LOOP_LENGTH_UNKNOWN"
    ]


def test_bodies_are_left_alone_where_asked_for(tmp_path: Path) -> None:
    result = job(reader(choosing=False), tmp_path, enable_subgraph=False)
    assert result.states()["matmul_logits"] == "NOT_SELECTED"
