"""Nodes that compute with floats, though their operator has integer kernels: weights are stored."""

import onnx_ir as ir

from zeropoint.engine.graph import constant
from zeropoint.engine.operators.rule import LEAST_STORED, OpRule, Role, is_float, stored_rule
from zeropoint.engine.operators.table import layout_of, rule_of


def weight_only(node: ir.Node, least: int = LEAST_STORED) -> OpRule | None:
    """Return the row of a node that computes in float and has its weight stored as integers.

    None where there is nothing to store: no constant of `least` bytes or more that is multiplied.
    """
    rule = rule_of(node)
    if rule is None or rule.role is not Role.COMPUTE:
        return None
    for index, value in enumerate(node.inputs[:2]):
        array = constant(value)
        if is_float(value) and array is not None and array.nbytes >= least:
            return _WEIGHT_ONLY[index]
    return None


# No kernel says how many scales there are: of the second operand each output channel has its own,
# of the first what is not summed over.
def _outputs(node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    del per_channel
    found = layout_of(node, len(shape))
    return (found.outputs,) if found is not None else ()


def _rows(node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    del per_channel
    found = layout_of(node, len(shape))
    summed = found.data % len(shape) if found is not None else None
    return () if summed is None else (summed - 1 if summed else 1,)


# What has integer kernels and a computed weight, by the input that can be stored nevertheless.
_WEIGHT_ONLY = (stored_rule(0, axes=_rows), stored_rule(1, axes=_outputs))
