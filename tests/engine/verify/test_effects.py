"""What a node quantized alone does: the same as a whole model in which it alone is quantized."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from support.graphs import Array, GraphBuilder, normal_batches, residual
from support.quantized import fake_quantized
from support.trials import COARSE, SCALE, alone, layers, reference_of

from zeropoint.engine.numbers import QParams
from zeropoint.engine.protobuf import graphs
from zeropoint.engine.runtime import Session
from zeropoint.engine.twins import NodeTwin
from zeropoint.engine.verify import (
    Effects,
    EffectsRequest,
    InProcessTrials,
    compare,
)

SHAPES = {"x": (2, 3, 16, 16)}


def _one_quantized(path: Path, name: str) -> Session:
    """The model with the data input of one node, in a body or not, through codes."""
    model = onnx.load(path)
    b = GraphBuilder()
    for graph in graphs(model.graph):
        for place, node in enumerate(graph.node):
            if node.name == name:
                node.input[0] = fake_quantized(b, node.input[0], SCALE)
                for index, extra in enumerate(b.nodes):
                    graph.node.insert(place + index, extra)
                break
    assert b.nodes
    model.graph.initializer.extend(b.initializers)
    return Session(model.SerializeToString())


def _measure(
    path: Path, batches: Sequence[dict[str, Array]], threads: int = 1, **request: int
) -> Effects:
    trials = InProcessTrials(reference_of(path, batches, threads=threads))
    return trials.effects(EffectsRequest(model=alone(path), **request))


def _expected(path: Path, name: str, batches: Sequence[dict[str, Array]], at: int = 0) -> float:
    """Noise beside signal at an output, of the whole model."""
    sides = (Session(path), _one_quantized(path, name))
    x, y = (np.concatenate([side.run(b)[at].reshape(-1) for b in batches]) for side in sides)
    return float(10 ** (-compare(x, y).similarity.sqnr_db / 10))


def test_effects_are_those_of_whole_models_in_which_one_node_is_quantized(tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    batches = normal_batches(SHAPES, count=3)
    found = _measure(path, batches)
    assert found.samples == 6
    assert (found.not_measured, found.late) == ((), False)
    assert {effect.node for effect in found.nodes} == set(layers(ir.load(path)))
    for effect in found.nodes:
        (output,) = effect.outputs
        assert output.name == "y"
        assert output.noise == pytest.approx(_expected(path, effect.node, batches), rel=1e-3)
        assert effect.name == f"user:{effect.node}"
    noises = [effect.noise for effect in found.nodes]
    assert noises == sorted(noises, reverse=True)
    assert sum(effect.share or 0 for effect in found.nodes) == pytest.approx(1.0)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_batch_is_divided_where_samples_are_apart(samples: int, tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    batches = normal_batches(SHAPES, count=2)
    found = _measure(path, batches, samples=samples)
    assert found.samples == samples
    taken = [{"x": np.concatenate([batch["x"] for batch in batches])[:samples]}]
    worst = found.nodes[0]
    assert worst.noise == pytest.approx(_expected(path, worst.node, taken), rel=1e-3)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    _measure(path, normal_batches(SHAPES, count=1))
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "alone.onnx", "scratch"}


@pytest.mark.parametrize("change", [{"cache_bytes": 1}, {"cache_bytes": 40_000}, {"threads": 2}])
def test_budgets_and_threads_change_no_figure(change: dict[str, int], tmp_path: Path) -> None:
    """But for the last bits, where memory does not allow for optimized pieces."""
    figures = []
    for name, request in (("plain", {}), ("changed", change)):
        folder = tmp_path / name
        folder.mkdir()
        path = residual().save(folder)
        figures.append(_measure(path, normal_batches(SHAPES, count=2), **request))
    for one, other in zip(figures[0].nodes, figures[1].nodes, strict=True):
        assert one.node == other.node
        assert one.noise == pytest.approx(other.noise, rel=1e-3)
        assert one.own_db == other.own_db
    assert change == {"cache_bytes": 1} or figures[0] == figures[1]


def test_only_so_many_nodes_are_tried_those_with_the_worst_results_first(tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    found = _measure(path, normal_batches(SHAPES, count=2), most=2, samples=2)
    assert found.samples == 2
    assert len(found.nodes) == 2
    assert len(found.not_measured) == 3
    assert not found.late
    worst = max(effect.own_db for effect in found.nodes)
    (tmp_path / "scratch").rename(tmp_path / "before")
    for effect in _measure(path, normal_batches(SHAPES, count=2), samples=2).nodes:
        assert (effect.own_db <= worst) == (effect.node not in found.not_measured)


def test_what_time_leaves_out_is_told(tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    found = _measure(path, normal_batches(SHAPES, count=2), seconds=0)
    assert found.nodes == ()
    assert len(found.not_measured) == 5
    assert found.late


def test_progress_is_told(tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    trials = InProcessTrials(reference_of(path, normal_batches(SHAPES, count=2)))
    told: list[tuple[int, int]] = []
    trials.effects(
        EffectsRequest(model=alone(path)), lambda done, total: told.append((done, total))
    )
    assert told == [(done, 10) for done in range(1, 11)]


def test_weights_and_activations_are_told_apart(tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    fine = QParams(np.array(0.002, np.float32), np.array(0, np.int8))
    twins = [
        NodeTwin(chain=("conv_c1",), inputs={("conv_c1", 0): COARSE, ("conv_c1", 1): fine}),
        NodeTwin(chain=("conv_c2",), inputs={("conv_c2", 1): fine}),
    ]
    trials = InProcessTrials(reference_of(path, normal_batches(SHAPES, count=2)))
    model = alone(path, twins)
    both = {effect.node: effect for effect in trials.effects(EffectsRequest(model=model)).nodes}
    first, second = both["conv_c1"], both["conv_c2"]
    assert first.weights_db is not None
    assert first.activations_db is not None
    assert first.own_db < min(first.weights_db, first.activations_db)
    together = 10 ** (-first.weights_db / 10) + 10 ** (-first.activations_db / 10)
    assert 10 ** (-first.own_db / 10) == pytest.approx(together, rel=0.1)
    assert (second.weights_db, second.activations_db) == (second.own_db, None)
    none = trials.effects(EffectsRequest(model=model, parts=0)).nodes
    assert {(effect.weights_db, effect.activations_db) for effect in none} == {(None, None)}


def _branches() -> GraphBuilder:
    """One trunk, two heads: probabilities through a Softmax, and a body that reads the trunk."""
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("Relu", [b.node("MatMul", ["x", b.weight("w1", 8, 8)], "t", name="trunk")], "r")
    b.node("MatMul", ["r", b.weight("w2", 8, 4)], "z", name="head")
    b.output(b.node("Softmax", ["z"], "p", axis=-1))
    b.output(b.node("ArgMax", ["p"], "label", axis=-1, keepdims=0), dtype=TensorProto.INT64)
    wide = b.node("MatMul", ["r", b.weight("w3", 8, 6)], "u", name="side")

    def branch(name: str, op_type: str) -> onnx.GraphProto:
        node = helper.make_node(op_type, [wide], [f"b_{name}"], name=name)
        output = helper.make_tensor_value_info(f"b_{name}", TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [output])

    shape = b.node("Shape", ["x"], "shape")
    one = b.node("Gather", [shape, b.constant("at", np.array(1))], "columns")
    condition = b.node("Equal", [one, b.constant("eight", np.array(8))], "is_eight")
    branches = {"then_branch": branch("yes", "Tanh"), "else_branch": branch("no", "Identity")}
    b.output(b.node("If", [condition], "y", **branches))
    return b


def test_each_node_does_something_to_the_outputs_that_it_reaches(tmp_path: Path) -> None:
    path = _branches().save(tmp_path)
    batches = normal_batches({"x": (5, 8)}, count=2)
    found = {effect.node: effect for effect in _measure(path, batches).nodes}
    reached = {node: [output.name for output in e.outputs] for node, e in found.items()}
    assert {node: sorted(names) for node, names in reached.items()} == {
        "trunk": ["p", "y"],
        "head": ["p"],
        "side": ["y"],
    }
    for node in ("trunk", "side"):
        (noise,) = (output.noise for output in found[node].outputs if output.name == "y")
        assert noise > 0
    # Probabilities are compared as logits, without their mean.
    sides = (Session(path), _one_quantized(path, "head"))
    x, y = (np.log(np.concatenate([s.run(b, ["p"])[0] for b in batches])) for s in sides)
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    assert found["head"].noise == pytest.approx(((x - y) ** 2).sum() / (x**2).sum(), rel=1e-3)


def test_labels_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    b = _branches()
    b.outputs = b.outputs[1:2]
    path = b.save(tmp_path)
    batches = normal_batches({"x": (200, 8)}, count=1)
    found = {e.node: e for e in _measure(path, batches, samples=200).nodes}
    assert set(found) == {"trunk", "head"}
    sides = (Session(path), _one_quantized(path, "trunk"))
    one, other = (side.run(batches[0])[0] for side in sides)
    assert found["trunk"].noise == pytest.approx(np.mean(one != other))
    assert 0 < found["trunk"].noise < 0.2


def test_without_nodes_or_samples_nothing_is_measured(tmp_path: Path) -> None:
    path = residual().save(tmp_path)
    trials = InProcessTrials(reference_of(path, []))
    found = trials.effects(EffectsRequest(model=alone(path)))
    assert (found.nodes, found.samples, len(found.not_measured)) == ((), 0, 5)
    assert trials.effects(EffectsRequest(model=alone(path, []))).not_measured == ()


def _in_bodies() -> GraphBuilder:
    """A branch with a product in a Loop in it, and what comes in front of and behind it."""
    b = GraphBuilder(opset=17)
    b.input("x", ["N", 8])
    b.input("flag", [], TensorProto.BOOL)
    b.node("MatMul", ["x", b.weight("w1", 8, 8)], "first", name="first")
    turn = GraphBuilder(seed=1)
    for name, kind in (("turn", TensorProto.INT64), ("going", TensorProto.BOOL)):
        turn.input(name, [], kind)
    turn.input("state", ["N", 8])
    turn.output(turn.node("Identity", ["going"], "still"), [], TensorProto.BOOL)
    product = turn.node("MatMul", ["state", turn.weight("w2", 8, 8)], "inner", name="inner")
    turn.output(turn.node("Tanh", [product], "next"), ["N", 8])
    yes = GraphBuilder(seed=2)
    turns, going = yes.constant("turns", np.array(3)), yes.constant("yes", np.array(True))
    yes.node("Loop", [turns, going, "first"], "looped", body=turn.graph("turn"))
    yes.output(yes.node("MatMul", ["looped", yes.weight("w3", 8, 8)], "mid", name="mid"))
    no = GraphBuilder()
    no.output(no.node("Identity", ["first"], "same"))
    branches = {"then_branch": yes.graph("yes"), "else_branch": no.graph("no")}
    b.node("If", ["flag"], "chosen", **branches)
    b.output(b.node("MatMul", ["chosen", b.weight("w4", 8, 4)], "y", name="last"))
    return b


@pytest.mark.parametrize("flag", [True, False])
def test_nodes_in_bodies_have_effects_where_these_run(flag: bool, tmp_path: Path) -> None:
    path = _in_bodies().save(tmp_path)
    batches = [{**b, "flag": np.array(flag)} for b in normal_batches({"x": (5, 8)}, count=2)]
    names = ("first", "inner", "mid", "last")
    twins = [NodeTwin(chain=(name,), inputs={(name, 0): COARSE}) for name in names]
    trials = InProcessTrials(reference_of(path, batches))
    model = alone(path, twins)
    found = {effect.node: effect for effect in trials.effects(EffectsRequest(model=model)).nodes}
    assert set(found) == set(names)
    for name in names:
        if not flag and name in ("inner", "mid"):
            assert found[name].noise == 0
        else:
            expected = _expected(path, name, batches)
            assert expected > 0
            assert found[name].noise == pytest.approx(expected, rel=1e-3)


def test_a_model_that_is_one_branch_has_effects(tmp_path: Path) -> None:
    yes, no = GraphBuilder(seed=1), GraphBuilder()
    yes.output(yes.node("MatMul", ["x", yes.weight("w", 8, 8)], "mid", name="mid"))
    no.output(no.node("Identity", ["x"], "same"))
    b = GraphBuilder()
    b.input("x", ["N", 8])
    branches = {"then_branch": yes.graph("yes"), "else_branch": no.graph("no")}
    b.output(b.node("If", [b.constant("flag", np.array(True))], "y", **branches))
    path = b.save(tmp_path)
    batches = normal_batches({"x": (5, 8)}, count=2)
    trials = InProcessTrials(reference_of(path, batches))
    model = alone(path, [NodeTwin(chain=("mid",), inputs={("mid", 0): COARSE})])
    (found,) = trials.effects(EffectsRequest(model=model)).nodes
    assert found.noise == pytest.approx(_expected(path, "mid", batches), rel=1e-3)
    assert found.share == 1.0


def test_a_node_whose_twin_does_not_fit_what_reads_it_is_left_out(tmp_path: Path) -> None:
    path = _branches().save(tmp_path)
    trials = InProcessTrials(reference_of(path, normal_batches({"x": (5, 8)}, count=2)))
    model = alone(path)
    trunk, *others = model.nodes
    wrong = dataclasses.replace(trunk, quantized=others[-1].quantized)  # six columns, not eight
    model = dataclasses.replace(model, nodes=(wrong, *others))
    found = trials.effects(EffectsRequest(model=model))
    assert {effect.node for effect in found.nodes} == {"head", "side"}
    assert found.not_measured == ("trunk",)


def test_what_the_model_does_not_repeat_does_not_count(tmp_path: Path) -> None:
    b = _branches()
    noise = b.node("RandomNormalLike", ["r"], "random")
    b.output(b.node("Add", ["r", noise], "noisy"))
    path = b.save(tmp_path)
    (trunk,) = (e for e in _measure(path, normal_batches({"x": (5, 8)})).nodes if e.node == "trunk")
    assert sorted(output.name for output in trunk.outputs) == ["p", "y"]
