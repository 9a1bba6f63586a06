"""What the user's file says of inputs, outputs and values is said by the result, too."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.engine import quantize, run
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import DynamicOptions, Options, QatOptions, StaticOptions, WeightOptions

BY_CHANNEL = StaticOptions(weight=WeightOptions(per_channel=True))
OPTIONS = {"static": StaticOptions(), "by channel": BY_CHANNEL, "dynamic": DynamicOptions()}


def described(info: onnx.ValueInfoProto) -> None:
    """Say of a value all that can be said."""
    info.doc_string = f"what {info.name} is"
    info.metadata_props.add(key="unit", value="mV")
    info.type.denotation = "TENSOR"
    for axis, dim in enumerate(info.type.tensor_type.shape.dim):
        dim.denotation = f"AXIS_{axis}"


def last_node(b: GraphBuilder, op_type: str) -> None:
    figures = [b.constant(f"f{n}", np.full(8, n / 4 + 0.5, np.float32)) for n in range(4)]
    factor = b.constant("factor", np.full((8, 1), 1.5, np.float32))
    shape = b.constant("shape", np.array([0, 8, -1]))
    inputs = {"BatchNormalization": figures, "Mul": [factor], "Add": [factor], "Reshape": [shape]}
    attributes: dict[str, dict[str, Any]] = {
        "Cast": {"to": TensorProto.FLOAT},
        "Transpose": {"perm": [0, 1, 2]},
    }
    b.node(op_type, ["t", *inputs.get(op_type, [])], "y", **attributes.get(op_type, {}))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    "op_type",
    [
        *("Identity", "Dropout", "Cast", "BatchNormalization", "Mul", "Add"),
        *("Relu", "Clip", "Reshape", "Transpose", "Sigmoid"),
    ],
)
def test_outputs_and_inputs_are_described_as_before(
    op_type: str, options: Options, tmp_path: Path
) -> None:
    b = GraphBuilder(12)
    b.input("x", ["batch", 8, "frames"])
    b.node("Conv", ["x", b.weight("w", 8, 8, 3)], "c", strides=[2])
    bounds = [b.constant(n, np.array([v])) for n, v in (("from", 0), ("to", -1), ("axis", 2))]
    b.node("Conv", [b.node("Slice", ["c", *bounds], "s"), b.weight("v", 8, 8, 3)], "t")
    last_node(b, op_type)
    b.output("y", ["batch", 8, "frames_out"])
    model = b.model()
    described(model.graph.input[0])
    described(model.graph.output[0])
    onnx.save(model, tmp_path / "model.onnx")
    batches = normal_batches({"x": (2, 8, 60)}, 3)
    result = quantize(tmp_path / "model.onnx", batches, options, tmp_path / "job").model
    assert list(result.graph.input) == list(model.graph.input)
    assert list(result.graph.output) == list(model.graph.output)


def test_values_inside_keep_their_descriptions(tmp_path: Path) -> None:
    """Also where a value's node is folded into the one before, and the name with it."""
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    figures = [b.constant(f"f{n}", np.full(4, n / 4 + 0.5, np.float32)) for n in range(4)]
    b.node("BatchNormalization", [b.conv("x", "c", 3, 4), *figures], "n")
    b.node("Relu", ["n"], "r")
    b.conv("r", "y", 4, 4)
    b.output("y", ["N", 4, 8, 8])
    model = b.model()
    for name in ("n", "r"):
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4, 8, 8])
        described(info)
        model.graph.value_info.append(info)
    onnx.save(model, tmp_path / "model.onnx")
    batches = normal_batches({"x": (2, 3, 8, 8)}, 3)
    result = quantize(tmp_path / "model.onnx", batches, StaticOptions(), tmp_path / "job").model
    told = {info.name: info for info in result.graph.value_info}
    assert [told[info.name] for info in model.graph.value_info] == list(model.graph.value_info)


def sequences(b: GraphBuilder) -> onnx.ValueInfoProto:
    b.node("SequenceConstruct", ["c", "d"], "y")
    return helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, ["N", 4, "H", 8])


def optionals(b: GraphBuilder) -> onnx.ValueInfoProto:
    b.node("Optional", ["c"], "y")
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 4, "H", 8])
    return helper.make_value_info("y", helper.make_optional_type_proto(inner))


def maps(b: GraphBuilder) -> onnx.ValueInfoProto:
    b.node("ReduceMean", ["c"], "means", axes=[2, 3], keepdims=0)
    b.node("ZipMap", ["means"], "y", domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3])
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    classes = helper.make_map_type_proto(TensorProto.INT64, value)
    return helper.make_value_info("y", helper.make_sequence_type_proto(classes))


@pytest.mark.parametrize("made", [sequences, optionals, maps])
def test_outputs_that_are_no_tensors_are_declared_as_before(made: object, tmp_path: Path) -> None:
    assert callable(made)
    b = GraphBuilder(16)
    b.input("x", ["N", 3, 8, 8])
    b.conv("x", "c", 3, 4)
    b.conv("c", "d", 4, 4)
    b.output("d", ["N", 4, 8, 8])
    info = made(b)
    info.doc_string = "several"
    model = b.model()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    model.graph.output.append(info)
    onnx.save(model, tmp_path / "model.onnx")
    batches = normal_batches({"x": (2, 3, 8, 8)}, 3)
    result = quantize(tmp_path / "model.onnx", batches, StaticOptions(), tmp_path / "job")
    assert result.model.graph.output[1] == info
    run(result.path, batches[0])


def test_what_is_not_declared_is_what_the_graph_gives(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    b.conv("x", "y", 3, 4)
    b.output("y")
    model = b.model()
    model.graph.output[0].doc_string = "a map"
    onnx.save(model, tmp_path / "model.onnx")
    batches = normal_batches({"x": (2, 3, 8, 8)}, 3)
    result = quantize(tmp_path / "model.onnx", batches, StaticOptions(), tmp_path / "job").model
    wanted = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8], "a map")
    assert list(result.graph.output) == [wanted]


def test_trained_models_are_described_as_before(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["batch", 3, 8, 8])
    scale, zero = (
        b.constant("s", np.array(0.02, np.float32)),
        b.constant("z", np.array(128, np.uint8)),
    )
    for name in ("x", "c"):
        b.node("QuantizeLinear", [name, scale, zero], f"{name}_q")
        b.node("DequantizeLinear", [f"{name}_q", scale, zero], f"{name}_d")
        if name == "x":
            codes = b.constant("w_q", b.rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8))
            signed = [
                b.constant("w_s", np.array(0.003, np.float32)),
                b.constant("w_z", np.array(0, np.int8)),
            ]
            b.node("DequantizeLinear", [codes, *signed], "w")
            b.node("Conv", ["x_d", "w"], "c")
    b.node("Identity", ["c_d"], "y")
    b.output("y", ["batch", 4, "H", "W"])
    model = b.model()
    described(model.graph.output[0])
    onnx.save(model, tmp_path / "model.onnx")
    batches = normal_batches({"x": (2, 3, 8, 8)}, 1)
    result = quantize(tmp_path / "model.onnx", batches, QatOptions(), tmp_path / "job").model
    assert list(result.graph.output) == list(model.graph.output)
