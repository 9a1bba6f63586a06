"""Whatever nodes stay float: the result loads and runs, and they are no integer kernels."""

import tempfile
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine import run, static
from support.random_graphs import RandomGraph, random_graphs
from support.realizing import Seen, kernels_of, seen

from zeropoint.engine import DynamicOptions, NothingToQuantize, PostTrainingOptions, StaticOptions
from zeropoint.engine.reasons import Reason
from zeropoint.engine.search import Changes

_OPTIONS = st.sampled_from([StaticOptions(), static(), static(per_channel=True), DynamicOptions()])
_FEW = settings(max_examples=25, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=2000, suppress_health_check=list(HealthCheck))


def subset(there: Seen, data: st.DataObject) -> frozenset[str]:
    names = there.nodes()
    return frozenset(name for name in names if data.draw(st.booleans()))


def check(graph: RandomGraph, options: PostTrainingOptions, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "model.onnx")
        onnx.save(graph.model, source)
        try:
            there = seen(source, graph.batches, options, Path(folder, "seen"))
        except NothingToQuantize:
            return
        floats, weight_only = subset(there, data), subset(there, data)
        try:
            made = there.made(Changes(floats=floats, weight_only=weight_only))
        except NothingToQuantize:
            return
        plan, asked = made.decided.planned.plan, there.planned.plan
        assert floats.isdisjoint(plan.nodes)
        assert floats.isdisjoint(plan.absorbed)
        assert set(plan.nodes) <= {*asked.nodes, *weight_only}, "nothing is quantized instead"
        for name in weight_only & set(plan.nodes):
            assert not plan.nodes[name].inputs
        reasons = {why.reason for name, why in plan.kept.items() if name not in asked.kept}
        assert Reason.NEVER_RUN not in reasons, "what batches showed suffices"
        assert not kernels_of(made, Path(folder, "kernels")).requantized
        run(made.files[0], graph.batches[0])


@_FEW
@given(random_graphs(), _OPTIONS, st.data())
def test_any_nodes_stay_float(
    graph: RandomGraph, options: PostTrainingOptions, data: st.DataObject
) -> None:
    check(graph, options, data)


@pytest.mark.soak
@_MANY
@given(random_graphs(), _OPTIONS, st.data())
def test_any_nodes_stay_float_at_length(
    graph: RandomGraph, options: PostTrainingOptions, data: st.DataObject
) -> None:
    check(graph, options, data)
