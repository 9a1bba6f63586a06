"""Hard-swish and hard-sigmoid, written as exporters write them, become one operator."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.engine import run
from support.graphs import Array, GraphBuilder
from support.preparing import op_types, prepared

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import add_origins, origins
from zeropoint.engine.prepare import PreparedModel, name_hard_functions

EPSILON = np.finfo(np.float32).eps
CASES = settings(max_examples=50, deadline=None)
FLAG = st.booleans()
_folders = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hard")


class Chain(GraphBuilder):
    """Scalar arithmetic on a tensor, node by node."""

    def step(self, op_type: str, value: str, *figures: float, first: bool = False) -> str:
        """Add a node of a tensor and scalars, which stand in front of it where `first`."""
        names = [
            self.constant(f"c{len(self.initializers)}", np.array(f, np.float32)) for f in figures
        ]
        inputs = [*names, value] if first else [value, *names]
        return self.node(op_type, inputs, f"t{len(self.nodes)}", name=f"n{len(self.nodes)}")

    def times(self, one: str, other: str) -> str:
        return self.node("Mul", [one, other], f"t{len(self.nodes)}", name=f"n{len(self.nodes)}")

    def named(self, folder: Path) -> ir.Model:
        """Return the model after the pass alone."""
        model = ir.from_proto(onnx.shape_inference.infer_shapes(self.model()))
        for node in model.graph:
            add_origins(node, [node.name or ""])
        weights = WeightFile(folder / f"{next(_folders)}.data")
        name_hard_functions(model.graph, weights, self.opset)
        return model

    def prepared(self, folder: Path, min_opset: int = 13) -> PreparedModel:
        work = folder / str(next(_folders))
        work.mkdir()
        return prepared(self.save(work), work, min_opset)


def names_of(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def points(*size: int) -> Array:
    """Return numbers at and around the bends of all functions here, and far from them."""
    near = np.linspace(-9, 9, 1441, dtype=np.float32)
    ends = np.array([-3, 3, np.nextafter(np.float32(-3), 0), 1e-30, -1e4, 1e4, 0], np.float32)
    every = np.concatenate([near, ends])
    return np.resize(every, size) if size else every


def held(b: GraphBuilder, result: onnx.ModelProto | Path, x: Array, scale: Array | float) -> None:
    """Hold results to the original's within some roundings of values as large as `scale`."""
    feeds = {"x": x}
    for one, other in zip(run(b.model(), feeds), run(result, feeds), strict=True):
        assert (np.abs(one.astype(np.float64) - other) <= 16 * EPSILON * np.abs(scale)).all()


def clamped(draw: Any, b: Chain, value: str, low: float, high: float) -> str:
    """Clamp a tensor in one of the ways that there are."""
    way = draw(st.sampled_from(["Clip", "MinMax", "MaxMin", "Relu", "ReluFirst"]))
    if way == "Clip" or (low and way.startswith("Relu")):
        return b.step("Clip", value, low, high)
    if way == "MinMax":
        return b.step("Max", b.step("Min", value, high, first=True), low)
    if way == "ReluFirst":
        return b.step("Min", b.step("Relu", value), high)
    return b.step("Min", b.step("Max", value, low), high, first=True)


def ramp(draw: Any, b: Chain, x: str, scale: float) -> str:
    """Add scale * clip(x / 6 + 1 / 2, 0, 1)."""
    inner = draw(st.sampled_from([1.0, 6.0, 2.0, 12.0]))  # what it is multiplied with in front
    match draw(st.sampled_from(["Add", "Sub", "Mul", "HardSigmoid"])):
        case "Add":
            value = clamped(draw, b, b.step("Add", x, 3.0, first=draw(FLAG)), 0.0, 6.0)
            inner = 6.0
        case "Sub":
            value = clamped(draw, b, b.step("Sub", x, -3.0), 0.0, 6.0)
            inner = 6.0
        case "Mul":
            value = b.step("Mul", x, inner / 6, first=draw(FLAG))
            value = clamped(draw, b, b.step("Add", value, inner / 2), 0.0, inner)
        case _:
            value = (
                b.times(x, "unused")
                if False
                else b.node(
                    "HardSigmoid", [x], f"t{len(b.nodes)}", name=f"n{len(b.nodes)}", alpha=1 / 6
                )
            )
            inner = 1.0
    return multiplied(draw, b, value, scale / inner)


def multiplied(draw: Any, b: Chain, value: str, factor: float) -> str:
    if factor == 1.0:
        return value
    if draw(FLAG):
        return b.step("Mul", value, factor, first=draw(FLAG))
    return b.step("Div", value, 1 / factor)


@CASES
@given(data=st.data())
def test_hard_swish_however_it_is_written(folder: Path, data: st.DataObject) -> None:
    b = Chain(opset=data.draw(st.sampled_from([14, 17])))
    b.input("x", ["N"])
    before, after = data.draw(st.sampled_from([(1.0, 1.0), (1 / 6, 6.0), (2.0, 0.5), (1.0, 6.0)]))
    x = multiplied(data.draw, b, "x", before)
    gate = ramp(data.draw, b, "x", 1.0 / (before * after) if after != 6.0 else 1.0 / (before * 6))
    product = b.times(*((x, gate) if data.draw(FLAG) else (gate, x)))
    b.output(multiplied(data.draw, b, product, after))
    result = b.named(folder)
    assert names_of(result) == ["HardSwish"]
    assert set(origins(result.graph[0])) == {node.name for node in b.nodes}
    held(b, ir.to_proto(result), points(), points())


@CASES
@given(data=st.data())
def test_what_is_nearly_hard_swish_stays(folder: Path, data: st.DataObject) -> None:
    b = Chain(opset=14)
    b.input("x", ["N"])
    off = 1 + data.draw(st.sampled_from([1e-5, 1e-3, 0.1, -1e-5, -0.5]))
    which = data.draw(st.integers(0, 3))
    shift, low, high, divisor = (
        figure * off if index == which else figure
        for index, figure in enumerate((3.0, 0.0, 6.0, 6.0))
    )
    low = off - 1 if which == 1 else low
    gate = b.step("Clip", b.step("Add", "x", shift), low, high)
    b.output(b.step("Div", b.times("x", gate), divisor))
    result = b.named(folder)
    assert "HardSwish" not in names_of(result)
    held(b, ir.to_proto(result), points(), points())


@CASES
@given(data=st.data())
def test_random_chains_compute_what_they_did(folder: Path, data: st.DataObject) -> None:
    b = Chain(opset=data.draw(st.sampled_from([11, 14])))
    b.input("x", ["N"])
    size = np.abs(points().astype(np.float64))
    value, error = "x", 0 * size  # the most that rounding makes of it
    for _ in range(data.draw(st.integers(1, 6))):
        op_type = data.draw(st.sampled_from(["Add", "Sub", "Mul", "Div", "Min", "Max", "Relu"]))
        figure = data.draw(st.sampled_from([-6.0, -1.0, -0.2, 0.0, 1 / 6, 0.5, 1.0, 3.0, 6.0]))
        if op_type == "Relu":
            value = b.step("Relu", value)
        elif figure or op_type != "Div":
            value = b.step(op_type, value, figure, first=op_type != "Div" and data.draw(FLAG))
        factor = {"Mul": abs(figure), "Div": 1 / abs(figure or 1)}.get(op_type, 1.0)
        size = size * factor + abs(figure)
        error = error * factor + EPSILON * size
    if data.draw(FLAG):
        value = b.times("x", value)
        error = error * np.abs(points()) + EPSILON * size
    b.output(value if value != "x" else b.step("Relu", "x"))
    held(b, ir.to_proto(b.named(folder)), points(), error / EPSILON + 10 * np.abs(points()))


@pytest.mark.parametrize(("slope", "offset"), [(0.2, 0.5), (1 / 6, 0.5), (-0.3, 0.4), (2.0, -1.0)])
def test_a_ramp_from_0_to_1_is_hard_sigmoid(tmp_path: Path, slope: float, offset: float) -> None:
    b = Chain()
    b.input("x", ["N"])
    b.output(b.step("Clip", b.step("Add", b.step("Mul", "x", slope), offset), 0.0, 1.0))
    result = b.prepared(tmp_path)
    assert op_types(result) == (["HardSigmoid"] if slope > 0 else ["Mul", "Add", "Clip"])
    held(b, result.path, points(), points())


def gated(opset: int = 13, alpha: float = 0.2, beta: float = 0.5) -> GraphBuilder:
    """Squeeze and excite: what a Conv computes, times the hard-sigmoid of what another does."""
    b = GraphBuilder(opset)
    b.input("x", [1, 4, 6, 6])
    b.conv("x", "features", 4, 8)
    b.node("GlobalAveragePool", ["features"], "means")
    b.node("Conv", ["means", b.weight("w", 8, 8, 1, 1), b.weight("bias", 8)], "squeezed")
    b.node("HardSigmoid", ["squeezed"], "gate", alpha=alpha, beta=beta)
    b.node("Mul", ["features", "gate"], "y")
    b.output("y")
    return b


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.5), (1 / 6, 0.5), (0.3, 0.1)])
def test_behind_a_layer_a_clip_is_left(tmp_path: Path, alpha: float, beta: float) -> None:
    b = gated(alpha=alpha, beta=beta)
    result = prepared(b.save(tmp_path), tmp_path)
    assert op_types(result) == ["Conv", "GlobalAveragePool", "Conv", "Clip", "Mul"]
    assert origins(result.model.graph[3]) == ("hardsigmoid_gate",)
    assert result.model.graph[3].outputs[0].name == "gate"
    held(b, result.path, points(1, 4, 6, 6) * 0.01, 10.0)


def test_what_users_read_is_no_part_of_a_layer(tmp_path: Path) -> None:
    b = gated()
    b.output("gate")
    types = op_types(prepared(b.save(tmp_path), tmp_path))
    assert types == ["Conv", "GlobalAveragePool", "Conv", "HardSigmoid", "Mul"]


def test_before_opset_11_a_gate_stays(tmp_path: Path) -> None:
    result = prepared(gated(10).save(tmp_path), tmp_path, 10)
    assert "HardSigmoid" in op_types(result)


@pytest.mark.parametrize("inner", ["t0", "t1", "t2"])
def test_what_others_read_too_stays(tmp_path: Path, inner: str) -> None:
    b = Chain()
    b.input("x", ["N"])
    product = b.times("x", b.step("Clip", b.step("Add", "x", 3.0), 0.0, 6.0))
    b.output(b.step("Div", product, 6.0))
    b.output(inner)
    result = b.prepared(tmp_path)
    assert op_types(result) == ["Add", "Clip", "Mul", "Div"]
    assert result.opset == 13


def test_a_constant_that_adds_an_axis_stays(tmp_path: Path) -> None:
    b = Chain(opset=14)
    b.input("x", [5])
    b.constant("three", np.full((1, 1), 3, np.float32))
    gate = b.step("Clip", b.node("Add", ["x", "three"], "t0"), 0.0, 6.0)
    b.output(b.step("Div", b.times("x", gate), 6.0))
    assert "HardSwish" not in op_types(b.prepared(tmp_path))


def test_an_opset_that_cannot_be_raised_stays(tmp_path: Path) -> None:
    b = Chain(opset=10)
    b.input("x", [1, 1, 8, 8])
    b.input("scales", [4])
    gate = b.node("Min", [b.step("Relu", b.step("Add", "x", 3.0)), "six"], "gate")
    b.constant("six", np.array(6, np.float32))
    b.step("Div", b.times("x", gate), 6.0)
    b.output(b.node("Resize", [b.nodes[-1].output[0], "scales"], "y"))
    result = b.prepared(tmp_path, 10)
    assert result.opset == 10
    assert "Div" in op_types(result)


def test_bodies_have_hard_swish_too(tmp_path: Path) -> None:
    branches = []
    for sign in (1.0, 2.0):
        inner = Chain()
        value = inner.step("Mul", "x", sign)
        gate = inner.step("Clip", inner.step("Add", value, 3.0), 0.0, 6.0)
        inner.output(inner.step("Div", inner.times(value, gate), 6.0), ["N"])
        for tensor in inner.initializers:
            tensor.name = f"{sign}_{tensor.name}"
        for node in inner.nodes:
            node.input[:] = [f"{sign}_{i}" if i.startswith("c") else i for i in node.input]
        branches.append(inner.graph())
    b = Chain()
    b.input("x", ["N"])
    b.input("which", [], onnx.TensorProto.BOOL)
    node = helper.make_node(
        "If", ["which"], ["y"], then_branch=branches[0], else_branch=branches[1]
    )
    b.nodes.append(node)
    b.output("y", ["N"])
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    types = [node.op_type for node in result.model.graph.all_nodes()]
    assert types.count("HardSwish") == 2
    for which in (True, False):
        feeds = {"x": points(), "which": np.array(which)}
        for one, other in zip(run(source, feeds), run(result.path, feeds), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * 20000)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((("Max", 0.0),), ["Relu"]),
        ((("Max", -0.4),), ["Clip"]),
        ((("Min", 6.0), ("Relu",)), ["Clip"]),
        ((("Relu",), ("Min", 6.0)), ["Clip"]),
        ((("Max", -2.0), ("Min", 3.0), ("Clip", -1.0, 9.0)), ["Clip"]),
        ((("Max", 2.0), ("Min", 1.0)), ["Clip", "Min"]),  # a constant, which nobody writes
        ((("Relu",),), ["Relu"]),
        ((("Max", -np.inf),), ["Max"]),
    ],
)
def test_clamps_are_one(
    tmp_path: Path, steps: tuple[tuple[str, *tuple[float, ...]], ...], expected: list[str]
) -> None:
    b, value = Chain(), "x"
    b.input("x", ["N"])
    for op_type, *figures in steps:
        value = b.step(op_type, value, *figures)
    b.output(value)
    result = b.named(tmp_path)
    assert names_of(result) == expected
    held(b, ir.to_proto(result), points(), 0.0)
    stood_for = [name for node in result.graph for name in origins(node)]
    assert sorted(stood_for) == sorted(node.name for node in b.nodes)


def test_before_opset_11_only_relu_is_named(tmp_path: Path) -> None:
    b = Chain(opset=10)
    b.input("x", ["N"])
    b.output(b.step("Max", b.step("Min", "x", 6.0), 0.0))
    assert names_of(b.named(tmp_path)) == ["Min", "Max"]
