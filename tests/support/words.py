"""A model that reads text beside numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.graphs import GraphBuilder


def classifier(folder: Path) -> Path:
    """Text and numbers -> scores and the word that was meant."""
    b = GraphBuilder(15)
    b.input("text", ["N", 1], TensorProto.STRING)
    b.input("num", ["N", 3])
    keys: dict[str, Any] = {"keys_strings": ["a", "b"], "values_int64s": [0, 1]}
    b.node("LabelEncoder", ["text"], "e", domain="ai.onnx.ml", default_int64=2, **keys)
    depth = b.constant("depth", np.array([3]))
    values = b.constant("values", np.array([0, 1], np.float32))
    shape = b.constant("shape", np.array([-1, 3]))
    b.node("Reshape", [b.node("OneHot", ["e", depth, values], "o"), shape], "q")
    b.node("Concat", ["q", "num"], "c", axis=1)
    b.node("Relu", [b.node("Gemm", ["c", b.weight("w", 6, 16)], "h")], "p")
    b.node("Gemm", ["p", b.weight("v", 16, 3)], "y")
    b.node("Identity", ["text"], "same")
    b.output("y", ["N", 3])
    b.output("same", ["N", 1], TensorProto.STRING)
    model = b.model()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"
