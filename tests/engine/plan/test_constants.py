"""Constant nodes: plans count them, and options may name them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import pytest
from onnx import helper
from support.graphs import residual

from zeropoint.engine import NodeState, inspect_model
from zeropoint.engine.errors import OptionError
from zeropoint.engine.options import NodeSelection, StaticOptions
from zeropoint.engine.report import PlanReport


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model all of whose initializers are Constant nodes, as some exporters write them."""
    model = residual().model()
    nodes = [
        helper.make_node("Constant", [], [tensor.name], name=f"const/{number}", value=tensor)
        for number, tensor in enumerate(model.graph.initializer)
    ]
    del model.graph.initializer[:]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


def plan_of(path: Path, options: StaticOptions) -> PlanReport:
    with TemporaryDirectory(dir=path.parent) as workspace:
        return inspect_model(path, options, Path(workspace)).plan


def test_they_are_counted_and_have_no_rows(path: Path) -> None:
    plan = plan_of(path, StaticOptions())
    nodes = onnx.load(path).graph.node
    constants = sum(node.op_type == "Constant" for node in nodes)
    assert (plan.constants, len(plan.nodes)) == (constants, len(nodes) - constants)
    assert constants > 3
    assert {node.op_type for node in plan.nodes}.isdisjoint({"Constant"})
    assert any(node.state is NodeState.QUANTIZED for node in plan.nodes)


def test_they_may_be_named(path: Path) -> None:
    asked = StaticOptions(selection=NodeSelection(nodes_to_exclude=("const/0", "const/*")))
    assert plan_of(path, asked).constants > 3
    unknown = StaticOptions(selection=NodeSelection(nodes_to_exclude=("const/none",)))
    with pytest.raises(OptionError) as caught:
        plan_of(path, unknown)
    assert caught.value.reason == "NODE_UNKNOWN"
