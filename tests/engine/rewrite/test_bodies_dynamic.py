"""Dynamic quantization in bodies: it needs no data, so that all of them are done."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from support.engine import Feeds, dynamic, kernels, quantize, run, sqnr_db
from support.graphs import GraphBuilder, normal_batches

WIDTH = 6


def multiplying(data: str, seed: int) -> GraphBuilder:
    body = GraphBuilder(seed=seed)
    product = body.node("MatMul", [data, body.weight("w", WIDTH, WIDTH)], "product")
    body.node("Add", [product, body.weight("b", WIDTH)], "sum")
    return body


def if_model() -> tuple[GraphBuilder, list[Feeds]]:
    """A Gemm in front of two branches that share all names, and read what the Gemm reads."""
    b = GraphBuilder()
    b.input("x", ["N", WIDTH])
    b.input("flag", [], TensorProto.BOOL)
    b.node("Gemm", ["x", b.weight("v", WIDTH, WIDTH)], "g")
    branches = {}
    for key, seed in (("then_branch", 1), ("else_branch", 2)):
        body = multiplying("x", seed)
        body.node("Add", ["sum", "g"], "out")
        body.output("out")
        branches[key] = body.graph(key)
    b.node("If", ["flag"], "y", **branches)
    b.output("y")
    batches: list[Feeds] = [
        {**batch, "flag": np.array(flag)}
        for batch in normal_batches({"x": (2, WIDTH)})
        for flag in (True, False)
    ]
    return b, batches


def loop_model() -> tuple[GraphBuilder, list[Feeds]]:
    """A Loop whose length is an input."""
    b = GraphBuilder()
    b.input("x", ["N", WIDTH])
    b.input("trips", [], TensorProto.INT64)
    body = multiplying("s", 1)
    for name, kind in (("i", TensorProto.INT64), ("going", TensorProto.BOOL)):
        body.input(name, [], kind)
    body.input("s", ["N", WIDTH])
    body.node("Identity", ["going"], "goes_on")
    body.node("Tanh", ["sum"], "next")
    body.output("goes_on", [], TensorProto.BOOL)
    body.output("next")
    b.node("Loop", ["trips", "", "x"], "y", body=body.graph("body"))
    b.output("y")
    batches: list[Feeds] = [
        {**batch, "trips": np.array(2)} for batch in normal_batches({"x": (2, WIDTH)})
    ]
    return b, batches


def scan_model() -> tuple[GraphBuilder, list[Feeds]]:
    """A Scan over the first axis."""
    b = GraphBuilder()
    b.input("x", [3, 2, WIDTH])
    body = multiplying("row", 1)
    body.input("row", [2, WIDTH])
    body.output("sum")
    b.node("Scan", ["x"], "y", body=body.graph("body"), num_scan_inputs=1)
    b.output("y")
    return b, [dict(batch) for batch in normal_batches({"x": (3, 2, WIDTH)})]


def scan_in_loop_in_if() -> tuple[GraphBuilder, list[Feeds]]:
    """All of them, one in the other."""
    b = GraphBuilder()
    b.input("x", [3, 2, WIDTH])
    b.input("flag", [], TensorProto.BOOL)
    rows, body, then, other = GraphBuilder(), GraphBuilder(), GraphBuilder(), GraphBuilder()
    rows.input("row", [2, WIDTH])
    rows.node("MatMul", ["row", rows.weight("w", WIDTH, WIDTH)], "product")
    rows.output("product")
    for name, kind in (("i", TensorProto.INT64), ("going", TensorProto.BOOL)):
        body.input(name, [], kind)
    body.input("s", [3, 2, WIDTH])
    body.node("Identity", ["going"], "goes_on")
    body.node("Scan", ["s"], "scanned", body=rows.graph("rows"), num_scan_inputs=1)
    body.output("goes_on", [], TensorProto.BOOL)
    body.output("scanned")
    then.constant("two", np.array(2, np.int64))
    then.node("Loop", ["two", "", "x"], "looped", body=body.graph("body"))
    then.output("looped")
    other.node("Neg", ["x"], "negative")
    other.output("negative")
    branches = {"then_branch": then.graph("then"), "else_branch": other.graph("else")}
    b.node("If", ["flag"], "y", **branches)
    b.output("y")
    batches: list[Feeds] = [
        {**batch, "flag": np.array(True)} for batch in normal_batches({"x": (3, 2, WIDTH)})
    ]
    return b, batches


MODELS = {
    "if": (if_model, 3),
    "loop": (loop_model, 1),
    "scan": (scan_model, 1),
    "scan in loop in if": (scan_in_loop_in_if, 1),
}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_matmul_becomes_an_integer_kernel(
    tmp_path: Path, name: str, per_channel: bool
) -> None:
    make, expected = MODELS[name]
    builder, batches = make()
    source = builder.save(tmp_path)
    result = quantize(source, batches[:2], dynamic(per_channel=per_channel), tmp_path / "job")
    found = kernels(result.path, tmp_path)
    integer = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
    assert sum(found[op_type] for op_type in integer) == expected
    assert not {"MatMul", "Gemm"} & set(found)
    counts = result.report.verification.kernels
    assert [count.integer for count in counts] == [count.nodes for count in counts]
    for batch in batches:
        assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 25


def test_tensor_that_several_graphs_read_is_quantized_in_each(tmp_path: Path) -> None:
    """In the main graph once, and where a branch reads it, within the branch."""
    builder, batches = if_model()
    result = quantize(builder.save(tmp_path), batches[:2], dynamic(), tmp_path / "job")
    main = [node.op_type for node in result.model.graph.node]
    assert main.count("DynamicQuantizeLinear") == 1
    (branches,) = (n.attribute for n in result.model.graph.node if n.op_type == "If")
    for branch in branches:
        inside = [node.op_type for node in branch.g.node]
        assert inside.count("DynamicQuantizeLinear") == 1


@pytest.mark.parametrize(("name", "told"), [("if", 3), ("loop", 0), ("scan", 0)])
def test_what_has_no_figures_of_its_own_is_said(tmp_path: Path, name: str, told: int) -> None:
    builder, batches = MODELS[name][0]()
    result = quantize(builder.save(tmp_path), batches, dynamic(), tmp_path / "job")
    verification = result.report.verification
    assert len(verification.nodes) == told
    said = "1 nodes have no figures of their own: such in loops" in verification.message
    assert said == (not told)
