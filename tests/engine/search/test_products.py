"""Products in a static model: with data quantized as the model runs, and giving floats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import Feeds, kernels, opened, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches
from support.realizing import Seen, graph_of, kernels_of, seen

from zeropoint.engine import QuantFormat, StaticOptions
from zeropoint.engine.jobs.candidate import twins_of
from zeropoint.engine.jobs.sources import recalled_source
from zeropoint.engine.report import Remedy
from zeropoint.engine.search import Changes, Suspect, proposals

RUNNING = ("DynamicQuantizeMatMul", "MatMulInteger")
STATIC = ("QGemm", "QLinearMatMul", "MatMulIntegerToFloat")
OPTIONS = [StaticOptions(), static(), static(per_channel=True)]
FORMS = [StaticOptions(quant_format=form) for form in QuantFormat]

KINDS = ("MatMul", "MatMul and bias", "Gemm")
CASES = [
    *((kind, options) for kind in KINDS for options in OPTIONS),
    *(("Gemm", options) for options in FORMS[1:]),
]


def loud_and_quiet(count: int = 6) -> list[Feeds]:
    """Samples of which one is a thousand times as loud as another."""
    sizes = np.geomspace(0.01, 10, count)
    rows = normal_batches({"x": (6, 32)}, count)
    return [{"x": row["x"] * np.float32(size)} for row, size in zip(rows, sizes, strict=True)]


def scaled(kind: str) -> GraphBuilder:
    """Two products, of which the first reads what differs in loudness; the second does not."""
    b = GraphBuilder(17, seed=5)
    b.input("x", ["N", 32])
    if kind == "MatMul":
        b.node("MatMul", ["x", b.weight("w", 32, 16)], "p", name="first")
    elif kind == "MatMul and bias":
        b.node("MatMul", ["x", b.weight("w", 32, 16)], "m", name="first")
        b.node("Add", ["m", b.weight("b", 16, scale=0.001)], "p")
    elif kind == "Gemm":
        read = ["x", b.weight("w", 16, 32), b.weight("b", 16, scale=0.001)]
        b.node("Gemm", read, "p", name="first", transB=1, alpha=0.5, beta=2.0)
    else:
        b.node("Transpose", ["x"], "t")
        b.node("MatMul", ["x", "t"], "q", name="first")
        b.node("ReduceMean", ["q"], "mean", axes=[1], keepdims=1)
        b.node("Mul", [b.weight("row", 1, 16), "mean"], "p")
    gain, shift = (b.constant(n, np.full(16, v, np.float32)) for n, v in (("g", 1), ("h", 0)))
    b.node("LayerNormalization", ["p", gain, shift], "n", epsilon=1e-12)
    b.node("MatMul", ["n", b.weight("v", 16, 8)], "y", name="second")
    b.output("y", ["N", 8])
    b.output("p", ["N", 16])
    return b


@pytest.mark.parametrize(("kind", "options"), [*CASES, ("computed", StaticOptions())])
def test_a_quiet_sample_is_not_lost(tmp_path: Path, kind: str, options: StaticOptions) -> None:
    batches = loud_and_quiet()
    there = seen(scaled(kind).save(tmp_path), batches, options, tmp_path / "seen")
    asked = there.made(Changes(), "asked")
    made = there.made(Changes(dynamic=frozenset({"first"})))
    assert graph_of(made) != graph_of(asked)
    assert set(made.decided.planned.plan.nodes) == set(asked.decided.planned.plan.nodes)
    assert set(made.left) <= set(asked.left)
    found = kernels(made.files[0], tmp_path)
    assert sum(found[name] for name in RUNNING) >= 1
    told = kernels_of(made, tmp_path / "told")
    assert (told.float_nodes, told.requantized) == ((), ())
    quiet = batches[0]
    want, got, before = (
        run(path, quiet, ["p"])[0] for path in (there.source, made.files[0], asked.files[0])
    )
    assert sqnr_db(want, before) < 20
    assert sqnr_db(want, got) > 30


def test_its_figures_are_those_of_its_own_ranges(tmp_path: Path) -> None:
    batches = loud_and_quiet()
    there = seen(scaled("MatMul").save(tmp_path), batches, StaticOptions(), tmp_path / "seen")
    assert there.statistics is not None
    manner = recalled_source(there.planned, StaticOptions(), there.statistics).manner
    decided = there.decided(Changes(dynamic=frozenset({"first"})))
    path = there.folder / "twins.onnx"
    twins = twins_of(decided, manner, path)
    assert twins is not None
    assert [node.name for node in twins.nodes] == ["first", "second"]
    types = [node.op_type for node in onnx.load(path).graph.node]
    assert types.count("DynamicQuantizeLinear") == 1
    opened(path)


def clamped(kind: str) -> GraphBuilder:
    """A product, a Relu, and what reads it as floats and as codes."""
    b = GraphBuilder(17)
    b.input("x", ["N", 32])
    if kind == "Gemm":
        b.node("Gemm", ["x", b.weight("w", 32, 16), b.weight("b", 16)], "p", name="first")
    else:
        b.node("MatMul", ["x", b.weight("w", 32, 16)], "m", name="first")
        b.node("Add", ["m", b.weight("b", 16)], "p") if kind == "MatMul and bias" else None
    b.node("Relu", ["m" if kind == "MatMul" else "p"], "r", name="clamp")
    b.node("Softplus", ["r"], "s")
    b.node("MatMul", ["r", b.weight("v", 16, 8)], "y", name="second")
    b.output("s", ["N", 16])
    b.output("y", ["N", 8])
    return b


def of_clamped(kind: str, options: StaticOptions, folder: Path) -> tuple[Seen, Sequence[Feeds]]:
    batches = list(normal_batches({"x": (6, 32)}))
    return seen(clamped(kind).save(folder), batches, options, folder / "seen"), batches


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_product_gives_floats_and_multiplies_integers(
    tmp_path: Path, kind: str, options: StaticOptions
) -> None:
    there, batches = of_clamped(kind, options, tmp_path)
    asked = there.made(Changes(), "asked")
    made = there.made(Changes(float_outputs=frozenset({"first"})))
    assert asked.decided.planned.plan.nodes["first"].output == "r"
    assert made.decided.planned.plan.nodes["first"].output is None
    told = kernels_of(made, tmp_path / "told")
    assert (told.float_nodes, told.requantized) == ((), ())
    want, got, before = (
        run(path, batches[0], ["s"])[0] for path in (there.source, made.files[0], asked.files[0])
    )
    assert sqnr_db(want, got) > sqnr_db(want, before) + 0.5
    assert sqnr_db(*(run(p, batches[0], ["y"])[0] for p in (there.source, made.files[0]))) > 25


@pytest.mark.parametrize("kind", KINDS)
def test_floats_come_to_a_product_from_the_one_before(tmp_path: Path, kind: str) -> None:
    there, batches = of_clamped(kind, StaticOptions(), tmp_path)
    suspects = [Suspect(node="second", noise=1.0, share=0.2)]
    wanted = frozenset({Remedy.DYNAMIC_INPUT})
    (one,) = proposals(there.planned, Changes(), suspects, wanted)
    assert one.nodes == ("second",)
    assert one.changes == Changes(dynamic=frozenset({"second"}), float_outputs=frozenset({"first"}))
    made = there.made(one.changes)
    assert "r" not in made.decided.planned.plan.tensors
    found = kernels(made.files[0], tmp_path)
    assert sum(found[name] for name in RUNNING) == 1
    assert sum(found[name] for name in STATIC) == 1
    pair = (run(path, batches[0], ["y"])[0] for path in (there.source, made.files[0]))
    assert sqnr_db(*pair) > 30


def test_what_has_no_such_kernel_stays_as_it_is(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4, 8, 8])
    b.node("Relu", [b.conv("x", "c", 4, 4)], "r")
    b.output(b.conv("r", "y", 4, 4))
    batches = normal_batches({"x": (2, 4, 8, 8)})
    there = seen(b.save(tmp_path), batches, StaticOptions(), tmp_path / "seen")
    names = frozenset(there.nodes())
    asked = there.made(Changes(), "asked")
    assert graph_of(there.made(Changes(float_outputs=names, dynamic=names))) == graph_of(asked)
