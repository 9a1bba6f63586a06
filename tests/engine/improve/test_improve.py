"""From a plan to a better result: rounding and biases of real jobs' plans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import Feeds, dynamic, open_here, run, sqnr_db
from support.graphs import Array, GraphBuilder, clip_bounds, normal_batches, residual

from zeropoint.engine import JobSettings, QuantType, StaticOptions, WeightOptions
from zeropoint.engine.improve import (
    Edits,
    Improvements,
    apply_edits,
    edited_parameters,
    edited_plan,
    improve,
    run_here,
)
from zeropoint.engine.improve.side_by_side import enough_samples
from zeropoint.engine.jobs import Job
from zeropoint.engine.jobs.source import Decided
from zeropoint.engine.numbers import dequantize, quantize
from zeropoint.engine.plan import ConstantRole

NOTHING = Improvements(rounding=False, biases=False)
ROUNDING, BIASES = Improvements(biases=False), Improvements(rounding=False)


def depthwise() -> GraphBuilder:
    """Blocks of depthwise and pointwise convolutions without biases, weights as uneven as real."""
    b = GraphBuilder()
    b.input("x", ["N", 8, 12, 12])
    value = "x"
    for block in range(3):
        channels = b.rng.uniform(0.5, 1, (8, 1, 1, 1)).astype(np.float32)
        deep = b.constant(
            f"d{block}", b.rng.normal(size=(8, 1, 3, 3)).astype(np.float32) * channels
        )
        b.node("Conv", [value, deep], f"deep{block}", group=8, pads=[1] * 4)
        bounds = clip_bounds(b, 0.0, 6.0)
        b.node("Clip", [f"deep{block}", *bounds], f"clip{block}")
        point = b.weight(f"p{block}", 8, 8, 1, 1, scale=0.4)
        value = b.node("Conv", [f"clip{block}", point], f"point{block}")
    b.output(value)
    return b


def perceptron() -> GraphBuilder:
    """x [N,S,16] -> MatMul + bias -> Relu -> two MatMul without bias on the same data."""
    b = GraphBuilder()
    b.input("x", ["N", 5, 16])
    b.node("MatMul", ["x", b.weight("w1", 16, 32)], "h")
    b.node("Add", ["h", b.weight("b1", 32)], "hb")
    b.node("Relu", ["hb"], "hr")
    b.node("MatMul", ["hr", b.weight("w2", 32, 8)], "left")
    b.node("MatMul", ["hr", b.weight("w3", 32, 8)], "right")
    b.output(b.node("Mul", ["left", "right"], "y"))
    return b


CASES: dict[str, tuple[Callable[[], GraphBuilder], Sequence[int], float]] = {
    "residual": (residual, (2, 3, 16, 16), 2),
    "depthwise": (depthwise, (2, 8, 12, 12), 0.5),
    "perceptron": (perceptron, (2, 5, 16), 2),
}
"""Each with the shape of x, and by how many dB it must be better at least."""
# Seven bits and one scale for all channels: weights are what is lost.
COARSE = StaticOptions(
    weight=WeightOptions(quant_type=QuantType.QINT8, per_channel=False, reduce_range=True)
)


@dataclass
class Case:
    """A job that has seen its batches, and further ones that it has not."""

    source: Path
    gain: float
    job: Job
    decided: Decided
    batches: list[Feeds]
    fresh: list[Feeds]

    def edits(self, what: Improvements) -> Edits:
        decided = self.decided
        folder = decided.planned.prepared.path.parent
        return improve(
            decided.planned,
            decided.to_write,
            decided.parameters,
            self.batches,
            run_here(),
            folder,
            what,
        )

    def made(self, edits: Edits) -> Path:
        decided, planned = self.decided, self.decided.planned
        model = planned.prepared.model.clone()
        apply_edits(model, edits)
        plan = edited_plan(decided.to_write, edits)
        changed = replace(
            decided,
            planned=replace(planned, prepared=replace(planned.prepared, model=model), plan=plan),
            to_write=plan,
            parameters=edited_parameters(decided.parameters, plan, edits),
        )
        return self.job.make(changed, f"result{id(edits)}").files[0]

    def sqnr(self, result: Path) -> float:
        return min(
            sqnr_db(run(self.source, batch)[0], run(result, batch)[0]) for batch in self.fresh
        )


@pytest.fixture
def case(request: pytest.FixtureRequest, folder: Path, workspace: Path) -> Case:
    build, shape, gain = CASES[getattr(request, "param", "perceptron")]
    batches = [
        {"x": np.cumsum(batch["x"], axis=-1) / 2 + np.float32(0.5)}  # neighbours are alike
        for batch in normal_batches({"x": shape}, count=12)
    ]
    source = build().save(folder)
    job = open_here(source, COARSE, JobSettings(workspace=workspace))
    for batch in batches[:8]:
        job.observe(batch)
    return Case(source, gain, job, job.decide(), list(batches[:8]), list(batches[8:]))


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_results_are_nearer_to_the_float_model_on_fresh_data(case: Case) -> None:
    plain = case.sqnr(case.made(Edits()))
    both = case.edits(Improvements())
    assert both.weights
    assert case.sqnr(case.made(both)) > plain + case.gain
    assert case.sqnr(case.made(case.edits(ROUNDING))) > plain + case.gain / 2
    biases = case.edits(BIASES)
    assert not biases.weights
    assert case.sqnr(case.made(biases)) > plain - 0.3
    assert not case.edits(NOTHING)


def test_rounding_to_the_nearest_gives_the_chosen_codes(case: Case) -> None:
    edits = case.edits(Improvements())
    result = onnx.load(case.made(edits))
    stored = [onnx.numpy_helper.to_array(each) for each in result.graph.initializer]
    assert set(edits.kept) == set(edits.weights)
    for key, floats in edits.weights.items():
        qparams = edits.kept[key]
        codes = quantize(floats, qparams)
        np.testing.assert_array_equal(dequantize(codes, qparams), floats)
        low, high = qparams.code_limits
        assert low <= codes.min()
        assert codes.max() <= high
        same = (each for each in stored if each.shape == codes.shape and each.dtype == codes.dtype)
        assert any(np.array_equal(codes, each) for each in same), key


def test_it_is_the_same_every_time_and_tells_of_each_layer(case: Case) -> None:
    one, other = case.edits(Improvements()), case.edits(Improvements())
    for left, right in ((one.weights, other.weights), (one.biases, other.biases)):
        assert left.keys() == right.keys()
        for key in left:
            np.testing.assert_array_equal(left[key], right[key])
    decided, told = case.decided, list[str]()
    planned = decided.planned
    improve(
        planned,
        decided.to_write,
        decided.parameters,
        case.batches[:1],
        run_here(),
        planned.prepared.path.parent,
        NOTHING,
        told.append,
    )
    assert set(told) == {name for name, quant in decided.to_write.nodes.items() if quant.weight}


def test_without_samples_nothing_changes(case: Case) -> None:
    case.batches.clear()
    assert not case.edits(Improvements())


def test_many_small_samples_are_all_looked_at_and_large_ones_only_as_many_as_tell_enough() -> None:
    small = [{"x": np.zeros((1, 160), np.float32)}] * 500
    large = [{"x": np.zeros((1, 3, 224, 224), np.float32)}] * 40
    assert len(enough_samples(small)) == 500
    assert len(enough_samples(large)) == 16
    assert len(enough_samples(large[:3])) == 3


@pytest.mark.parametrize("weight_only", [False, True])
def test_weights_are_rounded_for_data_that_are_floats_as_well(
    folder: Path, workspace: Path, weight_only: bool
) -> None:
    """Of dynamic quantization, and of nodes of which only the weight is stored."""
    b = GraphBuilder()
    b.input("x", [5, 64])
    b.output(b.node("MatMul", ["x", b.weight("w", 64, 32)], "y"))
    mixed = b.rng.normal(size=(8, 64)).astype(np.float32)
    batches = [{"x": batch["x"] @ mixed} for batch in normal_batches({"x": (5, 8)}, count=12)]
    options = dynamic(per_channel=True)
    with open_here(b.save(folder), options, JobSettings(workspace=workspace)) as job:
        decided = job.decide()
    planned, plan = decided.planned, decided.to_write
    if weight_only:
        (quant,) = plan.nodes.values()
        stored = tuple(replace(c, role=ConstantRole.STORED) for c in quant.constants)
        plan = replace(plan, nodes={quant.node: replace(quant, constants=stored)})
    edits = improve(planned, plan, decided.parameters, batches, run_here(), workspace)
    ((key, chosen),) = edits.weights.items()
    plain = dequantize(quantize(_array(b, "w"), edits.kept[key]), edits.kept[key])
    x = np.concatenate([batch["x"] for batch in batches])
    errors = [np.square(x @ (each - _array(b, "w"))).sum() for each in (chosen, plain)]
    assert errors[0] < 0.3 * errors[1]


def _array(b: GraphBuilder, name: str) -> Array:
    (tensor,) = (each for each in b.initializers if each.name == name)
    return onnx.numpy_helper.to_array(tensor)


@pytest.mark.parametrize("case", ["depthwise"], indirect=True)
def test_new_biases_are_biases_like_others(case: Case) -> None:
    edits = case.edits(BIASES)
    assert edits.biases
    for asked in (True, False):
        plan = edited_plan(case.decided.to_write, edits, quantize_bias=asked)
        found = {q.bias.key: q.bias for q in plan.nodes.values() if q.bias is not None}
        assert found.keys() == edits.biases.keys()
        assert {bias.stays_float for bias in found.values()} == {not asked}
        parameters = edited_parameters(case.decided.parameters, plan, edits)
        assert (found.keys() <= parameters.constants.keys()) is asked
