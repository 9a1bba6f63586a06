"""Operators without integer kernel: Q/DQ around them where they are named, and only there."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.engine import kernels, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import NodeSelection, NothingToQuantize, StaticOptions

SHAPE = (2, 4, 6, 6)
IMAGES = normal_batches({"x": SHAPE})

# Operator, shapes of its further constant inputs, attributes, opset.
CASES: list[tuple[str, list[Any], dict[str, Any], int]] = [
    ("Sub", [(4, 1, 1)], {}, 13),
    ("Div", [np.array(1.7, np.float32)], {}, 13),
    ("Pow", [np.array(2, np.float32)], {}, 13),
    ("Erf", [], {}, 13),
    ("Gelu", [], {}, 20),
    ("Tanh", [], {}, 13),
    ("HardSwish", [], {}, 14),
    ("HardSigmoid", [], {}, 13),
    ("Elu", [], {}, 13),
    ("PRelu", [(4, 1, 1)], {}, 13),
    ("ReduceMean", [], {"axes": [2, 3]}, 13),
    ("ReduceSum", [np.array([1], np.int64)], {}, 13),
    ("Einsum", [(6, 5)], {"equation": "ncij,jk->ncik"}, 13),
    ("InstanceNormalization", [(4,), (4,)], {}, 13),
    ("LayerNormalization", [(6,), (6,)], {}, 17),
    ("LayerNormalization", [(6, 6), (6, 6)], {"axis": 2}, 17),
    ("BatchNormalization", [(4,), (4,), (4,), np.full(4, 0.7, np.float32)], {}, 13),
    ("CumSum", [np.array(3, np.int64)], {}, 13),
    ("Pad", [np.array([0, 0, 1, 1, 0, 0, 1, 1])], {}, 13),
    ("GlobalMaxPool", [], {}, 13),
    ("SpaceToDepth", [], {"blocksize": 2}, 13),
    ("Max", [(4, 1, 1)], {}, 13),
    ("ConvTranspose", [(4, 6, 3, 3), (6,)], {"strides": [2, 2]}, 13),
    ("ConvTranspose", [(4, 3, 3, 3), (6,)], {"group": 2}, 13),
    ("ConvTranspose", [(4, 3, 3, 3)], {"group": 2}, 13),
]


def alone(op_type: str, extras: list[Any], attributes: dict[str, Any], opset: int) -> GraphBuilder:
    b = GraphBuilder(opset)
    b.input("x", list(SHAPE))
    inputs = ["x"]
    for number, extra in enumerate(extras):
        name = f"c{number}"
        array = isinstance(extra, np.ndarray)
        inputs.append(b.constant(name, extra) if array else b.weight(name, *extra, scale=1.0))
    b.node(op_type, inputs, "y", name="node", **attributes)
    b.output("y")
    return b


def named(op_type: str, *, per_channel: bool = False) -> StaticOptions:
    selection = NodeSelection(op_types_to_quantize=(op_type,))
    return static(selection=selection, per_channel=per_channel)


def around(model: onnx.ModelProto) -> tuple[bool, bool]:
    """Whether the data and the result of the node go through codes."""
    node = next(node for node in model.graph.node if node.name == "node")
    producers = {output: n.op_type for n in model.graph.node for output in n.output}
    readers = [n.op_type for n in model.graph.node if node.output[0] in n.input]
    return producers.get(node.input[0]) == "DequantizeLinear", readers == ["QuantizeLinear"]


@pytest.mark.parametrize(("op_type", "extras", "attributes", "opset"), CASES)
def test_a_named_operator_has_pairs_around_it(
    tmp_path: Path, op_type: str, extras: list[Any], attributes: dict[str, Any], opset: int
) -> None:
    source = alone(op_type, extras, attributes, opset).save(tmp_path)
    per_channel = op_type == "ConvTranspose"
    result = quantize(source, IMAGES, named(op_type, per_channel=per_channel), tmp_path / "job")
    assert result.states() == {"node": "quantized"}
    assert around(result.model) == (True, True)
    reference, other = run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]
    assert sqnr_db(reference, other) > 25
    other = run(result.path, IMAGES[0], optimize=False)[0]
    assert sqnr_db(reference, other) > 25


def test_an_output_that_is_no_float_stays(tmp_path: Path) -> None:
    b = alone("ArgMax", [], {"axis": 1}, 13)
    b.outputs.clear()
    b.output("y", dtype=onnx.TensorProto.INT64)
    result = quantize(b.save(tmp_path), IMAGES, named("ArgMax"), tmp_path / "job")
    assert around(result.model) == (True, False)


def test_values_of_top_k(tmp_path: Path) -> None:
    b = alone("TopK", [np.array([2])], {"axis": 1}, 13)
    b.nodes[-1].output.append("indices")
    source = b.save(tmp_path)
    result = quantize(source, IMAGES, named("TopK"), tmp_path / "job")
    assert around(result.model) == (True, True)
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 30


def test_by_default_it_stays_float_and_says_how_to_have_it(tmp_path: Path) -> None:
    source = alone("Tanh", [], {}, 13).save(tmp_path)
    with pytest.raises(NothingToQuantize, match="no integer kernel for Tanh; name it in"):
        quantize(source, IMAGES, static(), tmp_path / "default")
    pattern = static(selection=NodeSelection(nodes_to_quantize=("*",)))
    with pytest.raises(NothingToQuantize, match="no integer kernel for Tanh"):
        quantize(source, IMAGES, pattern, tmp_path / "pattern")
    exact = static(selection=NodeSelection(nodes_to_quantize=("node",)))
    assert quantize(source, IMAGES, exact, tmp_path / "exact").states() == {"node": "quantized"}


def test_arithmetic_of_integers_stays(tmp_path: Path) -> None:
    b = alone("Sub", [(4, 1, 1)], {}, 13)
    b.inputs[0].type.tensor_type.shape.dim[0].dim_param = "N"
    shape = b.node("Shape", ["x"], "shape")
    b.node("Sub", [shape, b.constant("one", np.array([1], np.int64))], "less", name="integers")
    b.output("less", dtype=onnx.TensorProto.INT64)
    result = quantize(b.save(tmp_path), IMAGES, named("Sub"), tmp_path / "job")
    assert result.states()["node"] == "quantized"
    assert result.states()["integers"] == "TYPE_NOT_SUPPORTED"


@pytest.mark.parametrize(
    ("shape", "weight", "group"),
    [((2, 4, 20), (8, 2, 3), 2), ((1, 4, 5, 6, 7), (8, 4, 3, 3, 3), 1)],
)
def test_convolutions_of_one_and_three_dimensions(
    tmp_path: Path, shape: tuple[int, ...], weight: tuple[int, ...], group: int
) -> None:
    b = GraphBuilder()
    b.input("x", list(shape))
    b.node("Conv", ["x", b.weight("w", *weight), b.weight("b", 8)], "y", group=group)
    b.output("y")
    source, batches = b.save(tmp_path), normal_batches({"x": shape})
    result = quantize(source, batches, static(per_channel=True), tmp_path / "job")
    assert kernels(result.path, tmp_path)["QLinearConv"] == 1
    assert sqnr_db(run(source, batches[0])[0], run(result.path, batches[0])[0]) > 25
