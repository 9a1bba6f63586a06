"""Raising a model's opset."""

import onnx
import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor
from zeropoint.engine.prepare.infer_types import infer_shapes
from zeropoint.engine.prepare.opset_steps import LAST_OPSET, STEPS

INITIALIZERS_NEED_NO_INPUT = 4
"""Version of the file format from which on a constant need not be an input as well."""


def convert_opset(model: ir.Model, target: int) -> None:
    """Raise the default opset of a model without local functions to `target`, in place.

    Each node of each graph is written as every version in between has it. Nothing is built anew,
    so that names, shapes and origins are those from before.

    Raises:
        ValueError: `target` or an operator is not known, or what a node does cannot be said in a
            later version; the model may be in any state then.
    """
    first = model.opset_imports[""] + 1
    if target > LAST_OPSET:
        raise ValueError(f"how operators change up to opset {target} is not known")
    infer_shapes(model)
    editor = GraphEditor(model.graph)
    for version in range(first, target + 1):
        for node in tuple(model.graph.all_nodes()):
            if node.domain:
                continue
            if version == first and not onnx.defs.has(node.op_type, first - 1, ""):
                raise ValueError(f"opset {first - 1} has no operator {node.op_type}")
            if (step := STEPS.get((node.op_type, version))) is not None:
                step(node, editor)
    model.opset_imports[""] = target
    settle_ir_version(model)


def settle_ir_version(model: ir.Model) -> None:
    """Raise the version of the file format to what the opset and plain initializers need."""
    opset = onnx.helper.make_opsetid("", model.opset_imports[""])
    needed = onnx.helper.find_min_ir_version_for([opset], ignore_unknown=True)
    model.ir_version = max(model.ir_version, needed, INITIALIZERS_NEED_NO_INPUT)
