"""Why a node stays float: one ordered list of barriers, of which the first in its way is told.

A barrier is a question about one node. Some keep only its activations float: its weight may then be
stored as integers nevertheless. A new reason is a new row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.operators import OpRule, Role
from zeropoint.engine.plan.already_quantized import already_quantized
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.choice import Choice
from zeropoint.engine.prepare import NEWEST_QDQ
from zeropoint.engine.reasons import Kept, Reason

_DYNAMIC_OPSET = 11  # of DynamicQuantizeLinear


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What barriers see besides a node and its operator's row.

    Attributes:
        graph: The main graph.
        opset: Its version.
        choice: The user's.
        bodies: What can be quantized in bodies of If, Loop and Scan.
        dynamic: Whether activations are quantized as the model runs.
        wide: Nodes whose activations need more range than integers have, with the reason.
        shown: Nodes that stay float because of what batches showed, by name, with the reason.
    """

    graph: ir.Graph
    opset: int
    choice: Choice
    bodies: Bodies
    dynamic: bool
    wide: Mapping[ir.Node, Kept]
    shown: Mapping[str, Kept]


Barrier = Callable[[ir.Node, OpRule, View], Kept | None]
"""Returns why a node of a known operator stays float, or None."""


def barrier_before(node: ir.Node, rule: OpRule | None, view: View) -> tuple[Kept, bool] | None:
    """Return why a node stays float, and whether its weight may be stored nevertheless."""
    if (why := _before_rule(node, rule, view)) is not None or rule is None:
        return why or _no_integer_form(node), False
    for row in _BARRIERS:
        if (why := row.barrier(node, rule, view)) is not None:
            return why, row.weight_may_be_stored
    return None


def _before_rule(node: ir.Node, rule: OpRule | None, view: View) -> Kept | None:
    """Return what stands before any node, whether its operator is known or not."""
    why = view.choice.refuses(node)
    if why is None and node.graph is not view.graph and not view.choice.bodies:
        why = Kept(Reason.NOT_SELECTED, "in a body, which EnableSubgraph=False leaves float")
    return why or already_quantized(node, rule, dynamic=view.dynamic)


def _no_integer_form(node: ir.Node) -> Kept:
    return Kept(Reason.NO_INTEGER_FORM, f"{node.op_type} has no integer form")


def _form(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    return _no_integer_form(node) if view.dynamic and not rule.dynamic else None


def _unnamed(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    """Keep a node without integer kernel float, unless it is named: no pattern does."""
    choice = view.choice
    if rule.role is not Role.FLOAT or node.op_type in choice.op_types:
        return None
    if choice.names_exactly(node):
        return None
    return Kept(
        Reason.NO_INTEGER_FORM,
        f"ONNX Runtime has no integer kernel for {node.op_type}; name it in "
        "op_types_to_quantize to have Q/DQ around it for other runtimes",
    )


def _version(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    needed = _DYNAMIC_OPSET if view.dynamic else rule.min_opset
    if view.opset < needed:
        return Kept(
            Reason.OPSET_TOO_LOW,
            f"{node.op_type} takes integers from opset {needed}, and this model cannot be "
            f"converted from {view.opset}",
        )
    if (view.dynamic or rule.role is Role.STORED) and view.opset > NEWEST_QDQ:
        return Kept(
            Reason.OPSET_TOO_HIGH,
            f"ONNX Runtime has no Cast of opset {view.opset}, which integer results need",
        )
    return None


def _condition(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    refused = rule.condition(node) if rule.condition is not None else None
    return None if refused is None else Kept(Reason.NO_INTEGER_FORM, refused)


def _types(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    if rule.role is Role.FLOAT and not rule.activation_inputs(node):
        return Kept(Reason.TYPE_NOT_SUPPORTED, f"no input of this {node.op_type} is FLOAT")
    for index in (*rule.activation_inputs(node), *rule.stored):
        value = node.inputs[index]
        if value is not None and value.is_graph_input() and value.is_initializer():
            message = f"{value.name} is an input with a default, not a constant"
            return Kept(Reason.OVERRIDABLE, message)
        if value is None or value.dtype is ir.DataType.FLOAT:
            continue
        if value.dtype is None:
            return Kept(Reason.TYPE_UNKNOWN, f"the type of {value.name} is not known")
        message = f"{value.name} is {value.dtype.name}, not FLOAT"
        return Kept(Reason.TYPE_NOT_SUPPORTED, message)
    return None


def _finite(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    read = {*rule.activation_inputs(node), rule.weight, rule.bias}
    for index, value in enumerate(node.inputs):
        array = constant(value) if index in read else None
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            return Kept(Reason.WEIGHT_NOT_FINITE, f"the constant {name_of(value)} has NaN/Inf")
    return None


def _stored(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    for index in rule.stored:
        array, name = constant(node.inputs[index]), name_of(node.inputs[index])
        if array is None:
            return Kept(Reason.WEIGHT_NOT_CONSTANT, f"the weight {name} is computed")
        if not np.isfinite(array).all():
            return Kept(Reason.WEIGHT_NOT_FINITE, f"the weight {name} has NaN/Inf")
    return None


def _shown(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    return view.shown.get(name_of(node))


def _wide_range(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    return None if view.choice.names_exactly(node) else view.wide.get(node)


def _computed_weight(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    weight = input_at(node, rule.weight) if rule.weight is not None else None
    wanted = rule.needs_constant_weight(dynamic=view.dynamic)
    wanted |= view.choice.const_b_only and node.op_type == "MatMul"
    if not wanted or weight is None or constant(weight) is not None:
        return None
    return Kept(Reason.WEIGHT_NOT_CONSTANT, f"the weight {weight.name} is computed")


def _computed_bias(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    if rule.role is not Role.COMPUTE or rule.bias is None or view.dynamic:
        return None
    bias = input_at(node, rule.bias)
    if bias is None or constant(bias) is not None:
        return None
    return Kept(Reason.BIAS_NOT_CONSTANT, f"the bias {bias.name} is computed")


def _constant(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    read = (node.inputs[index] for index in rule.activation_inputs(node))
    if rule.role is not Role.COMPUTE or any(constant(value) is None for value in read):
        return None
    return Kept(Reason.CONSTANT, "all inputs are constant")


def _body(node: ir.Node, rule: OpRule, view: View) -> Kept | None:
    return view.bodies.refuses(node, rule)


class _Row(NamedTuple):
    barrier: Barrier
    weight_may_be_stored: bool = False


_BARRIERS = (
    _Row(_form),
    _Row(_unnamed),
    _Row(_version),
    _Row(_condition),
    _Row(_types),
    _Row(_finite),
    _Row(_stored),
    _Row(_shown),
    _Row(_wide_range, weight_may_be_stored=True),
    _Row(_computed_weight, weight_may_be_stored=True),
    _Row(_computed_bias, weight_may_be_stored=True),
    _Row(_constant),
    _Row(_body, weight_may_be_stored=True),
)
