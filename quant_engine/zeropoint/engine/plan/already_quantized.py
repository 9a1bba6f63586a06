"""What a model has quantized already: it is kept as it is, and nothing is quantized twice."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Self

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.number_types import INT8, known_number_type, quant_type
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import OpRule, Role, Trait, dequantizer_of, has, quantized_values
from zeropoint.engine.reasons import Kept, Reason

# Operators on integers, of ONNX and of com.microsoft, by how their names begin and end.
_BEGIN = ("DynamicQuantize", "QLinear", "QAttention", "QEmbed", "QGemm", "QMoE", "QOrdered")
_END = ("BnB4", "BlockQuantized", "Integer", "IntegerToFloat", "NBits")


@dataclass(frozen=True, slots=True, eq=False)
class Already:
    """What is quantized in a model, found in one pass over it: chains may be long.

    Attributes:
        read: Tensors that a QuantizeLinear reads, or reads behind clamps.
        dequantized: Tensors that a DequantizeLinear gives, moved or cut or as they are. What a
            Split or Gather takes from a stored tensor is data, and gets a pair of its own.
        stored: Tensors that are computed from narrow integers that the model holds.
    """

    read: AbstractSet[ir.Value]
    dequantized: AbstractSet[ir.Value | None]
    stored: AbstractSet[ir.Value | None]

    @classmethod
    def of(cls, graph: ir.Graph) -> Self:
        """Look through a graph and the bodies in it."""
        dequantized: set[ir.Value | None] = set()
        stored: set[ir.Value | None] = set()
        for node in graph.all_nodes():
            from_codes = node.op_type == "DequantizeLinear"
            from_stored = _reads_integers(node) or _is_affine_of(node, stored)
            if has(node, Trait.MOVES) or node.op_type == "Slice":
                from_codes, from_stored = node.inputs[0] in dequantized, node.inputs[0] in stored
            if from_codes:
                dequantized.update(node.outputs)
            if from_stored:
                stored.update(node.outputs)
        return cls(quantized_values(graph), dequantized, stored)

    def why(self, node: ir.Node, rule: OpRule | None, *, dynamic: bool) -> Kept | None:
        """Return why a node is kept because of it; None where it need not.

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
        if weight in self.stored:
            return _already(f"the weight {name_of(weight)} is stored as integers")
        if not dynamic and result in self.read:
            return _already(f"its result {result.name} is quantized")
        data = [value for i in rule.activation_inputs(node) if (value := node.inputs[i])]
        for value in data:
            if not dynamic and value in self.read:
                return _already(f"its input {value.name} is quantized for other nodes")
            if value in self.dequantized and (dynamic or not self._serves(node, rule, value, data)):
                return _already(f"its input {value.name} is dequantized")
        return None

    def _serves(
        self, node: ir.Node, rule: OpRule, value: ir.Value, data: Sequence[ir.Value]
    ) -> bool:
        """Whether a node can be quantized that reads `value` through the pair that is there."""
        producer = value.producer()
        if rule.role is not Role.COMPUTE or producer is None or producer.graph is not node.graph:
            return False
        weight = node.inputs[rule.weight] if rule.weight is not None else None
        float_left = constant(weight) is not None or any(v not in self.dequantized for v in data)
        return float_left and existing_parameters(value) is not None


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


def _reads_integers(node: ir.Node) -> bool:
    """Whether a node makes floats of narrow integers that the model holds."""
    source = input_at(node, 0)
    if node.op_type not in ("Cast", "DequantizeLinear") or constant(source) is None:
        return False
    number = known_number_type(source.dtype) if source is not None else None
    return number is not None and number.bits <= INT8.bits  # wider is more often something else


def _is_affine_of(node: ir.Node, stored: AbstractSet[ir.Value | None]) -> bool:
    """Whether it is a part of (integers - zero point) * scale, written out."""
    return node.op_type in ("Add", "Mul", "Sub") and not stored.isdisjoint(node.inputs)
