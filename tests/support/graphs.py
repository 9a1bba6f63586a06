"""Small models built in code, each about one thing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]


@dataclass
class GraphBuilder:
    """Collects nodes and initializers of one float32 model."""

    opset: int = 13
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def input(
        self, name: str, shape: Sequence[int | str] | None, dtype: int = TensorProto.FLOAT
    ) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(
        self, name: str, shape: Sequence[int | str] | None = None, dtype: int = TensorProto.FLOAT
    ) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, name: str, array: Array) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, name: str, *shape: int, scale: float = 0.2) -> str:
        return self.constant(name, (self.rng.standard_normal(shape) * scale).astype(np.float32))

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        name = attributes.pop("name", f"{op_type.lower()}_{output}")
        node = helper.make_node(op_type, list(inputs), [output], name=name, **attributes)
        self.nodes.append(node)
        return output

    def conv(self, data: str, output: str, c_in: int, c_out: int, *, bias: bool = True) -> str:
        inputs = [data, self.weight(f"{output}_w", c_out, c_in, 3, 3)]
        if bias:
            inputs.append(self.weight(f"{output}_b", c_out))
        return self.node("Conv", inputs, output, pads=[1, 1, 1, 1])

    def graph(self, name: str = "graph") -> onnx.GraphProto:
        """Return the graph alone, as a body of another."""
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.initializers)

    def model(self, **metadata: str) -> onnx.ModelProto:
        graph = self.graph()
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        helper.set_model_props(model, metadata)
        return model

    def save(self, folder: Path) -> Path:
        path = folder / "model.onnx"
        onnx.save(self.model(), path)
        return path


def residual(opset: int = 13) -> GraphBuilder:
    """Two blocks of convolutions with a residual Add, pooling, and a Gemm head: [N,3,16,16]."""
    b = GraphBuilder(opset)
    b.input("x", ["N", 3, 16, 16])
    b.node("Relu", [b.conv("x", "c1", 3, 8)], "r1")
    b.node("Relu", [b.conv("r1", "c2", 8, 8)], "r2")
    b.node("Add", [b.conv("r2", "c3", 8, 8), "r1"], "sum")
    b.node("Relu", ["sum"], "r3")
    b.node("MaxPool", ["r3"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    b.node("Clip", [b.conv("pool", "c4", 8, 8), *clip_bounds(b, 0.0, 6.0)], "r4")
    b.node("GlobalAveragePool", ["r4"], "gap")
    b.node("Flatten", ["gap"], "flat")
    b.node("Gemm", ["flat", b.weight("fc_w", 10, 8), b.weight("fc_b", 10)], "y", transB=1)
    b.output("y", ["N", 10])
    return b


def clip_bounds(b: GraphBuilder, low: float, high: float) -> list[str]:
    """Constants for the bounds of a Clip."""
    number = len(b.initializers)
    return [
        b.constant(f"low_{number}", np.array(low, np.float32)),
        b.constant(f"high_{number}", np.array(high, np.float32)),
    ]


def normal_batches(
    shapes: Mapping[str, Sequence[int]], count: int = 8, seed: int = 7
) -> list[dict[str, Array]]:
    """Batches of standard normal values."""
    rng = np.random.default_rng(seed)
    return [
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]
