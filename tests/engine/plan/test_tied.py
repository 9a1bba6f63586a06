"""Tied weights stay one stored tensor, and results are not larger than what they are made from."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.branches import agree
from support.engine import Feeds, all_nodes, dynamic, quantize, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection, Options, StaticOptions

BATCHES = list(normal_batches({"x": (4, 128)}))
SHARING = [static(), static(per_channel=True), dynamic(), dynamic(per_channel=True)]


def tied(kind: str) -> GraphBuilder:
    """Three MatMuls of one weight, each behind a node of its own."""
    b = GraphBuilder(13)
    value = b.input("x", ["N", 128])
    b.weight("w", 128, 128, scale=0.1)
    for index in range(3):
        own = b.node(kind, ["w"], f"w{index}")
        value = b.node("Tanh", [b.node("MatMul", [value, own], f"m{index}")], f"t{index}")
    b.output(value)
    return b


@pytest.mark.parametrize("kind", ["Identity", "Transpose"])
@pytest.mark.parametrize("options", SHARING)
def test_one_weight_is_stored_once(tmp_path: Path, kind: str, options: Options) -> None:
    source = tied(kind).save(tmp_path)
    result = quantize(source, BATCHES, options, tmp_path / "job")
    large = [tensor for tensor in result.model.graph.initializer if np.prod(tensor.dims) == 128**2]
    assert [tensor.data_type for tensor in large] == [TensorProto.INT8]
    assert result.path.stat().st_size < source.stat().st_size / 2
    agree(result, BATCHES)


def carrying(way: str) -> GraphBuilder:
    """A Loop that carries its weight from turn to turn, and a MatMul of the same weight outside."""
    b = GraphBuilder(13)
    b.input("x", ["N", 128])
    b.weight("w", 128, 128, scale=0.1)
    body = GraphBuilder()
    body.input("i", [], TensorProto.INT64)
    body.input("go", [], TensorProto.BOOL)
    body.input("state", ["N", 128])
    body.input("carried", [128, 128])
    body.node("Identity", ["go"], "on")
    body.node("Tanh", [body.node("MatMul", ["state", "carried"], "product")], "next")
    body.output("on", [], TensorProto.BOOL)
    body.output("next", ["N", 128])
    if way == "Identity":
        body.output(body.node("Identity", ["carried"], "passed"), [128, 128])
    elif way == "changed":
        half = body.constant("half", np.array(0.5, np.float32))
        body.output(body.node("Mul", ["carried", half], "passed"), [128, 128])
    else:
        body.output("carried", [128, 128])
    names = [b.constant("three", np.array(3)), "", "x", "w"]
    loop = onnx.helper.make_node("Loop", names, ["last", "left"], "loop", body=body.graph())
    b.nodes.append(loop)
    b.output(b.node("MatMul", ["last", "left"], "y"))
    b.output(b.node("MatMul", ["last", "w"], "z"))
    return b


@pytest.mark.parametrize("way", ["", "Identity"])
@pytest.mark.parametrize("options", SHARING)
def test_weights_that_a_loop_carries_are_constants(
    tmp_path: Path, way: str, options: Options
) -> None:
    source = carrying(way).save(tmp_path)
    result = quantize(source, BATCHES, options, tmp_path / "job")
    assert result.states()["matmul_product"] == result.states()["matmul_y"] == "quantized"
    (loop,) = [node for node in all_nodes(result.model.graph) if node.op_type == "Loop"]
    assert (len(loop.input), len(loop.output)) == (3, 1)
    assert result.path.stat().st_size < source.stat().st_size / 2
    agree(result, BATCHES)


@pytest.mark.parametrize("options", SHARING)
def test_a_loop_of_unknown_length_reads_stored_weights(tmp_path: Path, options: Options) -> None:
    """What it computes cannot be observed; its weight is constant nevertheless."""
    b = carrying("")
    b.initializers = [item for item in b.initializers if item.name != "three"]
    b.input("three", [], TensorProto.INT64)
    source = b.save(tmp_path)
    batches: list[Feeds] = [{**batch, "three": np.array(3)} for batch in BATCHES]
    result = quantize(source, batches, options, tmp_path / "job")
    assert result.states()["matmul_product"] == result.states()["matmul_y"] == "quantized"
    told = {w.code: w.nodes for w in result.report.warnings if w.code.startswith("WEIGHT")}
    unknown = {"WEIGHT_ONLY_LOOP_LENGTH_UNKNOWN": ("matmul_product",)}
    assert told == (unknown if isinstance(options, StaticOptions) else {})
    assert result.path.stat().st_size < source.stat().st_size * 0.6
    agree(result, batches)


def test_what_a_loop_changes_stays_a_state(tmp_path: Path) -> None:
    source = carrying("changed").save(tmp_path)
    result = quantize(source, BATCHES, static(), tmp_path / "job")
    (loop,) = [node for node in all_nodes(result.model.graph) if node.op_type == "Loop"]
    assert len(loop.input) == 4
    agree(result, BATCHES, 15.0)


@pytest.mark.parametrize("excluded", [(), ("matmul_m1",)])
def test_a_weight_that_is_stored_twice_is_told(tmp_path: Path, excluded: tuple[str, ...]) -> None:
    selection = NodeSelection(nodes_to_exclude=excluded)
    options = static(selection=selection)
    result = quantize(tied("Identity").save(tmp_path), BATCHES, options, tmp_path / "job")
    told = [w for w in result.report.warnings if w.code == "WEIGHTS_STORED_TWICE"]
    assert len(told) == bool(excluded)
    for warning in told:
        assert f"{128 * 128 * 4} bytes" in warning.message
        assert set(warning.nodes) == set(excluded)
