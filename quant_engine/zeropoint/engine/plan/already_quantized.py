"""What a model has quantized already: it is kept as it is, and nothing is quantized twice."""

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of, producer_of
from zeropoint.engine.number_types import INT8, known_number_type, quant_type
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import OpRule, Role, Trait, dequantizer_of, has, is_quantized
from zeropoint.engine.reasons import Kept, Reason

# Operators on integers, of ONNX and of com.microsoft, by how their names begin and end.
_BEGIN = ("DynamicQuantize", "QLinear", "QAttention", "QEmbed", "QGemm", "QMoE", "QOrdered")
_END = ("BnB4", "BlockQuantized", "Integer", "IntegerToFloat", "NBits")


def already_quantized(node: ir.Node, rule: OpRule | None, *, dynamic: bool) -> Kept | None:
    """Return why a node is kept because of what is quantized already; None where it need not.

    A node that computes may still be quantized where it reads its data through a pair that is
    there, and its weight is float.
    """
    named_so = node.op_type.startswith(_BEGIN) or node.op_type.endswith(_END)
    if named_so or has(node, Trait.CONVERTS):
        return _already(f"{node.op_type} works on integers")
    if rule is None:
        return None
    weight = input_at(node, rule.weight) if rule.weight is not None else None
    result = node.outputs[0]
    if _is_stored(weight):
        return _already(f"the weight {name_of(weight)} is stored as integers")
    if not dynamic and is_quantized(result):
        return _already(f"its result {result.name} is quantized")
    read = [value for i in rule.activation_inputs(node) if (value := node.inputs[i]) is not None]
    for value in read:
        if not dynamic and is_quantized(value):
            return _already(f"its input {value.name} is quantized for other nodes")
        if _is_dequantized(value) and (dynamic or not _may_serve(node, rule, value, read)):
            return _already(f"its input {value.name} is dequantized")
    return None


def _already(what: str) -> Kept:
    return Kept(Reason.ALREADY_QUANTIZED, f"{what} already")


def existing_parameters(value: ir.Value | None) -> QParams | None:
    """Return those of the DequantizeLinear that gives `value`; None where no pair can serve."""
    node = dequantizer_of(value)
    if node is None or len(node.inputs) < 3:
        return None
    scale, zero_point = constant(node.inputs[1]), constant(node.inputs[2])
    if scale is None or zero_point is None or scale.size != 1 or scale.dtype != np.float32:
        return None
    if quant_type(zero_point.dtype) is None:
        return None
    return QParams(scale.reshape(()), zero_point.reshape(()), None)


def _may_serve(node: ir.Node, rule: OpRule, value: ir.Value, read: list[ir.Value]) -> bool:
    """Whether a node can be quantized that reads `value` through the pair that is there."""
    producer = value.producer()
    if rule.role is not Role.COMPUTE or producer is None or producer.graph is not node.graph:
        return False
    weight = node.inputs[rule.weight] if rule.weight is not None else None
    float_left = constant(weight) is not None or not all(map(_is_dequantized, read))
    return float_left and existing_parameters(value) is not None


def _is_dequantized(value: ir.Value | None) -> bool:
    producer = behind_movers(value)
    return producer is not None and producer.op_type == "DequantizeLinear"


def _is_stored(value: ir.Value | None) -> bool:
    """Whether a weight is computed from integers that the model holds."""
    node = behind_movers(value)
    if node is None:
        return False
    if node.op_type in ("Add", "Mul", "Sub"):  # (integers - zero point) * scale, written out
        return any(_is_stored(read) for read in node.inputs)
    source = input_at(node, 0)
    if source is None or constant(source) is None:
        return False
    number = known_number_type(source.dtype)  # what is wider is more often something else
    narrow = number is not None and number.bits <= INT8.bits
    return narrow and node.op_type in ("Cast", "DequantizeLinear")


def behind_movers(value: ir.Value | None) -> ir.Node | None:
    """Return what gives a value, before it is moved or cut.

    What a Split or Gather takes from a stored tensor is data, and gets a pair of its own.
    """
    node = producer_of(value)
    while node is not None and (has(node, Trait.MOVES) or node.op_type == "Slice"):
        node = producer_of(node.inputs[0])
    return node
