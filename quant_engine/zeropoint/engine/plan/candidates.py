"""Which nodes may be quantized, by the user's choice and by what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import onnx_ir as ir

from zeropoint.engine.graph import NodeName, name_of
from zeropoint.engine.operators import OpRule, rule_of, weight_only
from zeropoint.engine.options import NodeSelection
from zeropoint.engine.plan.barriers import View, barrier_before
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.choice import Choice
from zeropoint.engine.plan.wide_ranges import wide_ranges
from zeropoint.engine.prepare import NEWEST_QDQ, PreparedModel
from zeropoint.engine.reasons import Kept


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Nodes by what may become of them.

    Attributes:
        rules: Nodes that may be quantized, in graph order, with their operator's row.
        forced: Those that the user named, or whose operator type the user named: they are
            quantized even where that only adds conversions.
        float_outputs: Operator types whose outputs are not quantized.
        kept: Why the others stay float, by node name.
        weight_only: Why those of `rules` compute in float whose weight alone is stored as
            integers, by node name.
    """

    rules: Mapping[ir.Node, OpRule]
    forced: frozenset[ir.Node]
    float_outputs: frozenset[str]
    kept: Mapping[str, Kept]
    weight_only: Mapping[str, Kept]


def select(
    prepared: PreparedModel,
    selection: NodeSelection,
    *,
    user_nodes: Sequence[NodeName],
    bodies: Bodies,
    dynamic: bool = False,
    shown: Mapping[str, Kept] = MappingProxyType({}),
) -> Candidates:
    """Sort the nodes of a prepared model, as `make_plan` or `make_dynamic_plan` asks for it.

    Raises:
        OptionError: a name or operator type that the user's model does not have.
    """
    graph, choice = prepared.model.graph, Choice.of(selection, user_nodes, dynamic=dynamic)
    view = View(graph, prepared.opset, choice, bodies, dynamic, wide_ranges(graph), shown)
    rules: dict[ir.Node, OpRule] = {}
    kept: dict[str, Kept] = {}
    stored: dict[str, Kept] = {}
    for node in graph.all_nodes():
        rule = rule_of(node)
        barrier = barrier_before(node, rule, view)
        if barrier is not None:
            why, weight_may_be_stored = barrier
            rule = _weight_only(node, view) if weight_may_be_stored else None
            (kept if rule is None else stored)[name_of(node)] = why
        if rule is not None:
            rules[node] = rule
    forced = frozenset(node for node, rule in rules.items() if choice.forces(node, rule))
    return Candidates(rules, forced, choice.float_outputs, kept, stored)


def _weight_only(node: ir.Node, view: View) -> OpRule | None:
    """Return the row of a node of which the weight at least can be stored as integers."""
    only = weight_only(node)
    if only is None or view.opset > NEWEST_QDQ or view.bodies.refuses(node, only) is not None:
        return None
    return only
