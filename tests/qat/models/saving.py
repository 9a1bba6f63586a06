"""Clean an exported model, check it, run it, and write it with its row of fixtures.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import AttributeProto, helper

HERE = Path(__file__).parent
TABLE = HERE / "fixtures.json"
PLAIN = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
OPTIMIZED = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


def strip(model: onnx.ModelProto) -> None:
    """Remove what exporters say of the machine: doc strings, metadata with stack traces."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.metadata_props[:]
        described: list[Any] = [*graph.input, *graph.output, *graph.value_info]
        for value in (*described, *graph.initializer):
            value.doc_string = ""
            del value.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                attribute.doc_string = ""
                graphs.extend(attribute.graphs)
                if attribute.type == AttributeProto.GRAPH:
                    graphs.append(attribute.g)
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def correct(model: onnx.ModelProto, level: ort.GraphOptimizationLevel) -> int:
    """How many of the held-out digits the model labels rightly in ONNX Runtime."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    held_out = np.load(HERE / "digits.npz")
    kind = helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    images = (held_out["images"] / np.float32(16)).astype(kind)
    scores = session.run(None, {session.get_inputs()[0].name: images})[0]
    return int((scores.argmax(1) == held_out["labels"]).sum())


def save(
    name: str,
    model: onnx.ModelProto,
    special: str,
    *,
    runs: bool = True,
    optimizes: bool = True,
    pattern: str = "",
) -> None:
    """Write NAME.onnx and its row.

    `runs=False` is for operators that ONNX Runtime lacks, `optimizes=False` for a graph that its
    optimizer breaks. `pattern` says of a graph made with onnx.helper what it repeats.

    Raises ValueError when optimized and plain runs disagree on more than two digits of 200: then
    the fixture's expected accuracy would depend on the runtime.
    """
    strip(model)
    if pattern:
        helper.set_model_props(model, {"pattern": pattern})
    onnx.checker.check_model(model, full_check=runs)
    row: dict[str, object] = {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
        "special": special,
    }
    if runs:
        row["right"] = plain = correct(model, PLAIN)
        if optimizes:
            row["right_optimized"] = optimized = correct(model, OPTIMIZED)
            if abs(plain - optimized) > 2:
                raise ValueError(f"{name}: {plain} right as it is, {optimized} when optimized")
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    table[name] = row
    TABLE.write_text(json.dumps(dict(sorted(table.items())), indent=2) + "\n")
    print(name, model.ByteSize(), row, flush=True)
