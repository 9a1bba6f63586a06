"""Faults that `onnxruntime.quantization` 1.32 has or had: wrong numbers, crashes and endless loops.

Those of Gemm, Relu, Clip and names in static quantization are in test_static.py, those of opsets
in test_opset.py and test_dynamic.py, those of range methods in test_entropy.py.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.agreement import agreeing
from support.engine import dynamic, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, clip_bounds, normal_batches
from support.unverified import quantize_unverified

from zeropoint.engine import ModelError, NodeSelection, NothingToQuantize, PostTrainingOptions

IMAGES = normal_batches({"x": (2, 4, 12, 12)})
ROWS = normal_batches({"x": (5, 16)})
BOTH = pytest.mark.parametrize("options", [static(), dynamic()], ids=["static", "dynamic"])


def branch(name: str, nodes: Sequence[onnx.NodeProto], output: str) -> onnx.GraphProto:
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [result])


# Weights that are quantized already


@pytest.mark.parametrize("between", ["Transpose", "Reshape", "Split"])
@pytest.mark.parametrize("forced", [False, True])
def test_weights_read_through_dequantizelinear_are_no_endless_loop(
    tmp_path: Path, between: str, forced: bool
) -> None:
    """Parameters were waited for that nothing would ever give; here the codes are kept."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    codes = b.rng.integers(-100, 100, (8, 16) if between == "Transpose" else (16, 8))
    parameters = [
        b.constant("codes", codes.astype(np.int8)),
        b.constant("codes_scale", np.array(0.01, np.float32)),
        b.constant("codes_zero", np.array(0, np.int8)),
    ]
    weight = b.node("DequantizeLinear", parameters, "weight")
    if between == "Transpose":
        weight = b.node("Transpose", [weight], "w", perm=[1, 0])
    elif between == "Reshape":
        weight = b.node("Reshape", [weight, b.constant("shape", np.array([16, 8]))], "w")
    else:
        b.nodes.append(helper.make_node("Split", [weight], ["w", "other"], name="split", axis=1))
        weight = "w"
        b.node("MatMul", ["x", "other"], "z")
        b.output("z")
    b.node("MatMul", ["x", weight], "y")
    b.output("y")
    op_types = ("MatMul", "Transpose", "Reshape") if forced else ()
    options = static(selection=NodeSelection(op_types_to_quantize=op_types))
    source = b.save(tmp_path)
    if between != "Reshape":  # turned codes; and behind Split a product of two activations
        agreeing(source, ROWS, options, tmp_path)
        return
    with pytest.raises(NothingToQuantize, match="quantized already"):
        quantize(source, ROWS, options, tmp_path / "job")


# Relu, Clip and who reads the tensor before


@BOTH
@pytest.mark.parametrize("reader", ["node", "output", "branch"])
def test_relu_is_not_lost_and_does_not_spread(
    tmp_path: Path, options: PostTrainingOptions, reader: str
) -> None:
    """Another reads the convolution itself: a node, the user or a branch."""
    b = GraphBuilder()
    b.input("x", ["N", 4, 12, 12])
    b.node("Relu", [b.conv("x", "c", 4, 4)], "r")
    b.conv("r", "y", 4, 4)
    b.output("y")
    batches = [dict(batch) for batch in IMAGES]
    if reader == "node":
        b.node("Neg", ["c"], "z")
        b.output("z")
    elif reader == "output":
        b.output("c")
    else:
        b.input("flag", [], TensorProto.BOOL)
        for batch in batches:
            batch["flag"] = np.array(True)
        then = branch("then", [helper.make_node("Neg", ["c"], ["negated"])], "negated")
        other = branch("other", [helper.make_node("Abs", ["r"], ["absolute"])], "absolute")
        b.node("If", ["flag"], "z", then_branch=then, else_branch=other)
        b.output("z")
    result = agreeing(b.save(tmp_path), batches, options, tmp_path)
    if reader != "node":
        outputs = [v.name for v in result.model.graph.output]
        before = run(result.path, batches[0])[outputs.index("c" if reader == "output" else "z")]
        assert before.min() < -0.5
        assert before.max() > 0.5


@BOTH
@pytest.mark.parametrize("bounds", [(0.5, 2.0), (-2.0, -0.5)])
def test_clip_keeps_a_bound_that_is_not_zero(
    tmp_path: Path, options: PostTrainingOptions, bounds: tuple[float, float]
) -> None:
    """A Clip was removed although zero, outside its bounds, is in every quantized range."""
    b = GraphBuilder()
    b.input("x", ["N", 4, 12, 12])
    b.node("Clip", [b.conv("x", "c", 4, 4), *clip_bounds(b, *bounds)], "r")
    b.conv("r", "y", 4, 4)
    b.output("r")
    b.output("y")
    source = b.save(tmp_path)
    result = agreeing(source, IMAGES, options, tmp_path)
    clipped = run(result.path, IMAGES[0])[0]
    step = 2.0 / 255
    assert clipped.min() >= bounds[0] - step
    assert clipped.max() <= bounds[1] + step


# Gemm


@BOTH
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_gemm_adds_beta_times_its_bias(
    tmp_path: Path, options: PostTrainingOptions, beta: float
) -> None:
    """The bias was added once, or divided by beta."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    bias = b.constant("c", np.full(4, 3.0, np.float32))
    b.node("Gemm", ["x", b.weight("w", 16, 4), bias], "y", beta=beta, alpha=0.75)
    b.output("y")
    agreeing(b.save(tmp_path), ROWS, options, tmp_path)


@BOTH
def test_gemm_goes_by_its_own_name_and_type(tmp_path: Path, options: PostTrainingOptions) -> None:
    """Gemms were renamed and retyped before the user's choice was read."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("Gemm", ["x", b.weight("w1", 16, 16), b.weight("b1", 16)], "h", name="fc1")
    b.node("Gemm", ["h", b.weight("w2", 16, 4), b.weight("b2", 4)], "y", name="fc2")
    b.output("y")
    source = b.save(tmp_path)
    kind = type(options)
    chosen = {
        "all": NodeSelection(op_types_to_quantize=("Gemm",)),
        "one": NodeSelection(nodes_to_quantize=("fc1",)),
        "other": NodeSelection(nodes_to_exclude=("fc1",)),
    }
    states = {}
    for case, selection in chosen.items():
        case_options = kind(weight=options.weight, selection=selection)
        result = agreeing(source, ROWS, case_options, tmp_path / case)
        states[case] = [result.states()[name] for name in ("fc1", "fc2")]
    assert states == {
        "all": ["quantized", "quantized"],
        "one": ["quantized", "NOT_SELECTED"],
        "other": ["EXCLUDED", "quantized"],
    }
    with pytest.raises(NothingToQuantize):
        agreeing(
            source,
            ROWS,
            kind(selection=NodeSelection(op_types_to_quantize=("MatMul",))),
            tmp_path / "none",
        )


# Names


@BOTH
def test_names_that_a_quantizer_would_give_are_the_user_s(
    tmp_path: Path, options: PostTrainingOptions
) -> None:
    """An initializer of the user's own was taken for the scale."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    value = "x"
    taken = ["x_scale", "x_zero_point", "w_quantized", "w_scale", "matmul_h_weight_scale"]
    taken += ["x_QuantizeLinear_Output", "x_DequantizeLinear_Output", "w_zero_point"]
    taken += ["x_DynamicQuantizeLinear_Output", "matmul_h_MatMulInteger_Output"]
    for index, name in enumerate(taken):
        b.node("Mul", [value, b.constant(name, np.array(1.5, np.float32))], f"m{index}")
        value = f"m{index}"
    b.node("MatMul", ["x", b.weight("w", 16, 16)], "h", name="x_QuantizeLinear")
    b.node("MatMul", [value, b.weight("v", 16, 16)], "g", name="w_DequantizeLinear")
    b.output("h")
    b.output("g")
    agreeing(b.save(tmp_path), ROWS, options, tmp_path)


@BOTH
def test_a_bias_shared_by_nodes_without_names(tmp_path: Path, options: PostTrainingOptions) -> None:
    """Nodes without a name were taken for one another."""
    b = GraphBuilder()
    b.input("x", ["N", 4, 12, 12])
    bias = b.constant("b", np.array([1.0, -2.0, 3.0, 0.5], np.float32))
    for index, scale in enumerate((0.01, 0.2, 3.0)):
        weight = b.weight(f"w{index}", 4, 4, 3, 3, scale=scale)
        b.node("Conv", ["x", weight, bias], f"y{index}", name="")
        b.output(f"y{index}")
    result = agreeing(b.save(tmp_path), IMAGES, options, tmp_path)
    names = [node.name for node in result.model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


# Nodes with attributes or bodies that must stay as they are


def test_lstm_keeps_its_layout(tmp_path: Path) -> None:
    """The layout, which ONNX Runtime refuses, was dropped and the model ran transposed."""
    b = GraphBuilder(opset=14)
    b.input("x", [2, 5, 16])
    weights = [b.weight("w", 1, 32, 16), b.weight("r", 1, 32, 8)]
    b.node("LSTM", ["x", *weights], "h", hidden_size=8, layout=1)
    b.node("MatMul", ["h", b.weight("v", 8, 4)], "y")
    b.output("y")
    with pytest.raises(ModelError, match="layout"):
        quantize_unverified(b.save(tmp_path), [], dynamic(), tmp_path / "job")


@BOTH
def test_a_branch_stays_behind_all_that_it_reads(
    tmp_path: Path, options: PostTrainingOptions
) -> None:
    """Values that a branch captures were not counted in sorting."""
    b = GraphBuilder()
    b.input("flag", [], TensorProto.BOOL)
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.weight("w", 16, 16)], "h")
    b.node("MatMul", ["h", b.weight("v", 16, 16)], "g")
    bodies = [
        branch(op_type, [helper.make_node(op_type, inputs, [f"{op_type}_out"])], f"{op_type}_out")
        for op_type, inputs in (("Add", ["h", "g"]), ("Sub", ["g", "h"]))
    ]
    b.node("If", ["flag"], "i", then_branch=bodies[0], else_branch=bodies[1])
    b.node("MatMul", ["i", b.weight("u", 16, 4)], "y")
    b.output("y")
    source = b.save(tmp_path)
    for flag in (True, False):
        batches = [{**batch, "flag": np.array(flag)} for batch in ROWS]
        agreeing(source, batches, options, tmp_path / str(flag))


def decoder() -> onnx.GraphProto:
    """A body for GreedySearch: one layer of state, which it only passes on."""
    b = GraphBuilder()
    b.input("input_ids", ["B", "S"], TensorProto.INT32)
    b.input("position_ids", ["B", "S"], TensorProto.INT32)
    b.input("attention_mask", ["B", "T"], TensorProto.INT32)
    b.input("past_0", [2, "B", 1, "P", 4])
    b.node("Gather", [b.weight("table", 8, 4, scale=1.0), "input_ids"], "embedded")
    b.node("MatMul", ["embedded", b.weight("head", 4, 8, scale=1.0)], "logits")
    b.node("Unsqueeze", ["embedded", b.constant("axes", np.array([0, 2]))], "heads")
    b.node("Transpose", ["heads"], "new", perm=[0, 1, 2, 3, 4])
    b.node("Concat", ["new", "new"], "twice", axis=0)
    b.output("logits", ["B", "S", 8])
    b.output("present_0", [2, "B", 1, "Q", 4])
    b.node("Concat", ["past_0", "twice"], "present_0", axis=3)
    return b.model().graph


@BOTH
def test_nodes_with_bodies_keep_their_domain(tmp_path: Path, options: PostTrainingOptions) -> None:
    """Nodes with bodies were made anew without their domain."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.input("ids", [1, "S"], TensorProto.INT32)
    b.node("MatMul", ["x", b.weight("w", 16, 4)], "y")
    limits = [
        b.constant("most", np.array([6], np.int32)),
        b.constant("least", np.array([1], np.int32)),
    ]
    b.node(
        "GreedySearch",
        ["ids", *limits],
        "sequences",
        domain="com.microsoft",
        decoder=decoder(),
        eos_token_id=7,
        pad_token_id=0,
        decoder_start_token_id=0,
    )
    b.output("y", ["N", 4])
    b.output("sequences", [1, 6], TensorProto.INT32)
    model = b.model()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "model.onnx")
    batches = [{**batch, "ids": np.array([[1, 2, 3]], np.int32)} for batch in ROWS]
    result = agreeing(tmp_path / "model.onnx", batches, options, tmp_path)
    domains = {node.op_type: node.domain for node in result.model.graph.node}
    assert domains["GreedySearch"] == "com.microsoft"


# The caller's files


@BOTH
def test_the_result_does_not_need_the_model_that_it_came_from(
    tmp_path: Path, options: PostTrainingOptions
) -> None:
    """Weights were left pointing into a folder that was gone, in the caller's own model."""
    folder = tmp_path / "user"
    folder.mkdir()
    b = GraphBuilder()
    b.input("x", ["N", 64])
    b.node("MatMul", ["x", b.weight("w", 64, 64)], "h")
    b.node("Mul", ["h", b.weight("kept", 64)], "m")
    b.node("Sub", ["m", b.weight("float", 64, 64)], "y")
    b.output("y")
    source = folder / "model.onnx"
    onnx.save(b.model(), source, save_as_external_data=True, size_threshold=16)
    batches = normal_batches({"x": (64, 64)})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    reference = run(source, batches[0])[0]
    result = quantize_unverified(source, batches, options, tmp_path / "job")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    shutil.rmtree(folder)
    for path in (tmp_path / "job").iterdir():
        if path not in (result.path, result.path.parent):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert sqnr_db(reference, run(result.path, batches[0])[0]) > 25
