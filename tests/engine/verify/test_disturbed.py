"""Whatever the graph: what goes on from a changed value in pieces is what the whole would give."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.graphs import Array, GraphBuilder
from support.random_graphs import RandomGraph, random_graphs

from zeropoint.engine.runtime import Session
from zeropoint.engine.verify.disturbed import Disturbed, Whole
from zeropoint.engine.verify.effect_values import AloneModel, AloneNode
from zeropoint.engine.verify.segments import CutGraph

_LOUDER = 1.25


def _alone(graph: RandomGraph, path: Path) -> AloneModel:
    """Every node has a twin that gives the same, louder."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.graph.initializer.append(numpy_helper.from_array(np.array(_LOUDER, np.float32), "louder"))
    nodes = []
    for node in graph.model.graph.node:
        tensor = node.output[0]
        model.graph.node.append(helper.make_node("Mul", [tensor, "louder"], [f"louder/{tensor}"]))
        nodes.append(
            AloneNode(
                node=tensor,
                name=tensor,
                op_type=node.op_type,
                tensor=tensor,
                quantized=f"louder/{tensor}",
            )
        )
    path.write_bytes(model.SerializeToString())
    return AloneModel(path=path, nodes=tuple(nodes))


def _brute_force(graph: RandomGraph, tensor: str, value: Array, x: Array) -> dict[str, Array]:
    """The outputs of the whole model in which a tensor is given."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    (node,) = (node for node in model.graph.node if tensor in node.output)
    node.output[list(node.output).index(tensor)] = "nothing"
    model.graph.input.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, value.shape))
    names = [output.name for output in model.graph.output]
    found = Session(model.SerializeToString()).run({"x": x, tensor: value}, names)
    return dict(zip(names, found, strict=True))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    graph=random_graphs(),
    cache_bytes=st.sampled_from([1, 20_000, 1 << 28]),
)
def test_pieces_go_on_as_the_whole_does(graph: RandomGraph, cache_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = Whole(_alone(graph, Path(folder) / "alone.onnx"), threads=1)
        disturbed = Disturbed(whole, whole.nodes, cache_bytes)
        batch = graph.batches[0]
        names = [output.name for output in graph.model.graph.output]
        tried = []
        for group, known in disturbed.snapshots(batch):
            for node in group:
                tried.append(node.node)
                louder = np.asarray(known[node.tensor]) * np.float32(_LOUDER)
                expected = _brute_force(graph, node.tensor, louder, batch["x"])
                changed = disturbed.behind(node, known)
                for name in names:
                    found = changed.get(name, known[name])
                    np.testing.assert_allclose(found, expected[name], rtol=1e-3, atol=1e-4)
        assert sorted(tried) == sorted(node.node for node in whole.nodes)


@pytest.mark.parametrize("every", [1, 3])
def test_what_is_computed_from_constants_is_in_the_pieces_that_need_it(
    every: int, tmp_path: Path
) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4])
    half = b.node("Mul", [b.weight("w", 4), b.weight("v", 4)], "folded")
    value = "x"
    for number in range(5):
        value = b.node("Add", [value, half], f"a{number}")
    b.output(value)
    cut = CutGraph(b.model(), [f"a{number}" for number in range(5)], every=every)
    way = cut.way("a0")
    assert [piece.inputs for piece in way] == [(f"a{n}",) for n in range(0, 4, every)]
    assert cut.crossing("a2") == ("a2",)
    assert cut.weight_bytes == 32
    path = b.save(tmp_path)
    sessions = cut.open(path, {f"a{number}": "tensor(float)" for number in range(5)})
    given_values = {"a0": np.ones((2, 4), np.float32)}
    for piece in way:
        found = sessions[piece].run({name: given_values[name] for name in piece.inputs})
        given_values |= dict(zip(piece.outputs, found, strict=True))
    expected = Session(path).run({"x": np.zeros((2, 4), np.float32)})[0]
    once = Session(path).run({"x": np.zeros((2, 4), np.float32)})[0] / 5
    np.testing.assert_allclose(given_values["a4"], expected - once + 1, rtol=1e-5)
    assert list(tmp_path.iterdir()) == [path]
