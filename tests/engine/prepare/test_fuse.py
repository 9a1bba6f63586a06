"""Folding affine functions into the layers before them."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.engine import run
from support.graphs import GraphBuilder

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import add_origins, origins
from zeropoint.engine.prepare import fuse_affine

CHANNELS = 6


def fused(model: onnx.ModelProto) -> ir.Model:
    result = ir.from_proto(model)
    for node in result.graph:
        add_origins(node, [node.name or ""])
    with tempfile.TemporaryDirectory() as folder:
        fuse_affine(result.graph, WeightFile(Path(folder) / "weights.data"))
        for value in result.graph.initializers.values():
            assert value.const_value is not None
            array = np.array(value.const_value.numpy())
            value.const_value = ir.Tensor(array, name=value.name)
    return result


def agree(model: onnx.ModelProto, result: ir.Model, shape: tuple[int, ...]) -> None:
    x = {"x": np.random.default_rng(3).standard_normal(shape).astype(np.float32)}
    for one, other in zip(run(model, x), run(ir.to_proto(result), x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(one).max())


def op_types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@dataclass(frozen=True)
class Layer:
    """A layer with `CHANNELS` output channels and the shape of its input and output."""

    op_type: str
    weight: tuple[int, ...]
    attributes: dict[str, object]
    shape: tuple[int, ...]
    rank: int

    def add_to(self, b: GraphBuilder, bias: bool) -> None:
        b.input("x", self.shape)
        inputs = ["x", b.weight("w", *self.weight)]
        if bias:
            inputs.append(b.weight("b", CHANNELS))
        b.node(self.op_type, inputs, "layer", name="layer", **self.attributes)


LAYERS = {
    "conv": Layer("Conv", (CHANNELS, 4, 3, 3), {}, (2, 4, 8, 8), 4),
    "depthwise": Layer("Conv", (CHANNELS, 1, 3, 3), {"group": 6}, (2, 6, 8, 8), 4),
    "conv 1d": Layer("Conv", (CHANNELS, 4, 3), {"strides": [2]}, (2, 4, 9), 3),
    "transposed": Layer("ConvTranspose", (4, CHANNELS, 2, 2), {}, (2, 4, 5, 5), 4),
    "transposed in groups": Layer("ConvTranspose", (4, 3, 2, 2), {"group": 2}, (2, 4, 5, 5), 4),
    "gemm": Layer("Gemm", (5, CHANNELS), {"alpha": 0.5, "beta": 0.25}, (3, 5), 2),
    "gemm transposed": Layer("Gemm", (CHANNELS, 5), {"transB": 1}, (3, 5), 2),
    "gemm transposed twice": Layer("Gemm", (CHANNELS, 5), {"transB": 1, "transA": 1}, (5, 3), 2),
}


def batch_normalization(b: GraphBuilder, data: str, output: str, **attributes: object) -> str:
    figures = [b.weight(f"{output}_{role}", CHANNELS, scale=1.0) for role in ("g", "b", "m")]
    variance = b.constant(f"{output}_v", b.rng.uniform(0.3, 3, CHANNELS).astype(np.float32))
    return b.node("BatchNormalization", [data, *figures, variance], output, **attributes)


@given(
    st.sampled_from(sorted(LAYERS)),
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from(["BatchNormalization", "Add", "Mul", "Sub", "Div"]),
            st.sampled_from(["scalar", "one", "channels", "full"]),
            st.booleans(),
        ),
        max_size=3,
    ),
)
@settings(max_examples=60, deadline=None)
def test_any_chain_of_affine_functions(
    kind: str, bias: bool, chain: list[tuple[str, str, bool]]
) -> None:
    layer = LAYERS[kind]
    b = GraphBuilder()
    layer.add_to(b, bias)
    shapes = {
        "scalar": (),
        "one": (1,),
        "channels": (CHANNELS, *[1] * (layer.rank - 2)),
        "full": (1, CHANNELS, *[1] * (layer.rank - 2)),
    }
    data, stays = "layer", False
    for number, (op_type, shape, on_the_left) in enumerate(chain):
        output = f"after{number}"
        if op_type == "BatchNormalization":
            data = batch_normalization(b, data, output)
            continue
        array = b.rng.uniform(0.5, 2, shapes[shape]).astype(np.float32)
        inputs = [data, b.constant(f"c{number}", array)]
        stays = stays or (op_type == "Div" and on_the_left)
        data = b.node(op_type, inputs[::-1] if on_the_left else inputs, output)
    b.output(data)
    result = fused(b.model())
    if stays:  # 1/x near zero magnifies rounding, so figures would say nothing
        assert "Div" in op_types(result)
    else:
        agree(b.model(), result, layer.shape)
        (node,) = result.graph
        assert origins(node) == tuple(item.name for item in b.nodes)
    assert result.graph.outputs[0].name == data


def conv_and(change: Callable[[GraphBuilder], None], opset: int = 13) -> onnx.ModelProto:
    b = GraphBuilder(opset)
    LAYERS["conv"].add_to(b, bias=True)
    change(b)
    return b.model()


def read_twice(b: GraphBuilder) -> None:
    batch_normalization(b, "layer", "n")
    b.node("Add", ["layer", "n"], "y")
    b.output("y")


def output_itself(b: GraphBuilder) -> None:
    batch_normalization(b, "layer", "n")
    b.output("layer")
    b.output("n")


def of_the_layer_itself(b: GraphBuilder) -> None:
    b.node("Mul", ["layer", "layer"], "y")
    b.output("y")


def along_another_axis(b: GraphBuilder) -> None:
    b.node("Mul", ["layer", b.weight("c", 6)], "y")  # six columns, not six channels
    b.output("y")


def that_widens(b: GraphBuilder) -> None:
    b.node("Add", ["layer", b.weight("c", 1, 1, 6, 1, 1)], "y")
    b.output("y")


def by_zero(b: GraphBuilder) -> None:
    b.node("Div", ["layer", b.constant("c", np.zeros((6, 1, 1), np.float32))], "y")
    b.output("y")


def beyond_float(b: GraphBuilder) -> None:
    b.node("Mul", ["layer", b.constant("c", np.full((6, 1, 1), 3e38, np.float32))], "d")
    b.node("Mul", ["d", b.constant("e", np.full((6, 1, 1), 3e38, np.float32))], "y")
    b.output("y")


def computed(b: GraphBuilder) -> None:
    b.node("ReduceMean", ["x"], "mean", axes=[0, 1, 2, 3])
    b.node("Mul", ["layer", "mean"], "y")
    b.output("y")


def overridable(b: GraphBuilder) -> None:
    b.node("Mul", ["layer", b.weight("c", 6, 1, 1)], "y")
    b.input("c", [6, 1, 1])
    b.output("y")


def in_training(b: GraphBuilder) -> None:
    batch_normalization(b, "layer", "n", training_mode=1)
    b.nodes[-1].output.extend(["running_mean", "running_var"])
    b.output("n")


@pytest.mark.parametrize(
    "change",
    [
        read_twice,
        output_itself,
        of_the_layer_itself,
        along_another_axis,
        that_widens,
        by_zero,
        beyond_float,
        computed,
        overridable,
        in_training,
    ],
)
def test_what_is_not_folded(change: Callable[[GraphBuilder], None]) -> None:
    model = conv_and(change, 15 if change is in_training else 13)
    result = fused(model)
    assert op_types(result) == [node.op_type for node in model.graph.node]
    if change is not in_training:
        x = {"x": np.ones(LAYERS["conv"].shape, np.float32)}
        for one, other in zip(run(model, x), run(ir.to_proto(result), x), strict=True):
            np.testing.assert_array_equal(one, other)


def test_normalization_over_positions_of_old_models_is_not_folded() -> None:
    model = conv_and(lambda b: b.output(batch_normalization(b, "layer", "n", spatial=0)), 7)
    assert op_types(fused(model)) == ["Conv", "BatchNormalization"]


def test_shared_weights_are_left_to_the_others() -> None:
    b = GraphBuilder()
    b.input("x", [2, 4, 8, 8])
    b.weight("w", 6, 4, 3, 3)
    b.weight("b", 6)
    b.node("Conv", ["x", "w", "b"], "plain")
    batch_normalization(b, b.node("Conv", ["x", "w", "b"], "layer"), "n")
    b.node("Add", ["plain", "n"], "y")
    b.output("y")
    result = fused(b.model())
    assert op_types(result) == ["Conv", "Conv", "Add"]
    agree(b.model(), result, (2, 4, 8, 8))


def test_weights_read_by_a_branch_are_left_to_it() -> None:
    b = GraphBuilder()
    LAYERS["conv"].add_to(b, bias=False)
    batch_normalization(b, "layer", "n")

    def branch(op_type: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op_type}_out", 1, None)
        return helper.make_graph(
            [helper.make_node(op_type, ["w"], [f"{op_type}_out"])], op_type, [], [out]
        )

    b.constant("choice", np.array(True))
    b.node("If", ["choice"], "other", then_branch=branch("Neg"), else_branch=branch("Abs"))
    b.output("n")
    b.output("other")
    result = fused(b.model())
    assert op_types(result) == ["Conv", "If"]
    agree(b.model(), result, (2, 4, 8, 8))


def test_a_layer_read_by_a_branch_is_left_alone() -> None:
    b = GraphBuilder()
    LAYERS["conv"].add_to(b, bias=False)

    def branch(op_type: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op_type}_out", 1, None)
        nodes = [
            helper.make_node("Constant", [], [f"{op_type}_c"], value_float=2.0),
            helper.make_node(op_type, ["layer", f"{op_type}_c"], [f"{op_type}_out"]),
        ]
        return helper.make_graph(nodes, op_type, [], [out])

    b.constant("choice", np.array(True))
    b.node("If", ["choice"], "y", then_branch=branch("Mul"), else_branch=branch("Add"))
    b.output("y")
    result = fused(b.model())
    assert op_types(result) == ["Conv", "If"]
    agree(b.model(), result, (2, 4, 8, 8))


def test_half_precision_is_computed_in_double() -> None:
    b = GraphBuilder()
    b.input("x", [2, 4, 8, 8], TensorProto.FLOAT16)
    b.constant("w", b.rng.standard_normal((6, 4, 3, 3)).astype(np.float16))
    b.constant("c", np.full((6, 1, 1), 1e-4, np.float16))
    b.constant("d", np.full((6, 1, 1), 1e4, np.float16))
    b.node("Mul", [b.node("Mul", [b.node("Conv", ["x", "w"], "layer"), "c"], "m"), "d"], "y")
    b.output("y", None, TensorProto.FLOAT16)
    result = fused(b.model())
    assert op_types(result) == ["Conv"]
    weight = result.graph.initializers["w"].const_value
    assert weight is not None
    np.testing.assert_allclose(weight.numpy(), numpy_helper.to_array(b.initializers[0]), rtol=2e-3)
