"""Scalar factors and shifts in front of convolutions move into their weights."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import run
from support.graphs import GraphBuilder

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import add_origins, array_of, origins
from zeropoint.engine.prepare import fuse_affine_before

X = np.random.default_rng(5).normal(size=(2, 4, 6, 5)).astype(np.float32) * 3
FIGURES = st.sampled_from([-2.0, -0.3, 0.7, 1.0, 5.0])
PADS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"pads": [1] * 4}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "VALID"}]
)
FLAG = st.booleans()
_numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("affine")


class Network(GraphBuilder):
    """An activation, scalar arithmetic, and convolutions."""

    def begin(self) -> str:
        self.input("x", X.shape)
        return self.node("HardSwish", ["x"], "h")

    def step(self, op_type: str, value: str, figure: float, *, first: bool = False) -> str:
        scalar = self.constant(f"c{len(self.initializers)}", np.array(figure, np.float32))
        inputs = [scalar, value] if first else [value, scalar]
        return self.node(op_type, inputs, f"t{len(self.nodes)}", name=f"n{len(self.nodes)}")

    def convolved(self, value: str, name: str, groups: int, bias: bool, **how: object) -> None:
        inputs = [value, self.weight(f"{name}_w", 8, 4 // groups, 3, 3)]
        inputs += [self.weight(f"{name}_b", 8)] if bias else []
        self.node("Conv", inputs, name, name=f"conv_{name}", group=groups, **how)
        self.output(name)

    def fused(self, folder: Path) -> ir.Model:
        model = ir.from_proto(onnx.shape_inference.infer_shapes(self.model()))
        for node in model.graph:
            add_origins(node, [node.name or ""])
        fuse_affine_before(model.graph, WeightFile(folder / f"{next(_numbers)}.data"))
        for value in model.graph.initializers.values():
            value.const_value = ir.Tensor(np.array(array_of(value)), name=value.name)
        return model


def agree(b: Network, result: ir.Model) -> None:
    for one, other in zip(
        run(b.model(), {"x": X}), run(ir.to_proto(result), {"x": X}), strict=True
    ):
        np.testing.assert_allclose(other, one, rtol=0, atol=2e-5 * max(1.0, np.abs(one).max()))


def op_types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_scalars_move_into_weights(folder: Path, data: st.DataObject) -> None:
    b = Network(14)
    value = b.begin()
    for _ in range(data.draw(st.integers(1, 3))):
        op_type, figure = (
            data.draw(st.sampled_from(["Add", "Sub", "Mul", "Div"])),
            data.draw(FIGURES),
        )
        value = b.step(op_type, value, figure, first=op_type != "Div" and data.draw(FLAG))
    padded = False
    for index in range(data.draw(st.integers(1, 2))):
        how = data.draw(PADS)
        padded |= "pads" in how or how.get("auto_pad", "VALID") != "VALID"
        groups, bias = data.draw(st.sampled_from([1, 2, 4])), data.draw(FLAG)
        b.convolved(value, f"y{index}", groups, bias, **how)
    result = b.fused(folder)
    agree(b, result)
    left = [op_type for op_type in op_types(result) if op_type not in ("HardSwish", "Conv")]
    if not padded:
        assert not left
    else:
        steps = [node for node in b.nodes if node.op_type not in ("HardSwish", "Conv")]
        assert left in ([], ["Add"]) or len(left) == len(steps)
    stood_for = [name for node in result.graph for name in origins(node)]
    assert sorted(stood_for) == sorted(node.name for node in b.nodes)


@pytest.mark.parametrize(
    "spoil",
    ["channels", "padded shift", "another reader", "user reads it", "tied weight", "lost", "GELU"],
)
def test_what_is_none_or_serves_others_stays(tmp_path: Path, spoil: str) -> None:
    b = Network(14)
    value = b.begin()
    if spoil == "channels":
        value = b.node("Mul", [value, b.weight("f", 4, 1, 1)], "t")
    elif spoil == "GELU":  # ONNX Runtime makes one kernel of it
        error = b.node("Erf", [b.step("Div", value, 2**0.5)], "error")
        product = b.node("Mul", [value, b.step("Add", error, 1.0)], "product")
        value = b.step("Mul", product, 0.5)
    elif spoil == "lost":  # what is rounded away stays so
        value = b.step("Sub", b.step("Add", value, 1e6), 1e6)
    else:
        value = b.step("Add" if spoil == "padded shift" else "Mul", value, 0.7)
    b.convolved(value, "y", 1, False, pads=[int(spoil == "padded shift")] * 4)
    if spoil == "another reader":
        b.node("Relu", [value], "z")
        b.output("z")
    if spoil == "user reads it":
        b.output(value)
    if spoil == "tied weight":
        b.node("Conv", ["x", "y_w"], "z")
        b.output("z")
    result = b.fused(tmp_path)
    assert op_types(result) == [node.op_type for node in b.nodes]
    agree(b, result)
