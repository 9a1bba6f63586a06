"""Running a model in pieces gives what running it at once gives."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from support.engine import exposing, run
from support.graphs import GraphBuilder, normal_batches, residual
from support.random_graphs import RandomGraph, random_graphs

from zeropoint.engine.improve.piecewise import PiecewiseModel
from zeropoint.engine.improve.runs import Feeds, run_here

PLENTY = 1 << 30


@settings(max_examples=20)
@given(random_graphs())
def test_every_tensor_is_the_same(drawn: RandomGraph) -> None:
    outputs = (output for node in drawn.model.graph.node for output in node.output)
    names = [output for output in outputs if output]
    whole = run(exposing(drawn.model, names), drawn.batches[0], names, optimize=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "piece.onnx")
        model = ir.from_proto(drawn.model)
        pieces = PiecewiseModel(model, names, path, run_here(), drawn.batches[:1])
        for start in range(0, len(names), 2):
            wanted = names[start : start + 2]
            (found,) = pieces.compute(wanted, PLENTY)
            for one, other in zip(found, whole[start:], strict=False):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())
        assert not path.exists()


def test_each_node_runs_once_and_its_constants_can_be_changed(tmp_path: Path) -> None:
    model, batches = residual().model(), normal_batches({"x": (2, 3, 16, 16)}, count=3)
    seen: list[str] = []
    here = run_here()

    def counting(model: Path, outputs: Sequence[str], samples: Iterable[Feeds]) -> Any:
        seen.extend(str(node.name) for node in ir.load(model).graph)
        return here(model, outputs, samples)

    results = ["c1", "c2", "c3", "c4", "y"]
    pieces = PiecewiseModel(
        ir.from_proto(model), results, tmp_path / "piece.onnx", counting, batches
    )
    assert list(pieces.depths({f"conv_{name}": name for name in results[:4]}).values()) == [
        *(0, 1, 2, 3)
    ]
    for name in results[:4]:
        assert len(pieces.compute([name], PLENTY)) == 3
    (weight,) = (each for each in model.graph.initializer if each.name == "fc_w")
    pieces.set_constant("gemm_y", 1, 2 * np.frombuffer(weight.raw_data, np.float32).reshape(10, 8))
    pieces.set_constant("gemm_y", 2, np.zeros(10, np.float32))
    doubled = pieces.compute(["y"], PLENTY)
    assert sorted(seen) == sorted(node.name for node in model.graph.node)
    for batch, (found,) in zip(batches, doubled, strict=True):
        (y,) = run(model, batch)
        (bias,) = (each for each in model.graph.initializer if each.name == "fc_b")
        plain = y - np.frombuffer(bias.raw_data, np.float32)
        np.testing.assert_allclose(found, 2 * plain, atol=1e-4)


def test_the_budget_leaves_the_first_samples_and_one_at_least(tmp_path: Path) -> None:
    model, batches = residual().model(), normal_batches({"x": (1, 3, 16, 16)}, count=4)
    held = 8 * 16 * 16 * 4  # bytes of c1, which is all that is asked for and read later
    for budget, left in ((2 * held, 2), (3 * held + 1, 3), (0, 1), (4 * held, 4)):
        pieces = PiecewiseModel(
            ir.from_proto(model), ["c1", "y"], tmp_path / "piece.onnx", run_here(), batches
        )
        found = pieces.compute(["c1"], budget)
        assert len(found) == pieces.samples == left
        for (one,), batch in zip(found, batches, strict=False):
            np.testing.assert_array_equal(
                one, run(exposing(model, ["c1"]), batch, ["c1"], optimize=False)[0]
            )


def test_bodies_read_what_lies_outside(tmp_path: Path) -> None:
    body = GraphBuilder()
    body.node("Add", ["hidden", "one"], "inner")
    body.output("inner")
    b = GraphBuilder()
    b.input("x", [2, 4])
    b.constant("one", np.array(1, np.float32))
    b.node("Relu", ["x"], "hidden")
    b.node("Neg", ["x"], "other")
    b.node("ReduceMax", ["other"], "largest", keepdims=0)
    b.node("Cast", ["largest"], "sure", to=9)
    b.node("If", ["sure"], "y", then_branch=body.graph("then"), else_branch=body.graph("else"))
    b.output("y")
    batch = {"x": np.ones((2, 4), np.float32)}
    pieces = PiecewiseModel(
        ir.from_proto(b.model()), ["hidden", "y"], tmp_path / "piece.onnx", run_here(), [batch]
    )
    pieces.compute(["hidden"], PLENTY)
    np.testing.assert_array_equal(pieces.compute(["y"], PLENTY)[0][0], 2 * batch["x"])
