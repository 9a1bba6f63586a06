"""Shapes that a file declares and that its graph contradicts are not believed."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.engine import Feeds, quantize, run, sqnr_db
from support.graphs import Array, GraphBuilder

from zeropoint.engine import DynamicOptions, Options, StaticOptions, WeightOptions

BY_CHANNEL = StaticOptions(weight=WeightOptions(per_channel=True))
OPTIONS = {"static": StaticOptions(), "by channel": BY_CHANNEL, "dynamic": DynamicOptions()}
FLOAT = TensorProto.FLOAT


def declared(name: str, *shape: int | str, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def split(batch: int | str = 1) -> GraphBuilder:
    """Conv, Split in 64 and 8 channels, Conv and Sigmoid of either: [batch, 16, 8, 8]."""
    b = GraphBuilder(12)
    b.input("x", [batch, 8, 8, 8])
    b.node("Conv", ["x", b.weight("w", 72, 8, 1, 1)], "c")
    b.nodes.append(helper.make_node("Split", ["c"], ["sa", "sb"], axis=1, split=[64, 8]))
    b.node("Conv", ["sa", b.weight("v", 8, 64, 1, 1)], "d")
    b.node("Concat", ["d", b.node("Sigmoid", ["sb"], "e")], "y", axis=1)
    b.output("y", [batch, 16, 8, 8])
    return b


def stale_value() -> tuple[onnx.ModelProto, Feeds]:
    model = split().model()
    model.graph.value_info.extend([declared("sa", 1, 36, 8, 8), declared("sb", 1, 36, 8, 8)])
    return model, {"x": normal(1, 8, 8, 8)}


def stale_rank() -> tuple[onnx.ModelProto, Feeds]:
    model = split().model()
    model.graph.value_info.extend([declared("c", 1, 72), declared("d", 8)])
    return model, {"x": normal(1, 8, 8, 8)}


def stale_output() -> tuple[onnx.ModelProto, Feeds]:
    model = split().model()
    model.graph.output[0].CopyFrom(declared("y", 1, 25, 8, 8))
    return model, {"x": normal(1, 8, 8, 8)}


def batch_was_one() -> tuple[onnx.ModelProto, Feeds]:
    """Only the input was made dynamic."""
    model = split("N").model()
    model.graph.output[0].CopyFrom(declared("y", 1, 16, 8, 8))
    shapes = {"c": 72, "sa": 64, "sb": 8, "d": 8, "e": 8}
    model.graph.value_info.extend(declared(name, 1, c, 8, 8) for name, c in shapes.items())
    return model, {"x": normal(3, 8, 8, 8)}


def behind_what_cannot_be_inferred() -> tuple[onnx.ModelProto, Feeds]:
    """onnx infers nothing behind a contrib operator; ONNX Runtime does."""
    b = split()
    b.node("BiasGelu", ["y", b.weight("bias", 8)], "g", domain="com.microsoft")
    b.node("Conv", ["g", b.weight("u", 4, 16, 3, 3)], "h")
    b.node("Concat", ["h", b.node("Relu", ["h"], "k")], "z", axis=1)
    b.outputs.clear()
    b.output("z", [1, 8, 6, 6])
    model = b.model()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.value_info.extend([declared("g", 1, 3, 8, 8), declared("h", 1, 5, 6, 6)])
    return model, {"x": normal(1, 8, 8, 8)}


def in_a_branch() -> tuple[onnx.ModelProto, Feeds]:
    b = GraphBuilder(13)
    b.input("x", [1, 3, 8, 8])
    b.input("flag", [], TensorProto.BOOL)
    b.conv("x", "c", 3, 8)
    branches = {}
    for name in ("then_branch", "else_branch"):
        body = GraphBuilder(13)
        body.conv("c", f"{name}/d", 8, 6)
        body.node("Relu", [f"{name}/d"], f"{name}/r")
        body.conv(f"{name}/r", f"{name}/y", 6, 4)
        body.output(f"{name}/y", [1, 4, 8, 8])
        branches[name] = body.graph(name)
        stale = [declared(f"{name}/{value}", 1, 9, 8, 8) for value in "dr"]
        branches[name].value_info.extend(stale)
    node = helper.make_node(
        "If",
        ["flag"],
        ["y"],
        then_branch=branches["then_branch"],
        else_branch=branches["else_branch"],
    )
    b.nodes.append(node)
    b.output("y", [1, 4, 8, 8])
    return b.model(), {"x": normal(1, 3, 8, 8), "flag": np.array(True)}


def normal(*shape: int) -> Array:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


STALE = [
    stale_value,
    stale_rank,
    stale_output,
    batch_was_one,
    behind_what_cannot_be_inferred,
    in_a_branch,
]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("made", STALE)
def test_the_result_runs_wherever_the_float_model_does(
    made: object, options: Options, tmp_path: Path
) -> None:
    assert callable(made)
    model, feeds = made()
    onnx.save(model, tmp_path / "model.onnx")
    result = quantize(tmp_path / "model.onnx", [feeds] * 2, options, tmp_path / "job")
    for optimize in (False, True):
        (wanted,) = run(tmp_path / "model.onnx", feeds, optimize=optimize)
        (got,) = run(result.path, feeds, optimize=optimize)
        assert sqnr_db(wanted, got) > 20
    inferred = onnx.shape_inference.infer_shapes(result.model, strict_mode=True, data_prop=True)
    assert inferred.graph.output[0].type.tensor_type.HasField("shape")


def test_shapes_that_contradict_nothing_are_believed(tmp_path: Path) -> None:
    """Names of sizes that only the file knows stay, and what cannot be inferred is told by it."""
    b = GraphBuilder()
    b.input("x", ["N", 4, 8])
    b.input("shape", [2], TensorProto.INT64)
    b.node("Reshape", ["x", "shape"], "r")
    b.node("MatMul", ["r", b.weight("w", 8, 6)], "m")
    b.node("Relu", ["m"], "y")
    b.output("y", ["rows", 6])
    model = b.model()
    model.graph.value_info.extend([declared("r", "rows", 8), declared("m", "rows", 6)])
    onnx.save(model, tmp_path / "model.onnx")
    feeds = {"x": normal(2, 4, 8), "shape": np.array([-1, 8])}
    result = quantize(tmp_path / "model.onnx", [feeds], StaticOptions(), tmp_path / "job").model
    assert result.graph.output[0] == model.graph.output[0]
    assert model.graph.value_info[0] in result.graph.value_info
