"""Whatever is done otherwise: the result loads and runs, and no float node is an integer kernel."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine import Feeds, run, static
from support.random_graphs import RandomGraph, random_graphs
from support.realizing import Seen, kernels_of, seen

from zeropoint.engine import (
    DynamicOptions,
    NothingToQuantize,
    PostTrainingOptions,
    QuantFormat,
    StaticOptions,
)
from zeropoint.engine.reasons import Reason
from zeropoint.engine.search import Changes, Decided, Realizer

_STATIC = (
    StaticOptions(),
    static(),
    static(per_channel=True),
    StaticOptions(quant_format=QuantFormat.QOPERATOR),
    StaticOptions(quant_format=QuantFormat.INTEGER_OPS),
)
_FEW = settings(max_examples=20, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=2000, suppress_health_check=list(HealthCheck))


def subset(there: Seen, data: st.DataObject) -> frozenset[str]:
    names = there.nodes()
    return frozenset(data.draw(st.sets(st.sampled_from(names))))


def decided(there: Seen, changes: Changes, samples: Sequence[Feeds]) -> Decided:
    if not isinstance(there.options, StaticOptions):
        return there.decided(changes)
    assert there.statistics is not None
    realizer = Realizer(there.planned, there.options)
    return realizer.decide(there.statistics, changes, there.material(samples))


def check(
    graph: RandomGraph, options: PostTrainingOptions, data: st.DataObject, *, numbers: bool = False
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "model.onnx")
        onnx.save(graph.model, source)
        try:
            there = seen(source, graph.batches, options, Path(folder, "seen"))
        except NothingToQuantize:
            return
        floats, weight_only = subset(there, data), subset(there, data)
        changes = Changes(
            floats=floats,
            weight_only=weight_only,
            float_outputs=subset(there, data),
            dynamic=subset(there, data),
            per_channel=subset(there, data),
        )
        if numbers:
            changes = replace(
                changes,
                equalized=data.draw(st.booleans()),
                smoothed=subset(there, data),
                corrected=subset(there, data),
                rounded=subset(there, data),
            )
        made = there.written(decided(there, changes, graph.batches))
        plan, asked = made.decided.planned.plan, there.planned.plan
        assert floats.isdisjoint(plan.nodes)
        assert floats.isdisjoint(plan.absorbed)
        assert set(plan.nodes) <= {*asked.nodes, *weight_only}, "nothing is quantized instead"
        for name in weight_only & set(plan.nodes):
            assert not plan.nodes[name].inputs
        reasons = {why.reason for name, why in plan.kept.items() if name not in asked.kept}
        assert Reason.NEVER_RUN not in reasons, "what batches showed suffices"
        assert not kernels_of(made, Path(folder, "kernels")).requantized
        wanted, found = run(source, graph.batches[0]), run(made.files[0], graph.batches[0])
        for reference, other in zip(wanted, found, strict=True):
            assert (other.dtype, other.shape) == (reference.dtype, reference.shape)
            assert np.array_equal(np.isfinite(other), np.isfinite(reference))


_ANY = st.sampled_from([*_STATIC, DynamicOptions()])


@_FEW
@given(random_graphs(), _ANY, st.data())
def test_any_changes(graph: RandomGraph, options: PostTrainingOptions, data: st.DataObject) -> None:
    check(graph, options, data)


@settings(_FEW, max_examples=10)
@given(random_graphs(), st.sampled_from(_STATIC), st.data())
def test_any_numbers(graph: RandomGraph, options: StaticOptions, data: st.DataObject) -> None:
    check(graph, options, data, numbers=True)


@pytest.mark.soak
@_MANY
@given(random_graphs(), _ANY, st.data())
def test_any_changes_at_length(
    graph: RandomGraph, options: PostTrainingOptions, data: st.DataObject
) -> None:
    check(graph, options, data)


@pytest.mark.soak
@_MANY
@given(random_graphs(), st.sampled_from(_STATIC), st.data())
def test_any_numbers_at_length(
    graph: RandomGraph, options: StaticOptions, data: st.DataObject
) -> None:
    check(graph, options, data, numbers=True)
