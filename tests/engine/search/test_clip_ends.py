"""Beyond the ends of a tensor nothing looks at how large its values are."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from support.engine import run
from support.graphs import GraphBuilder, clip_bounds

from zeropoint.engine.search.clip_ends import clip_ends

Node = Callable[[GraphBuilder, str, str], str]

ONE: dict[str, tuple[Node, float, float]] = {
    "Relu": (lambda b, x, y: b.node("Relu", [x], y), 0.0, math.inf),
    "Clip": (lambda b, x, y: b.node("Clip", [x, *clip_bounds(b, -1, 6)], y), -1.0, 6.0),
    "HardSwish": (lambda b, x, y: b.node("HardSwish", [x], y), -3.0, math.inf),
    "HardSigmoid": (lambda b, x, y: b.node("HardSigmoid", [x], y), -2.5, 2.5),
    "steep": (lambda b, x, y: b.node("HardSigmoid", [x], y, alpha=0.5, beta=0.25), -0.5, 1.5),
    "falling": (lambda b, x, y: b.node("HardSigmoid", [x], y, alpha=-0.5), -1.0, 1.0),
    "flat": (lambda b, x, y: b.node("HardSigmoid", [x], y, alpha=0.0), -math.inf, math.inf),
    "Sigmoid": (lambda b, x, y: b.node("Sigmoid", [x], y), -7.0, 7.0),
    "Tanh": (lambda b, x, y: b.node("Tanh", [x], y), -3.5, 3.5),
    "Exp": (lambda b, x, y: b.node("Exp", [x], y), -math.inf, math.inf),
}

CHAINS: dict[str, tuple[Node, tuple[float, float] | None]] = {
    "moved": (
        lambda b, x, y: b.node("HardSwish", [b.node("Transpose", [x], "m", perm=[1, 0])], y),
        (-3.0, math.inf),
    ),
    "joined": (
        lambda b, x, y: b.node("HardSigmoid", [b.node("Concat", [x, x], "m", axis=0)], y),
        (-2.5, 2.5),
    ),
    "both": (
        lambda b, x, y: b.node(
            "Add", [b.node("HardSigmoid", [x], "h"), b.node("Relu", [x], "r")], y
        ),
        (-2.5, math.inf),
    ),
    "clamped before": (
        lambda b, x, y: b.node("HardSigmoid", [b.node("Relu", [x], "r")], y),
        (0.0, 2.5),
    ),
    "read whole": (
        lambda b, x, y: b.node("Add", [b.node("HardSigmoid", [x], "h"), x], y),
        None,
    ),
    "bound": (  # as the greatest value of a Clip, a tensor is no data
        lambda b, x, y: b.node("Clip", [x, "", b.node("ReduceMax", [x], "top", keepdims=0)], y),
        None,
    ),
}


def graph_of(node: Node) -> GraphBuilder:
    b = GraphBuilder(17)
    b.input("x", ["N", 64])
    node(b, b.node("Identity", ["x"], "data"), "y")
    b.output("y")
    return b


def ends(b: GraphBuilder, folder: Path) -> dict[str, tuple[float, float]]:
    found = clip_ends(ir.load(b.save(folder)).graph)
    return {name: (each.low, each.high) for name, each in found.items()}


def same(b: GraphBuilder, low: float, high: float) -> None:
    """Values beyond the ends, and the ends, make no difference of half a step of 8 bits."""
    values = np.linspace(-20, 20, 640, dtype=np.float32).reshape(10, 64)
    (whole,) = run(b.model(), {"x": values})
    (clipped,) = run(b.model(), {"x": np.clip(values, low, high)})
    assert np.abs(whole - clipped).max() < 0.5 / 255


@pytest.mark.parametrize("name", ONE)
def test_of_one_node(tmp_path: Path, name: str) -> None:
    node, low, high = ONE[name]
    b = graph_of(node)
    if (low, high) == (-math.inf, math.inf):
        assert ends(b, tmp_path) == {}
        return
    found = ends(b, tmp_path)
    assert found["data"] == found["x"] == pytest.approx((low, high))
    same(b, low, high)
    if not math.isinf(high):
        with pytest.raises(AssertionError):
            same(b, low, high - 0.1 * (high - low))
    with pytest.raises(AssertionError):
        same(b, low + 1.5, high)


@pytest.mark.parametrize("name", CHAINS)
def test_of_all_that_reads(tmp_path: Path, name: str) -> None:
    node, wanted = CHAINS[name]
    b = graph_of(node)
    found = ends(b, tmp_path).get("data")
    assert found == wanted
    if wanted is not None:
        same(b, *wanted)


def test_an_output_is_looked_at_whole(tmp_path: Path) -> None:
    b = graph_of(ONE["HardSwish"][0])
    b.output("data")
    assert ends(b, tmp_path) == {}
