"""Equalization and smoothing change no output, and make channels alike."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import exposing, run, sqnr_db
from support.graphs import Array, GraphBuilder, clip_bounds, normal_batches
from support.random_graphs import RandomGraph, random_graphs

from zeropoint.engine.graph import settle_names
from zeropoint.engine.improve import (
    Rescaling,
    apply_edits,
    channel_maxima,
    equalizable,
    equalize,
    run_here,
    smooth,
    smoothable,
)

EXACT_DB = 90.0  # 16 bits: sums of float32 where little is left of what is added


def rescaled(
    model: onnx.ModelProto,
    rescale: Callable[[ir.Graph], Rescaling],
    batch: dict[str, Array] | None = None,
) -> Any:
    """Return what was rewritten, after it was held to the model as it was.

    Outputs are the same, and so are the tensors between, but for the factors that are told.
    """
    changed = ir.from_proto(model)
    settle_names(changed)  # as preparation does
    found = rescale(changed.graph)
    apply_edits(changed, found.edits)
    if batch is None:
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
        (batch,) = normal_batches({"x": shape}, count=1)
    result, outputs = ir.to_proto(changed), [each.name for each in model.graph.output]
    names = [*outputs, *found.tensors]
    before = run(exposing(model, names), batch, names, optimize=False)
    after = run(exposing(result, names), batch, names, optimize=False)
    for name, one, other in zip(names, before, after, strict=True):
        expected = one
        if name in found.tensors:
            scaled = found.tensors[name]
            along = [1] * one.ndim
            along[scaled.axis] = -1
            expected = one * scaled.factors.reshape(along)
        assert sqnr_db(expected, other) > EXACT_DB or not expected.any(), name
    assert set(found.tensors).isdisjoint(outputs)
    return found, {each.name: onnx.numpy_helper.to_array(each) for each in result.graph.initializer}


@settings(max_examples=30)
@given(random_graphs())
def test_outputs_of_any_graph_stay(drawn: RandomGraph) -> None:
    rescaled(drawn.model, equalize, drawn.batches[0])


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    """Draw convolutions with what factors pass through between them, and what stops them."""
    b = GraphBuilder(seed=draw(st.integers(0, 99)))
    b.input("x", [1, 4, 9, 9])
    value = "x"
    for layer in range(draw(st.integers(2, 5))):
        groups = draw(st.sampled_from([1, 1, 4, 2]))
        uneven = b.rng.uniform(0.05, 4, (4, 1, 1, 1)) * b.rng.uniform(
            0.05, 4, (1, 4 // groups, 1, 1)
        )
        weight = b.rng.normal(size=(4, 4 // groups, 3, 3)) * uneven
        inputs = [value, b.constant(f"w{layer}", weight.astype(np.float32))]
        if draw(st.booleans()):
            inputs.append(b.weight(f"b{layer}", 4))
        value = b.node("Conv", inputs, f"c{layer}", group=groups, pads=[1] * 4)
        for step in range(draw(st.integers(0, 2))):
            value = _between(draw, b, value, f"s{layer}{step}")
        if draw(st.integers(0, 5)) == 0:
            b.output(value)
    if draw(st.booleans()):
        b.node("GlobalAveragePool", [value], "pooled")
        b.node("Flatten", ["pooled"], "flat")
        value = b.node("Gemm", ["flat", b.weight("head", 4, 5)], "logits")
    if value not in {each.name for each in b.outputs}:
        b.output(value)
    model = b.model()
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model)
    return inferred


def _between(draw: st.DrawFn, b: GraphBuilder, value: str, name: str) -> str:
    kinds = ["Relu", "LeakyRelu", "PRelu", "MaxPool", "Clip", "Clip6", "Pad", "Add", "Sigmoid"]
    match draw(st.sampled_from(kinds)):
        case "PRelu":
            return b.node("PRelu", [value, b.weight(f"{name}_slope", 4, 1, 1)], name)
        case "MaxPool":
            return b.node("MaxPool", [value], name, kernel_shape=[2, 2], pads=[1, 1, 0, 0])
        case "Clip":
            return b.node("Clip", [value, clip_bounds(b, 0.0, 1.0)[0]], name)
        case "Clip6":
            return b.node("Clip", [value, *clip_bounds(b, 0.0, 6.0)], name)
        case "Pad":
            pads = b.constant(f"{name}_pads", np.array([0, 0, 1, 1, 0, 0, 0, 0]))
            filled = [b.constant(f"{name}_fill", np.array(0.5, np.float32))]
            return b.node("Pad", [value, pads, *(filled if draw(st.booleans()) else [])], name)
        case "Add":
            return b.node("Add", [value, value], name)
        case other:
            return b.node(other, [value], name)


@settings(max_examples=50)
@given(networks(), st.booleans())
def test_outputs_of_convolutions_stay(model: onnx.ModelProto, per_channel: bool) -> None:
    graph = ir.from_proto(model)
    settle_names(graph)
    data = maxima_of(graph) if per_channel else None
    found, _ = rescaled(model, lambda graph: equalize(graph, data=data))
    assert bool(found) == bool(found.tensors)


def maxima_of(model: ir.Model) -> dict[str, Array]:
    shape = model.graph.inputs[0].shape
    assert shape is not None
    batches = normal_batches({"x": shape.numpy()}, count=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "maxima.onnx")
        return channel_maxima(model, equalizable(model.graph), batches, run_here(), path)


def depthwise(b: GraphBuilder) -> None:
    """x -> dense -> Relu -> depthwise -> Relu -> dense, channels of which differ a thousandfold."""
    b.input("x", [1, 4, 8, 8])
    uneven = np.array([1, 10, 100, 1000], np.float32).reshape(4, 1, 1, 1)
    b.node(
        "Conv",
        [
            "x",
            b.constant("w1", b.rng.normal(size=(4, 4, 1, 1)).astype(np.float32) * uneven),
            b.weight("b1", 4),
        ],
        "c1",
    )
    b.node("Relu", ["c1"], "r1")
    b.node("Conv", ["r1", b.weight("w2", 4, 1, 3, 3), b.weight("b2", 4)], "c2", group=4)
    b.node("Relu", ["c2"], "r2")
    b.node("Conv", ["r2", b.weight("w3", 4, 4, 1, 1)], "y")
    b.output("y")


def test_channels_of_depthwise_convolutions_become_alike() -> None:
    b = GraphBuilder()
    depthwise(b)
    found, arrays = rescaled(b.model(), equalize)
    peaks = [np.abs(array) for name, array in arrays.items() if name.startswith("w")]
    first, middle, last = sorted(peaks, key=lambda array: array.shape[2:] + array.shape)
    one, deep, two = first.max((1, 2, 3)), last.max((1, 2, 3)), middle.max((0, 2, 3))
    for each in (one, two):
        np.testing.assert_allclose(each, deep, rtol=0.02)
    assert list(found.tensors) == ["c1", "r1", "c2", "r2"]
    assert not equalize(ir.from_proto(b.model()).graph, fixed={"w2"})


def test_channels_of_data_become_alike_where_weights_have_scales_for_channels() -> None:
    b = GraphBuilder()
    depthwise(b)
    data = maxima_of(ir.from_proto(b.model()))
    assert list(data) == ["r1", "r2"]
    found, arrays = rescaled(b.model(), lambda graph: equalize(graph, data=data))
    after = {name: peaks * found.tensors[name].factors for name, peaks in data.items()}
    # Each channel of a depthwise Conv has a scale of its own, and takes all of it.
    np.testing.assert_allclose(after["r1"], after["r1"][0], rtol=1e-3)
    # Channels of a dense one share scales: what is large is as large in data as in the weight.
    (last,) = (a for n, a in arrays.items() if n.startswith("w3"))
    ratio = after["r2"] / np.abs(last).max(axis=(0, 2, 3))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    assert max(data["r1"]) > 100 * min(data["r1"])


def products(b: GraphBuilder) -> None:
    b.input("x", [2, 8])
    b.node("MatMul", ["x", b.weight("w1", 8, 6)], "h")
    b.node("Add", ["b1", "h"] if b.seed % 2 else ["h", "b1"], "hb")
    b.weight("b1", 6)
    b.node("LeakyRelu", ["hb"], "r", alpha=0.1)
    b.node("Gemm", ["r", b.weight("w2", 3, 6), b.weight("b2", 3)], "g", transB=1)
    b.node("Relu", ["g"], "gr")
    b.node("MatMul", ["gr", b.weight("w3", 3, 4)], "left")
    b.node("MatMul", ["gr", b.weight("w4", 3, 2)], "right")
    b.output("left")
    b.output("right")


@pytest.mark.parametrize("seed", [0, 1])
def test_products_are_equalized_and_all_readers_take_part(seed: int) -> None:
    b = GraphBuilder(seed=seed)
    products(b)
    model = onnx.shape_inference.infer_shapes(b.model())
    found, _ = rescaled(model, equalize)
    assert list(found.tensors) == ["h", "hb", "r", "g", "gr"]


def output_between(b: GraphBuilder) -> None:
    depthwise(b)
    b.output("r1")


def two_readers(b: GraphBuilder) -> None:
    depthwise(b)
    b.output(b.node("Neg", ["r1"], "other"))


def tied(b: GraphBuilder) -> None:
    depthwise(b)
    b.output(b.node("Conv", ["r1", "w2"], "other", group=4))


@pytest.mark.parametrize("build", [output_between, two_readers, tied])
def test_factors_stay_where_anything_else_reads_them(build: Callable[[GraphBuilder], None]) -> None:
    b = GraphBuilder()
    build(b)
    found, _ = rescaled(b.model(), equalize)
    assert "r1" not in found.tensors


# Smoothing


def fused(b: GraphBuilder) -> str:
    inputs = ["x", b.weight("gamma", 8), b.weight("beta", 8)]
    return b.node("LayerNormalization", inputs, "n", axis=-1)


def unbiased(b: GraphBuilder) -> str:
    return b.node("LayerNormalization", ["x", b.weight("gamma", 8)], "n")


def decomposed(b: GraphBuilder) -> str:
    b.node("Mul", ["x", b.weight("gamma", 8)], "scaled")
    return b.node("Add", [b.weight("beta", 8), "scaled"], "n")


def product(b: GraphBuilder) -> str:
    return b.node("Mul", [b.weight("gamma", 1, 8), "x"], "n")


def attention(b: GraphBuilder, source: Callable[[GraphBuilder], str]) -> onnx.ModelProto:
    b.input("x", [2, 5, 8])
    value = source(b)
    for name in ("query", "key", "value"):
        b.output(b.node("MatMul", [value, b.weight(f"w_{name}", 8, 6)], name))
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(b.model())
    return inferred


@pytest.mark.parametrize("source", [fused, unbiased, decomposed, product])
@pytest.mark.parametrize("strength", [0.5, 0.8])
def test_what_is_large_moves_into_the_weights(
    source: Callable[[GraphBuilder], str], strength: float, tmp_path: Path
) -> None:
    model = attention(GraphBuilder(opset=17), source)
    graph = ir.from_proto(model)
    assert smoothable(graph.graph) == {"n": -1}
    batches = normal_batches({"x": (2, 5, 8)}, count=3)
    for batch in batches:
        batch["x"][..., 3] *= 50
    maxima = channel_maxima(graph, {"n": -1}, batches, run_here(), tmp_path / "maxima.onnx")
    every = [run(exposing(model, ["n"]), batch, ["n"])[0] for batch in batches]
    expected = np.abs(np.concatenate(every)).max(axis=(0, 1))
    np.testing.assert_allclose(maxima["n"], expected, rtol=1e-5)
    found, arrays = rescaled(model, lambda graph: smooth(graph, maxima, strength=strength))
    weights = np.max([np.abs(arrays[n]).max(axis=1) for n in arrays if n.startswith("w_")], axis=0)
    data = maxima["n"] * found.tensors["n"].factors
    # Equation 4 of the paper, solved for what is left on both sides.
    np.testing.assert_allclose(data**strength, weights ** (1 - strength), rtol=1e-3)
    assert not smooth(graph.graph, {})
    assert not smooth(graph.graph, maxima, fixed={"w_key"})


def test_a_residual_sum_keeps_its_normalization(tmp_path: Path) -> None:
    b = GraphBuilder(opset=17)
    model = attention(b, lambda b: b.node("Add", [fused(b), "x"], "sum"))
    graph = ir.from_proto(model)
    assert smoothable(graph.graph) == {}
    assert channel_maxima(graph, {}, (), run_here(), tmp_path / "none.onnx") == {}
