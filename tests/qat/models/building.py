"""A trained float CNN, its ranges, and a small builder of ONNX graphs around it.

For patterns of producers that cannot be had here, or that no exporter writes reliably: the
weights are trained, the pairs are laid by hand with scales from the ranges that were seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from qat.models.training import split, train
from torch import nn

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """Weights and biases of Conv, Conv and Linear (out, in), and the range of each activation."""

    weights: dict[str, Array]
    biases: dict[str, Array]
    ranges: dict[str, tuple[float, float]]

    def affine(self, name: str, top: int = 255) -> tuple[Array, int]:
        """Scale (float32 scalar) and zero point of activation `name` for integers 0..top."""
        low, high = self.ranges[name]
        scale = np.float32((high - low) / top)
        return np.array(scale), round(-low / float(scale))


def trained() -> Parts:
    """Train the float network and measure its activations: x, first, second, scores."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(192, 10),
    )
    train(model, 12, 5e-3)
    seen = [split()[0]]
    with torch.no_grad():
        for layer in model:
            seen.append(layer(seen[-1]))
    layers = {"first": model[0], "second": model[3], "head": model[6]}
    measured = {"x": seen[0], "first": seen[2], "second": seen[5], "scores": seen[7]}
    return Parts(
        {name: layer.weight.detach().numpy() for name, layer in layers.items()},
        {name: layer.bias.detach().numpy() for name, layer in layers.items()},
        {name: (min(0.0, float(t.min())), float(t.max())) for name, t in measured.items()},
    )


def symmetric(weight: Array, axis: int | None, top: int = 127) -> Array:
    """Scales (float32) for integers -top..top: one per slice along `axis`, or one in all."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    peak = np.abs(weight).max(axis=others if axis is not None else None)
    return np.asarray(peak / top, np.float32)


def stored(weight: Array, scale: Array, axis: int | None, zero: int = 0) -> Array:
    """Weights as integers (int32), rounded half to even."""
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    wide = scale.reshape(shape) if axis is not None else scale
    return (np.rint(weight / wide) + zero).astype(np.int32)


class Graph:
    """Nodes and initializers with names of their own; what `add` returns is the output's name."""

    def __init__(self, opset: int, kind: int = TensorProto.FLOAT) -> None:
        self.opset, self.kind = opset, kind
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output."""
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: npt.ArrayLike, name: str = "constant") -> str:
        """Append an initializer."""
        name = f"{name}_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def pair(self, x: str, scale: str, zero: str, **attributes: Any) -> str:
        """QuantizeLinear and DequantizeLinear with the same parameters."""
        quantized = self.add("QuantizeLinear", x, scale, zero, **attributes)
        return self.add("DequantizeLinear", quantized, scale, zero, **attributes)

    def model(self, output: str, ir_version: int = 8) -> onnx.ModelProto:
        """The model from x [N, 1, 8, 8] to scores [N, 10]; `output` becomes scores."""
        last = next(node for node in self.nodes if output in node.output)
        last.output[0] = "scores"
        graph = helper.make_graph(
            self.nodes,
            "digits",
            [helper.make_tensor_value_info("x", self.kind, ["N", 1, 8, 8])],
            [helper.make_tensor_value_info("scores", self.kind, ["N", 10])],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=ir_version, producer_name="onnx.helper"
        )


Hook = Callable[[Graph, str, str], str]
"""From the graph, a tensor's name and the activation's name to the fake-quantized tensor."""
Weights = Callable[[Graph, str], str]
"""From the graph and the layer's name to the tensor that the layer takes as weight."""


def network(graph: Graph, parts: Parts, act: Hook, weight: Weights) -> str:
    """Conv, Relu, MaxPool, Conv, Relu, Flatten, Gemm, with hooks where pairs may stand."""
    kind = helper.tensor_dtype_to_np_dtype(graph.kind)
    bias = {n: graph.constant(b.astype(kind), f"{n}_bias") for n, b in parts.biases.items()}
    y = act(graph, "x", "x")
    for name in ("first", "second"):
        y = graph.add("Conv", y, weight(graph, name), bias[name], pads=[1, 1, 1, 1])
        y = act(graph, graph.add("Relu", y), name)
        if name == "first":
            y = graph.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    flat = graph.add("Flatten", y)
    return act(
        graph, graph.add("Gemm", flat, weight(graph, "head"), bias["head"], transB=1), "scores"
    )
