"""Branches of If: names that they share, what no batch reaches, and the calibration cache."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, numpy_helper
from support.branches import IMAGES, agree, choose, convolving, flagged, outer, two_branches
from support.engine import (
    Feeds,
    Quantized,
    all_nodes,
    kernels,
    open_here,
    quantize,
    run,
    sqnr_db,
    static,
)
from support.graphs import Array, GraphBuilder

from zeropoint.engine import JobSettings, NodeSelection, NothingToQuantize, OptionError
from zeropoint.engine.graph import settle_names

# Names


def test_branches_may_share_all_their_names(tmp_path: Path) -> None:
    b = outer("flag")
    choose(b, "flag", "y", convolving("same", seed=1), convolving("same", seed=2))
    b.output("y")
    source = b.save(tmp_path)
    result = quantize(source, flagged("flag"), static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    agree(result, flagged("flag"))
    spoken = [node.name for node in result.report.plan.nodes]
    assert sorted(spoken) == ["conv_same/c"] * 2 + ["if_y"] + ["relu_same/r"] * 2
    excluded = static(selection=NodeSelection(nodes_to_exclude=("conv_same/c",)))
    with pytest.raises(NothingToQuantize, match="excluded by nodes_to_exclude"):
        quantize(source, flagged("flag"), excluded, tmp_path / "none")


def test_nodes_of_branches_go_by_the_users_names(tmp_path: Path) -> None:
    source = two_branches().save(tmp_path)
    options = static(selection=NodeSelection(nodes_to_exclude=("conv_a/*",)))
    result = quantize(source, flagged("flag"), options, tmp_path / "job")
    assert result.states()["conv_a/c"] == "EXCLUDED"
    assert result.states()["conv_b/c"] == "quantized"
    assert kernels(result.path, tmp_path)["QLinearConv"] == 1
    unknown = static(selection=NodeSelection(nodes_to_exclude=("conv_a/d",)))
    with pytest.raises(OptionError, match="did you mean 'conv_a/c'"):
        quantize(source, flagged("flag"), unknown, tmp_path / "unknown")


def test_weight_of_both_branches_is_stored_once(tmp_path: Path) -> None:
    b = outer("flag")
    b.weight("w", 4, 3, 3, 3)
    bodies = []
    for name, data in (("a", "x"), ("b", "x")):
        body = GraphBuilder()
        body.node("Conv", [data, "w"], f"{name}/c", strides=[1 if name == "a" else 2] * 2)
        body.output(f"{name}/c")
        bodies.append(body)
    choose(b, "flag", "y", *bodies)
    b.output("y")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    sizes = [tensor.dims for tensor in result.model.graph.initializer if len(tensor.dims) == 4]
    assert sizes == [[4, 3, 3, 3]]
    read = [n.input[0] for n in all_nodes(result.model.graph) if n.op_type == "DequantizeLinear"]
    assert read.count("w_quantized") == 2
    agree(result, flagged("flag"))


# What no batch reaches


def test_branch_that_is_never_taken_stays_float(tmp_path: Path) -> None:
    source = two_branches().save(tmp_path)
    result = quantize(source, flagged("flag", taken=[True]), static(), tmp_path / "job")
    states = result.states()
    assert (states["conv_a/c"], states["conv_b/c"]) == ("quantized", "NEVER_RUN")
    assert states["relu_b/r"] == "NEVER_RUN"
    (why,) = (n.message for n in result.report.plan.nodes if n.name == "conv_b/c")
    assert why.startswith("b/r was empty or not computed in every batch")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 1
    agree(result, flagged("flag", taken=[True]))
    agree(result, flagged("flag", taken=[False]), least_db=120)


def test_nothing_that_batches_reach_is_an_error(tmp_path: Path) -> None:
    b = outer("flag")
    same = GraphBuilder()
    same.node("Neg", ["x"], "negative")
    same.output("negative")
    choose(b, "flag", "y", same, convolving("b"))
    b.output("y")
    with pytest.raises(NothingToQuantize, match="b/r was empty or not computed") as caught:
        quantize(b.save(tmp_path), flagged("flag", taken=[True]), static(), tmp_path / "job")
    assert caught.value.reason == "NOTHING_TO_QUANTIZE"


def test_tensors_that_are_empty_in_every_batch_stay_float(tmp_path: Path) -> None:
    b = GraphBuilder()
    for name in ("x", "none"):
        b.input(name, ["N" if name == "x" else "M", 3, 8, 8])
        b.node("Relu", [b.conv(name, f"{name}/c", 3, 4)], f"{name}/r")
        b.conv(f"{name}/r", f"{name}/y", 4, 4)
        b.output(f"{name}/y")
    empty: Array = np.zeros((0, 3, 8, 8), np.float32)
    batches: list[Feeds] = [{"x": image, "none": empty} for image in IMAGES]
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    states = result.states()
    assert {states[f"conv_x/{name}"] for name in "cy"} == {"quantized"}
    assert {states[f"conv_none/{name}"] for name in "cy"} == {"NEVER_RUN"}
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    some = {"x": IMAGES[0], "none": IMAGES[1]}
    assert sqnr_db(run(result.source, some)[1], run(result.path, some)[1]) > 120


def test_branches_of_different_shapes_need_opset_11(tmp_path: Path) -> None:
    b = outer("flag", opset=10)
    choose(b, "flag", "chosen", convolving("a"), convolving("b"))
    b.conv("x", "c", 3, 4)
    b.node("Add", ["c", "chosen"], "y")
    b.output("y")
    result = quantize(b.save(tmp_path), flagged("flag"), static(), tmp_path / "job")
    states = result.states()
    assert states["conv_c"] == "quantized"
    assert states["conv_a/c"] == states["conv_b/c"] == "OPSET_TOO_LOW"
    agree(result, flagged("flag"))


def test_order_of_batches_does_not_change_a_byte(tmp_path: Path) -> None:
    source = two_branches().save(tmp_path)
    forward = quantize(source, flagged("flag"), static(), tmp_path / "forward")
    backward = quantize(source, flagged("flag")[::-1], static(), tmp_path / "backward")
    assert forward.path.read_bytes() == backward.path.read_bytes()


# Without data


def test_calibration_holds_what_any_options_need_in_branches(tmp_path: Path) -> None:
    source = two_branches().save(tmp_path)
    for name in ("data", "same", "other"):
        (tmp_path / name).mkdir()
    settings = JobSettings(workspace=tmp_path / "data", keep_calibration=True)
    with open_here(source, static(), settings) as job:
        for batch in flagged("flag", taken=[True]):
            job.observe(batch)
        first = job.finish()
    with open_here(
        source, static(), JobSettings(workspace=tmp_path / "same"), first.calibration
    ) as job:
        assert job.finish().files[0].read_bytes() == first.files[0].read_bytes()
    # Without its Relu the convolution has a range of its own.
    options = static(per_channel=True, selection=NodeSelection(nodes_to_exclude=("relu_a/r",)))
    with open_here(
        source, options, JobSettings(workspace=tmp_path / "other"), first.calibration
    ) as job:
        second = job.finish()
    result = Quantized(source, second.files[0], second.report)
    states = result.states()
    assert (states["conv_a/c"], states["relu_a/r"]) == ("quantized", "EXCLUDED")
    assert states["conv_b/c"] == "NEVER_RUN"
    agree(result, flagged("flag"))


def test_float16_model(tmp_path: Path) -> None:
    b = outer("flag")
    for value in b.inputs[:1]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    bodies = [convolving("a"), convolving("b", seed=2)]
    for body in bodies:
        for tensor in body.initializers:
            array = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        body.outputs[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    choose(b, "flag", "y", *bodies)
    b.output("y", dtype=TensorProto.FLOAT16)
    batches = [{**batch, "x": batch["x"].astype(np.float16)} for batch in flagged("flag")]
    result = quantize(b.save(tmp_path), batches, static(), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 2
    agree(result, batches)


def test_names_of_all_graphs_become_unique(tmp_path: Path) -> None:
    """The main graph keeps its own, and so does the first body."""
    b = outer("flag")
    b.node("Neg", ["x"], "same_1", name="n")
    b.node("Abs", ["same_1"], "z", name="m")
    bodies = []
    for op_type in ("Neg", "Exp"):
        body = GraphBuilder()
        body.node(op_type, ["z"], "same", name="n")
        body.output("same")
        bodies.append(body)
    choose(b, "flag", "y", *bodies)
    model = ir.from_proto(b.model())
    settle_names(model)
    nodes = [node.name for node in model.graph.all_nodes()]
    values = [value.name for node in model.graph.all_nodes() for value in node.outputs]
    assert nodes == ["n", "m", "if_y", "n_1", "n_2"]
    assert values == ["same_1", "z", "y", "same", "same_2"]
