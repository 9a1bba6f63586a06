"""Small fake-quantized graphs, made by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


class Graph:
    """Collects nodes and constants; values are spoken of by name."""

    def __init__(self, opset: int = 17) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.opset = opset

    def add(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=f"{output}_node", **attributes)
        )
        return output

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def pair(
        self,
        value: str,
        scale: Any,
        zero_point: Any,
        *,
        limits: tuple[int, int] | None = None,
        axis: int | None = None,
    ) -> str:
        """Fake-quantize a value; return what stands for it behind the pair."""
        parameters = [
            self.constant(f"{value}_scale", np.asarray(scale, np.float32)),
            self.constant(f"{value}_zero", zero_point),
        ]
        attributes = {} if axis is None else {"axis": axis}
        codes = self.add("QuantizeLinear", [value, *parameters], f"{value}_codes", **attributes)
        if limits is not None:
            kind = self.constants[f"{value}_zero"].dtype
            ends = [
                self.constant(f"{value}_{end}", np.array(code, kind))
                for end, code in zip(("low", "high"), limits, strict=True)
            ]
            codes = self.add("Clip", [codes, *ends], f"{value}_clipped")
        return self.add("DequantizeLinear", [codes, *parameters], f"{value}_fake", **attributes)

    def model(
        self,
        shape: Sequence[int | str],
        outputs: Mapping[str, int] | Sequence[str] = ("y",),
    ) -> onnx.ModelProto:
        """Return the model with one float input `x`."""
        kinds = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs, 1)
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)

    def save(self, path: Path, *arguments: Any) -> Path:
        onnx.save(self.model(*arguments), path)
        return path
