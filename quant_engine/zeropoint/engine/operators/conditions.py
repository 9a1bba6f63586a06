"""What particular nodes of known operators are: why not integers, within which bounds."""

import math

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.operators.rule import is_float

MASK = 1e4
"""Magnitude from which a number stands for "not this one"."""

_BIAS, _LAST = 2, 4  # inputs of Attention that QAttention takes, too: up to the past
_QATTENTION = frozenset({"do_rotary", "mask_filter_value", "num_heads", "scale", "unidirectional"})


def clamp_bounds(node: ir.Node) -> tuple[float, float]:
    """Return the least and the greatest value that a Relu or Clip lets through."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    bounds = [-math.inf, math.inf]
    for position, attribute in enumerate(("min", "max")):
        if attribute in node.attributes:  # Clip before opset 11
            bounds[position] = node.attributes.get_float(attribute, bounds[position])
        elif (array := constant(input_at(node, position + 1))) is not None:
            bounds[position] = float(array.reshape(-1)[0])
    return bounds[0], bounds[1]


def average_pool_refused(node: ir.Node) -> str | None:
    """Tell why ONNX Runtime's integer AveragePool would not do as a node does."""
    if node.attributes.get_int("ceil_mode", 0):
        return "ONNX Runtime's integer AveragePool has no ceil_mode"
    if any(step != 1 for step in node.attributes.get_ints("dilations", ())):
        return "ONNX Runtime's integer AveragePool has no dilations"
    return None


def nearest(node: ir.Node) -> str | None:
    """Refuse a Resize that gives values which are not those of its data."""
    mode = node.attributes.get_string("mode", "nearest")
    if mode != "nearest":
        return f"Resize with mode={mode} mixes values"
    crop = "tf_crop_and_resize"
    if node.attributes.get_string("coordinate_transformation_mode", "") == crop:
        return f"Resize with {crop} fills in a value, extrapolation_value, of its own"
    return None


def plain_max_pool(node: ir.Node) -> str | None:
    """Refuse a MaxPool that tells where it found its values."""
    return "MaxPool also returns indices" if len(node.outputs) > 1 else None


def masks(node: ir.Node) -> str | None:
    """Refuse a Where that masks: with that number in its range, all others would have one code."""
    for value in node.inputs[1:]:
        array = constant(value)
        if array is not None and array.size and float(np.abs(array).max()) >= MASK:
            return f"the constant {name_of(value)} masks: its range is that of no data"
    return None


def constant_bounds(node: ir.Node) -> str | None:
    """Refuse a Clip whose bounds are computed."""
    computed = [v for v in node.inputs[1:] if v is not None and constant(v) is None]
    return f"the bound {computed[0].name} is computed" if computed else None


def time_major(node: ir.Node) -> str | None:
    """Refuse recurrent nodes whose first axis is that of the batch."""
    if node.attributes.get_int("layout", 0):
        return f"ONNX Runtime has no {node.op_type} with layout=1"
    return None


def constant_matrix(node: ir.Node) -> str | None:
    """Refuse an Attention whose weights are computed."""
    array = constant(input_at(node, 1))
    return None if array is not None and array.ndim == 2 else "its weights are no constant matrix"


def is_table(node: ir.Node) -> bool:
    """Whether a Gather picks from a constant of floats: embeddings."""
    return is_float(node.inputs[0]) and constant(node.inputs[0]) is not None


def is_no_qattention(node: ir.Node) -> bool:
    """Whether an Attention has what QAttention does not take."""
    bias = input_at(node, _BIAS)
    further = any(value is not None for value in node.inputs[_LAST + 1 :])
    return bias is None or further or not set(node.attributes) <= _QATTENTION
