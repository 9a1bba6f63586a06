"""Generated graphs: as many nodes, or as many bytes of weights, as are asked for."""

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DEEP_INPUT = (1, 8, 8, 8)
"""Shape of the input x of `write_deep`, float32."""
WIDE_INPUT = (1, 4096)
"""Shape of the input x of `write_wide`, float32."""

_CHANNELS, _WIDTH = DEEP_INPUT[1], WIDE_INPUT[1]
_OPSETS = [helper.make_opsetid("", 17)]
_IR_VERSION = 8


def write_deep(path: Path, nodes: int) -> None:
    """Write residual blocks in a row, of operators as real networks have them.

    Args:
        path: The ONNX file.
        nodes: How many nodes, rounded up to whole blocks of eight.
    """
    graph = _Deep()
    value = "x"
    while len(graph.nodes) < nodes:
        value = graph.block(value)
    onnx.save(_model(graph.nodes, graph.initializers, DEEP_INPUT, value), path)


class _Deep:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def block(self, value: str) -> str:
        norm = [self._weight(_CHANNELS, around=around) for around in (1, 0, 0, 1)]
        inner = self._add("Conv", value, self._weight(_CHANNELS, _CHANNELS, 1, 1))
        inner = self._add("Relu", self._add("BatchNormalization", inner, *norm))
        inner = self._add("MatMul", inner, self._weight(DEEP_INPUT[3], DEEP_INPUT[3]))
        value = self._add("Add", inner, value)
        value = self._add("Mul", value, self._add("Sigmoid", value))
        # Without it, values would vanish or explode over a thousand blocks.
        return self._add("LayerNormalization", value, self._weight(DEEP_INPUT[3], around=1))

    def _add(self, op_type: str, *inputs: str) -> str:
        name = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=name))
        return name

    def _weight(self, *shape: int, around: float = 0) -> str:
        values = self._random.normal(around, 0.1, shape).astype(np.float32)
        name = f"weight_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(values, name))
        return name


def write_wide(path: Path, weight_bytes: int) -> None:
    """Write square MatMuls with Relu between them, their weights inside the file.

    Args:
        path: The ONNX file.
        weight_bytes: Bytes of weights, rounded up to whole weights of 64 MiB; below 2 GB.
    """
    random = np.random.default_rng(0)
    nodes, initializers = [], []
    value = "x"
    for index in range(math.ceil(weight_bytes / (4 * _WIDTH * _WIDTH))):
        weight = random.standard_normal((_WIDTH, _WIDTH), np.float32)
        weight *= np.float32((2 / _WIDTH) ** 0.5)  # keeps the scale behind a Relu
        initializers.append(numpy_helper.from_array(weight, f"weight_{index}"))
        product, rectified = f"MatMul_{index}", f"Relu_{index}"
        nodes.append(helper.make_node("MatMul", [value, f"weight_{index}"], [product], product))
        nodes.append(helper.make_node("Relu", [product], [rectified], rectified))
        value = rectified
    onnx.save(_model(nodes, initializers, WIDE_INPUT, value), path)


def _model(
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto],
    shape: tuple[int, ...],
    output: str,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "generated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION)
