"""Prepared models compute what the user's do, and say what became of each node."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import models
from support.branches import SHAPE, choose, outer
from support.graphs import Array, GraphBuilder, residual
from support.preparing import agree, op_types, prepared, saved, uniform

from zeropoint.engine.load import load_model
from zeropoint.engine.prepare import prepare_model

# --- real models ------------------------------------------------------------------------------


def magika() -> Path:
    return next(models.folder(models.MAGIKA).rglob("*.onnx"))


def mnist() -> Path:
    return next(models.folder(models.QONNX).rglob("*.onnx"))


def silero(name: str) -> Path:
    return next(models.folder(models.SILERO).rglob(name))


REAL: dict[str, tuple[Callable[[], Path], Callable[[], dict[str, Array]]]] = {
    "detector": (models.detector, lambda: next(models.detector_batches(1))),
    "recognizer": (models.recognizer, lambda: next(models.recognizer_batches(1))),
    "classifier": (models.classifier, lambda: {"x": uniform(0, 2, 3, 48, 192)}),
    "magika": (
        magika,
        lambda: {"bytes": np.random.default_rng(0).integers(0, 257, (2, 2048), np.int32)},
    ),
    "mnist": (mnist, lambda: {"Input3": uniform(0, 1, 1, 28, 28)}),
    "silero": (
        lambda: silero("silero_vad_16k_op15.onnx"),
        lambda: {
            "input": uniform(0, 2, 576),
            "state": uniform(1, 2, 2, 128),
            "sr": np.array(16000),
        },
    ),
    "silero in branches": (
        lambda: silero("silero_vad.onnx"),
        lambda: {
            "input": uniform(0, 2, 576),
            "state": uniform(1, 2, 2, 128),
            "sr": np.array(16000),
        },
    ),
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("min_opset", [13, 21])
def test_real_models_agree(name: str, min_opset: int, tmp_path: Path) -> None:
    source, feeds = REAL[name]
    result = prepared(source(), tmp_path, min_opset)
    assert result.opset >= min_opset
    assert result.model.opset_imports[""] == result.opset
    assert not result.contrib_qdq
    agree(source(), result, feeds())


@pytest.mark.parametrize("source", [models.detector, models.recognizer, models.classifier])
def test_ocr_models_come_out_lean(source: Callable[[], Path], tmp_path: Path) -> None:
    result = prepared(source(), tmp_path)
    present = set(op_types(result))
    assert present.isdisjoint({"BatchNormalization", "Constant", "Dropout", "Identity", "Flatten"})
    for node in result.model.graph:
        assert result.origins(node), node.name
        if node.op_type in {"Conv", "ConvTranspose"}:
            assert node.inputs[1] is not None
            assert node.inputs[1].is_initializer()
        for value in node.outputs:
            assert value.dtype is not None, value.name
            assert value.shape is not None, value.name


def test_every_user_node_is_kept_folded_or_constant(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    loaded = load_model(models.detector(), workspace)
    result = prepare_model(loaded, min_opset=13, workspace=workspace)
    alive = [name for node in result.model.graph for name in result.origins(node)]
    assert len(alive) == len(set(alive))
    gone = {node for node in loaded.nodes if node.name not in set(alive)}
    assert {node.op_type for node in gone} == {"Constant"}


# --- inputs that have values ------------------------------------------------------------------


def test_weights_of_old_files_are_constants(tmp_path: Path) -> None:
    result = prepared(mnist(), tmp_path)
    assert [value.name for value in result.model.graph.inputs] == ["Input3"]
    assert [warning.code for warning in result.warnings] == ["WEIGHTS_WERE_INPUTS"]
    assert "Reshape" in op_types(result)
    assert len(op_types(result)) == 9  # the Reshape of the constant weight is computed


def listing_inputs(b: GraphBuilder) -> onnx.ModelProto:
    model = b.model()
    for tensor in b.initializers:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)
    return model


def test_weights_that_are_listed_as_inputs_are_constants(tmp_path: Path) -> None:
    source = saved(listing_inputs(residual()), tmp_path)
    result = prepared(source, tmp_path)
    assert [value.name for value in result.model.graph.inputs] == ["x"]
    (warning,) = result.warnings
    assert warning.code == "WEIGHTS_WERE_INPUTS"
    assert "12 inputs" in warning.message
    agree(source, result, {"x": uniform(0, 2, 3, 16, 16)})


def test_defaults_of_inputs_stay_overridable(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [4])
    b.node("Mul", ["x", b.constant("gain", np.array([2.0], np.float32))], "m")
    b.node("Neg", ["gain"], "n")
    b.node("Add", ["m", "n"], "y")
    b.output("y")
    source = saved(listing_inputs(b), tmp_path)
    result = prepared(source, tmp_path)
    assert [value.name for value in result.model.graph.inputs] == ["x", "gain"]
    assert op_types(result) == ["Mul", "Neg", "Add"]
    assert not result.warnings
    agree(source, result, {"x": uniform(0, 4)})
    agree(source, result, {"x": uniform(0, 4), "gain": np.array([5.0], np.float32)})


# --- steps ------------------------------------------------------------------------------------


def no_ops(b: GraphBuilder) -> None:
    b.input("x", [2, 4])
    b.node("Identity", ["x"], "a")
    b.node("Dropout", ["a"], "b")
    b.node("Cast", ["b"], "c", to=TensorProto.FLOAT)
    b.node("Relu", ["c"], "r")
    b.node("Dropout", ["r", b.constant("ratio", np.array(0.5, np.float32))], "d")
    b.node("Identity", ["d"], "y")
    b.output("y")


def test_no_ops_are_removed_and_outputs_keep_their_names(tmp_path: Path) -> None:
    b = GraphBuilder()
    no_ops(b)
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    assert op_types(result) == ["Relu"]
    assert [value.name for value in result.model.graph.outputs] == ["y"]
    agree(source, result, {"x": uniform(0, 2, 4)})


def outputs_of_one_value(b: GraphBuilder) -> None:
    b.node("Identity", [b.node("Relu", ["x"], "r")], "same")
    b.output("r")
    b.output("same")


def output_of_an_input(b: GraphBuilder) -> None:
    b.node("Identity", ["x"], "y")
    b.output("y")


def output_of_a_constant(b: GraphBuilder) -> None:
    b.node("Identity", [b.weight("w", 2)], "y")
    b.node("Relu", ["x"], "r")
    b.output("r")
    b.output("y")


def training_dropout(b: GraphBuilder) -> None:
    training = b.constant("training", np.array(True))
    ratio = b.constant("ratio", np.array(0.0, np.float32))
    b.node("Dropout", ["x", ratio, training], "y")
    b.output("y")


def dropout_with_mask(b: GraphBuilder) -> None:
    b.nodes.append(helper.make_node("Dropout", ["x"], ["d", "mask"]))
    b.node("Cast", ["mask"], "m", to=TensorProto.FLOAT)
    b.node("Add", ["d", "m"], "y")
    b.output("y")


@pytest.mark.parametrize(
    "build",
    [
        outputs_of_one_value,
        output_of_an_input,
        output_of_a_constant,
        training_dropout,
        dropout_with_mask,
    ],
)
def test_no_ops_that_must_stay(build: Callable[[GraphBuilder], None], tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [2, 4])
    build(b)
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    assert op_types(result) == [node.op_type for node in b.nodes]
    agree(source, result, {"x": uniform(0, 2, 4)})


def test_constants_are_computed(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [2, 40])
    b.node("Transpose", [b.weight("w", 30, 40)], "t", perm=[1, 0])
    b.node("Cast", [b.constant("scale", np.array(2.0, np.float64))], "s", to=TensorProto.FLOAT)
    b.node("Mul", ["t", "s"], "ts")
    b.node("MatMul", ["x", "ts"], "y")
    b.output("y")
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    assert op_types(result) == ["MatMul"]
    weight = result.model.graph.initializers["ts"].const_value
    assert isinstance(weight, ir.ExternalTensor)
    np.testing.assert_array_equal(weight.numpy(), 2 * numpy_helper.to_array(b.initializers[0]).T)
    agree(source, result, {"x": uniform(0, 2, 40)})


def grows(b: GraphBuilder) -> None:
    shape = b.constant("shape", np.array([1000, 1000]))
    b.node("Expand", [b.constant("c", np.ones((1, 1), np.float32)), shape], "k")


def is_random(b: GraphBuilder) -> None:
    b.node("RandomNormalLike", [b.constant("c", np.ones((1, 4), np.float32))], "k")


def says_how_it_is_quantized(b: GraphBuilder) -> None:
    b.constant("q", np.array([[1, 2, 3, 4]], np.int8))
    b.constant("q_scale", np.array(0.5, np.float32))
    b.node("DequantizeLinear", ["q", "q_scale"], "k")


def chooses(b: GraphBuilder) -> None:
    out = helper.make_tensor_value_info("inner", 1, [1, 4])
    node = helper.make_node("Identity", ["c"], ["inner"])
    branch = helper.make_graph([node], "branch", [], [out])
    b.constant("c", np.ones((1, 4), np.float32))
    choice = b.constant("choice", np.array(True))
    b.node("If", [choice], "k", then_branch=branch, else_branch=branch)


@pytest.mark.parametrize("build", [grows, is_random, says_how_it_is_quantized, chooses])
def test_constants_that_stay(build: Callable[[GraphBuilder], None], tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [1, 4] if build is not grows else [1, 1000])
    build(b)
    b.node("Add", ["x", "k"], "y")
    b.output("y")
    result = prepared(b.save(tmp_path), tmp_path)
    assert op_types(result) == [node.op_type for node in b.nodes]


def test_constants_of_branches_are_constants_of_the_model(tmp_path: Path) -> None:
    def branch(op_type: str, value: float) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op_type}_out", 1, [300])
        tensor = numpy_helper.from_array(np.full(300, value, np.float32), "w")
        nodes = [
            helper.make_node("Constant", [], [f"{op_type}_c"], value_float=1.0),
            helper.make_node("Mul", ["x", "w"], [f"{op_type}_m"]),
            helper.make_node(op_type, [f"{op_type}_m", f"{op_type}_c"], [f"{op_type}_out"]),
        ]
        return helper.make_graph(nodes, op_type, [], [out], [tensor])

    b = GraphBuilder()
    b.input("x", [300])
    b.input("choice", [], TensorProto.BOOL)
    b.node("If", ["choice"], "y", then_branch=branch("Add", 2), else_branch=branch("Sub", 3))
    b.output("y", [300])
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    assert len(result.model.graph.initializers) == 4
    assert all(not graph.initializers for graph in result.model.graph.subgraphs())
    for choice in (True, False):
        agree(source, result, {"x": uniform(0, 300), "choice": np.array(choice)})


def with_functions(opset: int = 13) -> onnx.ModelProto:
    b = GraphBuilder(opset)
    b.input("x", [2, 4])
    b.node("Outer", ["x"], "m", domain="local", name="first call")
    b.node("Outer", ["m"], "y", domain="local", name="second call")
    b.output("y", [2, 4])
    model = b.model()
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    inner = [helper.make_node("Constant", [], ["c"], value_float=2.0),
             helper.make_node("Mul", ["a", "c"], ["b"], name="mul")]  # fmt: skip
    outer = [helper.make_node("Inner", ["a"], ["m"], domain="local", name="inner"),
             helper.make_node("Relu", ["m"], ["b"])]  # fmt: skip
    for name, body in (("Inner", inner), ("Outer", outer)):
        model.functions.append(helper.make_function("local", name, ["a"], ["b"], body, opsets))
    model.opset_import.append(opsets[1])
    return model


def test_constants_of_branches_are_computed_where_shapes_are_not_known(tmp_path: Path) -> None:
    """Shape inference does not see what a Slice in a branch reads around it."""
    b, then, other = outer("flag"), GraphBuilder(), GraphBuilder()
    b.weight("w", 4, 3, 1, 1)
    for name, start in (("low", 0), ("high", 2)):
        bounds = [b.constant(f"{name}_{i}", np.array([start + i])) for i in (0, 2)]
        then.node("Slice", ["w", *bounds], name)
    then.node("Conv", ["x", then.node("Concat", ["high", "low"], "turned", axis=0)], "a")
    then.output("a")
    other.output(other.node("Conv", ["x", "w"], "b"))
    choose(b, "flag", "y", then, other)
    b.output("y")
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    assert {node.op_type for node in result.model.graph.all_nodes()} == {"If", "Conv"}
    for flag in (True, False):
        agree(source, result, {"x": np.ones(SHAPE, np.float32), "flag": np.array(flag)})


def test_functions_are_replaced_by_bodies_that_stand_for_the_call(tmp_path: Path) -> None:
    source = saved(with_functions(), tmp_path)
    result = prepared(source, tmp_path)
    assert op_types(result) == ["Mul", "Relu", "Mul", "Relu"]
    assert [result.origins(node) for node in result.model.graph] == [
        ("first call",),
        ("first call",),
        ("second call",),
        ("second call",),
    ]
    agree(source, result, {"x": uniform(0, 2, 4)})


def test_functions_that_cannot_be_inlined_are_left(tmp_path: Path) -> None:
    model = with_functions()
    for function in model.functions:
        function.opset_import[0].version = 14
    source = saved(model, tmp_path)
    result = prepared(source, tmp_path)
    assert op_types(result) == ["Outer", "Outer"]
    agree(source, result, {"x": uniform(0, 2, 4)})


def test_nodes_out_of_order_are_sorted(tmp_path: Path) -> None:
    b = residual()
    b.nodes.reverse()
    source = b.save(tmp_path)
    result = prepared(source, tmp_path)
    assert op_types(result)[0] == "Conv"
    agree(source, result, {"x": uniform(0, 2, 3, 16, 16)})


def test_types_behind_foreign_operators_come_from_the_runtime(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4])
    b.node("Gelu", ["x"], "g", domain="com.microsoft")
    b.node("MatMul", ["g", b.weight("w", 4, 3)], "m")
    b.node("Relu", ["m"], "y")
    b.output("y")
    model = b.model()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    result = prepared(saved(model, tmp_path), tmp_path)
    values = {v.name: v for node in result.model.graph for v in node.outputs}
    assert values["g"].dtype is ir.DataType.FLOAT
    assert values["m"].dtype is ir.DataType.FLOAT
    assert values["m"].shape is not None
    assert values["m"].shape[1] == 3


def test_unused_nodes_go(tmp_path: Path) -> None:
    b = residual()
    b.node("Relu", [b.node("Mul", ["x", b.weight("unused", 16)], "dead")], "deader")
    result = prepared(b.save(tmp_path), tmp_path)
    assert "Mul" not in op_types(result)
    assert "unused" not in result.model.graph.initializers


def lines(count: int) -> Iterator[dict[str, Array]]:
    return islice(models.recognizer_batches(count), count)


def test_recognizer_reads_lines_of_any_width(tmp_path: Path) -> None:
    result = prepared(models.recognizer(), tmp_path)
    widths = set()
    for feeds in lines(3):
        widths.add(feeds["x"].shape[-1])
        agree(models.recognizer(), result, feeds)
    assert widths
