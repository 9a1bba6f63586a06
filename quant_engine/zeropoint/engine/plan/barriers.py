"""Which nodes may be quantized, and why the others stay float: of barriers in order, the first.

A barrier is a question about one node. Some keep only its activations float: its weight may then be
stored as integers nevertheless. A new reason is a new row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import NodeName, constant, input_at, name_of
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import (
    OpRule,
    Role,
    Trait,
    has,
    is_layer,
    rule_of,
    weight_only,
)
from zeropoint.engine.options import NodeSelection
from zeropoint.engine.plan.already_quantized import Already
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.choice import Choice
from zeropoint.engine.plan.node_changes import NO_CHANGES, NodeChanges
from zeropoint.engine.plan.slow_pools import has_channels_first
from zeropoint.engine.plan.stored_weights import stored_unfit
from zeropoint.engine.plan.sums import too_long
from zeropoint.engine.plan.wide_ranges import wide_ranges
from zeropoint.engine.prepare import NEWEST_QDQ, PreparedModel
from zeropoint.engine.reasons import Kept, Reason

_DYNAMIC_OPSET = 11  # of DynamicQuantizeLinear


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What barriers see besides a node and its operator's row.

    Attributes:
        graph: The main graph.
        opset: Its version.
        choice: The user's.
        bodies: What can be quantized in bodies of If, Loop and Scan.
        already: What is quantized in the model.
        dynamic: Whether activations are quantized as the model runs.
        wide: Nodes whose activations need more range than integers have, with the reason.
        changes: What is otherwise for single nodes.
    """

    graph: ir.Graph
    opset: int
    choice: Choice
    bodies: Bodies
    already: Already
    dynamic: bool
    wide: Mapping[ir.Node, Kept]
    changes: NodeChanges


_Barrier = Callable[[ir.Node, OpRule, _View], Kept | None]


def _barrier_before(node: ir.Node, rule: OpRule | None, view: _View) -> tuple[Kept, bool] | None:
    """Return why a node stays float, and whether its weight may be stored nevertheless."""
    if (why := _before_rule(node, rule, view)) is not None or rule is None:
        return why or _no_integer_form(node), False
    for row in _BARRIERS:
        if (why := row.barrier(node, rule, view)) is not None:
            return why, row.weight_may_be_stored
    return None


def _before_rule(node: ir.Node, rule: OpRule | None, view: _View) -> Kept | None:
    """Return what stands before any node, whether its operator is known or not."""
    why = view.choice.refuses(node)
    if why is None and node.graph is not view.graph and not view.choice.bodies:
        why = Kept(Reason.NOT_SELECTED, "in a body, which EnableSubgraph=False leaves float")
    if why is not None or (found := view.already.why(node, rule, dynamic=view.dynamic)) is None:
        return why
    unfit = stored_unfit(node) if is_layer(node) else None
    return found if unfit is None else Kept(found.reason, f"{found.message}, {unfit}")


def _no_integer_form(node: ir.Node) -> Kept:
    return Kept(Reason.NO_INTEGER_FORM, f"{node.op_type} has no integer form")


def _form(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    return _no_integer_form(node) if view.dynamic and not rule.dynamic else None


def _unnamed(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
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


def _version(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
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


def _condition(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    refused = rule.condition(node) if rule.condition is not None else None
    return None if refused is None else Kept(Reason.NO_INTEGER_FORM, refused)


def _types(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
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


def _finite(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    read = {*rule.activation_inputs(node), rule.weight, rule.bias}
    for index, value in enumerate(node.inputs):
        array = constant(value) if index in read else None
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            return Kept(Reason.WEIGHT_NOT_FINITE, f"the constant {name_of(value)} has NaN/Inf")
    return None


def _stored(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    for index in rule.stored:
        array, name = constant(node.inputs[index]), name_of(node.inputs[index])
        if array is None:
            return Kept(Reason.WEIGHT_NOT_CONSTANT, f"the weight {name} is computed")
        if not np.isfinite(array).all():
            return Kept(Reason.WEIGHT_NOT_FINITE, f"the weight {name} has NaN/Inf")
    return None


def _told(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    return view.changes.floats.get(name_of(node))


def _told_but_weight(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    return view.changes.weight_only.get(name_of(node))


def _wide_range(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    return None if view.choice.names_exactly(node) else view.wide.get(node)


def _slower(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    """Keep a Conv float whose data would be quantized as the model runs, unless it is named."""
    choice = view.choice
    if not view.dynamic or not has(node, Trait.CONVOLVES):
        return None
    if node.op_type in choice.op_types or choice.names_exactly(node):
        return None
    return Kept(
        Reason.SLOWER,
        f"ONNX Runtime's ConvInteger takes longer than its float {node.op_type}; name "
        "it in op_types_to_quantize, or the node in nodes_to_quantize, to have it all the same",
    )


def _slow_pool(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    """Keep a MaxPool float whose codes would have their channels first, unless it is named."""
    if view.dynamic or node.op_type in view.choice.op_types or view.choice.names_exactly(node):
        return None
    if not has_channels_first(node):
        return None
    return Kept(
        Reason.SLOWER,
        "ONNX Runtime's MaxPool of codes takes much longer than one of floats where no convolution "
        "is next to it; name the node in nodes_to_quantize to have it all the same",
    )


def _computed_weight(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    weight = input_at(node, rule.weight) if rule.weight is not None else None
    wanted = rule.needs_constant_weight(dynamic=view.dynamic)
    wanted |= view.choice.const_b_only and node.op_type == "MatMul"
    if not wanted or weight is None or constant(weight) is not None:
        return None
    return Kept(Reason.WEIGHT_NOT_CONSTANT, f"the weight {weight.name} is computed")


def _computed_bias(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    if rule.role is not Role.COMPUTE or rule.bias is None or view.dynamic:
        return None
    bias = input_at(node, rule.bias)
    if bias is None or constant(bias) is not None:
        return None
    return Kept(Reason.BIAS_NOT_CONSTANT, f"the bias {bias.name} is computed")


def _sums(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    return too_long(node, rule)


def _constant(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    read = (node.inputs[index] for index in rule.activation_inputs(node))
    if rule.role is not Role.COMPUTE or any(constant(value) is None for value in read):
        return None
    return Kept(Reason.CONSTANT, "all inputs are constant")


def _body(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    return view.bodies.refuses(node, rule)


def _feedback(node: ir.Node, rule: OpRule, view: _View) -> Kept | None:
    named = node.op_type in view.choice.op_types or view.choice.names_exactly(node)
    stored = rule.role is Role.STORED  # computes with floats anyway
    return None if view.dynamic or named or stored else view.bodies.feeds_back(node)


class _Row(NamedTuple):
    barrier: _Barrier
    weight_may_be_stored: bool = False


_BARRIERS = (
    _Row(_form),
    _Row(_unnamed),
    _Row(_version),
    _Row(_condition),
    _Row(_types),
    _Row(_finite),
    _Row(_stored),
    _Row(_told),
    _Row(_told_but_weight, weight_may_be_stored=True),
    _Row(_wide_range, weight_may_be_stored=True),
    _Row(_computed_weight, weight_may_be_stored=True),
    _Row(_computed_bias, weight_may_be_stored=True),
    _Row(_sums, weight_may_be_stored=True),
    _Row(_slower, weight_may_be_stored=True),
    _Row(_slow_pool),
    _Row(_constant),
    _Row(_body, weight_may_be_stored=True),
    _Row(_feedback, weight_may_be_stored=True),
)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Nodes by what may become of them.

    Attributes:
        rules: Nodes that may be quantized, in graph order, with their operator's row.
        forced: Those that the user named, or whose operator type the user named: they are
            quantized even where that only adds conversions.
        float_outputs: Those whose outputs are not quantized.
        dynamic: Those whose data are quantized as the model runs, whatever else is not.
        kept: Why the others stay float, by node name.
        weight_only: Why those of `rules` compute in float whose weight alone is stored as
            integers, by node name.
        stored: Parameters of weights that are integers already, by name.
    """

    rules: Mapping[ir.Node, OpRule]
    forced: frozenset[ir.Node]
    float_outputs: frozenset[ir.Node]
    dynamic: frozenset[ir.Node]
    kept: Mapping[str, Kept]
    weight_only: Mapping[str, Kept]
    stored: Mapping[str, QParams]


def select(
    prepared: PreparedModel,
    selection: NodeSelection,
    *,
    user_nodes: Sequence[NodeName],
    bodies: Bodies,
    dynamic: bool = False,
    changes: NodeChanges = NO_CHANGES,
) -> Candidates:
    """Sort the nodes of a prepared model, as `make_plan` or `make_dynamic_plan` asks for it.

    Raises:
        OptionError: a name or operator type that the user's model does not have.
    """
    graph, choice = prepared.model.graph, Choice.of(selection, user_nodes, dynamic=dynamic)
    already, wide = Already.of(graph), wide_ranges(graph)
    view = _View(graph, prepared.opset, choice, bodies, already, dynamic, wide, changes)
    rules: dict[ir.Node, OpRule] = {}
    kept: dict[str, Kept] = {}
    stored: dict[str, Kept] = {}
    for node in graph.all_nodes():
        rule = rule_of(node)
        barrier = _barrier_before(node, rule, view)
        if barrier is not None:
            why, weight_may_be_stored = barrier
            kept_so = any(name_of(value) in prepared.stored for value in node.inputs)
            may_be = weight_may_be_stored and not kept_so  # what is stored already stays so
            rule = _weight_only(node, why, view) if may_be else None
            (kept if rule is None else stored)[name_of(node)] = why
        if rule is not None:
            rules[node] = rule
    forced = frozenset(node for node, rule in rules.items() if choice.forces(node, rule))
    floats = frozenset(node for node in rules if _gives_floats(node, choice, changes))
    as_it_runs = frozenset(
        node
        for node, rule in rules.items()
        if rule.role is Role.COMPUTE and name_of(node) in changes.dynamic
    )
    return Candidates(rules, forced, floats, as_it_runs, kept, stored, prepared.stored)


def _gives_floats(node: ir.Node, choice: Choice, changes: NodeChanges) -> bool:
    return node.op_type in choice.float_outputs or name_of(node) in changes.float_outputs


def _weight_only(node: ir.Node, why: Kept, view: _View) -> OpRule | None:
    """Return the row of a node of which the weight at least can be stored as integers.

    What could be an integer kernel is stored whatever its size: it was asked for.
    """
    only = weight_only(node, 1) if why.reason is Reason.SLOWER else weight_only(node)
    if only is None or view.opset > NEWEST_QDQ or view.bodies.refuses(node, only) is not None:
        return None
    return only
