"""A layer as matrices: rows times the weight are what ONNX Runtime computes."""

import math

import numpy as np
import onnx_ir as ir
from hypothesis import given
from hypothesis import strategies as st
from support.engine import run
from support.graphs import GraphBuilder

from zeropoint.engine.improve.layer_form import form_of, spread


@st.composite
def layers(draw: st.DrawFn) -> tuple[GraphBuilder, tuple[int, ...]]:
    b = GraphBuilder(seed=draw(st.integers(0, 100)))
    kind = draw(st.sampled_from(["conv1", "conv2", "conv2", "matmul", "gemm"]))
    if kind == "matmul":
        shape: tuple[int, ...] = draw(st.sampled_from([(5, 6), (2, 3, 6), (2, 1, 3, 6)]))
        b.node("MatMul", ["x", b.weight("w", 6, 4)], "y")
    elif kind == "gemm":
        shape, turned = (5, 6), draw(st.integers(0, 1))
        weight = b.weight("w", *((4, 6) if turned else (6, 4)))
        b.node("Gemm", ["x", weight], "y", transB=turned)
    else:
        rank = int(kind[-1])
        groups = draw(st.sampled_from([1, 2, 4]))
        shape = (2, 4, *(draw(st.integers(5, 8)) for _ in range(rank)))
        kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
        attributes = {
            "group": groups,
            "strides": [draw(st.integers(1, 2)) for _ in range(rank)],
            "dilations": [draw(st.integers(1, 2)) for _ in range(rank)],
        }
        padding = draw(st.sampled_from(["pads", "SAME_UPPER", "SAME_LOWER", "VALID"]))
        if padding == "pads":
            attributes["pads"] = [draw(st.integers(0, 1)) for _ in range(2 * rank)]
        else:
            attributes["auto_pad"] = padding
        if padding.startswith("SAME"):
            attributes["dilations"] = [1] * rank
        weight = b.weight("w", 2 * groups, 4 // groups, *kernel)
        b.node("Conv", ["x", weight], "y", **attributes)
    b.input("x", shape)
    b.output("y")
    return b, shape


@given(layers(), st.integers(1, 30))
def test_rows_times_matrices_are_the_result(
    drawn: tuple[GraphBuilder, tuple[int, ...]], count: int
) -> None:
    b, shape = drawn
    model = b.model()
    node = next(iter(ir.from_proto(model).graph))
    weight = node.inputs[1].const_value.numpy()  # type: ignore[union-attr]
    form = form_of(node, weight)
    assert form is not None
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    (y,) = run(model, {"x": x}, optimize=False)
    matrices = form.matrices(weight)
    np.testing.assert_array_equal(form.weight(matrices), weight)
    at = spread(form.places(y.shape), count)
    computed = form.rows(x, y.shape, at) @ matrices.swapaxes(1, 2)
    np.testing.assert_allclose(computed, form.outputs(y, at), atol=1e-4)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_places_are_spread_and_none_comes_twice(places: int, count: int) -> None:
    found = spread(places, count)
    assert len(found) == len(set(found)) == min(places, count)
    assert 0 <= found.min() <= found.max() < places
    if places > 20 * count > 200:
        gaps = np.diff(found, append=found[0] + places)
        assert gaps.max() < 8 * places / count + 2


def test_neighbouring_lines_are_looked_at_in_different_columns() -> None:
    columns = spread(64 * 64, 256) % 64
    assert len(set(columns)) > 32
    assert math.isclose(columns.mean(), 31.5, abs_tol=6)
