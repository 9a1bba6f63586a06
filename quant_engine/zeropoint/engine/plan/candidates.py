"""Which nodes may be quantized, by the user's choice and by what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import NodeName, constant, name_of
from zeropoint.engine.operators import Kept, OpRule, Role, rule_of, weight_only
from zeropoint.engine.options import NodeSelection
from zeropoint.engine.plan.already_quantized import already_quantized
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.names import resolve_nodes, resolve_op_types
from zeropoint.engine.plan.wide_ranges import wide_ranges
from zeropoint.engine.prepare import NEWEST_QDQ, PreparedModel

_DYNAMIC_OPSET = 11  # of DynamicQuantizeLinear
# Why a node has no integer kernel whose other operand can be stored as integers nevertheless.
_COMPUTED = frozenset({"BIAS_NOT_CONSTANT", "WEIGHT_NOT_CONSTANT"})


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
    refused: Mapping[str, Kept] = MappingProxyType({}),
) -> Candidates:
    """Sort the nodes of a prepared model.

    Args:
        prepared: The model.
        selection: The user's choice.
        user_nodes: Name and operator type of each node of the user's own model.
        bodies: What can be quantized in bodies of If, Loop and Scan.
        dynamic: Whether activations are quantized as the model runs.
        refused: Why further nodes stay float, by name.

    Raises:
        OptionError: a name or operator type that the user's model does not have.
    """
    choice = _Choice.of(selection, user_nodes, dynamic)
    main = prepared.model.graph
    rules: dict[ir.Node, OpRule] = {}
    forced: set[ir.Node] = set()
    kept: dict[str, Kept] = {}
    stored: dict[str, Kept] = {}
    wide = wide_ranges(prepared.model.graph)
    for node in prepared.model.graph.all_nodes():
        name = name_of(node)
        rule = rule_of(node)
        why = choice.refuses(node, prepared.origins(node))
        if node.graph is not main and not selection.enable_subgraph:
            why = why or Kept("NOT_SELECTED", "in a body, which EnableSubgraph=False leaves float")
        why = why or already_quantized(node, rule, dynamic=dynamic)
        if rule is not None and rule.role is Role.FLOAT and not dynamic:
            why = why or choice.leaves_float(node, prepared.origins(node))
        why = why or _unfit(node, rule, dynamic, prepared.opset) or choice.needs_constant(node)
        if rule is not None and (why is None or why.reason in _COMPUTED):
            why = choice.keeps_range(node, prepared.origins(node), wide) or why
            why = why or bodies.refuses(node, rule)
            only = _weight_only(node, bodies, prepared.opset) if why is not None else None
            if name in refused:
                why = refused[name]
            elif why is not None and only is not None:
                rule, stored[name], why = only, why, None
        if why is not None or rule is None:
            kept[name] = why or _no_integer_form(node)
            continue
        rules[node] = rule
        if choice.forces(node, rule, prepared.origins(node)):
            forced.add(node)
    return Candidates(rules, frozenset(forced), choice.float_outputs, kept, stored)


@dataclass(frozen=True, slots=True)
class _Choice:
    op_types: frozenset[str]
    included: frozenset[str] | None
    excluded: frozenset[str]
    exact: frozenset[str]
    float_outputs: frozenset[str]
    const_b_only: bool
    latent: bool

    @classmethod
    def of(cls, selection: NodeSelection, users: Sequence[NodeName], dynamic: bool) -> "_Choice":
        included = None
        if selection.nodes_to_quantize:
            included = resolve_nodes(selection.nodes_to_quantize, users, "nodes_to_quantize")
        return cls(
            resolve_op_types(selection.op_types_to_quantize, dynamic=dynamic),
            included,
            resolve_nodes(selection.nodes_to_exclude, users, "nodes_to_exclude"),
            frozenset(selection.nodes_to_quantize),
            resolve_op_types(
                selection.op_types_to_exclude_output_quantization,
                option="op_types_to_exclude_output_quantization",
            ),
            selection.needs_const_b(dynamic=dynamic),
            selection.force_quantize_no_input_check,
        )

    def refuses(self, node: ir.Node, origins: tuple[str, ...]) -> Kept | None:
        if self.excluded.intersection(origins):
            return Kept("EXCLUDED", "excluded by nodes_to_exclude")
        if self.included is not None and not self.included.intersection(origins):
            return Kept("NOT_SELECTED", "not among nodes_to_quantize")
        if self.op_types and node.op_type not in self.op_types:
            return Kept("NOT_SELECTED", f"{node.op_type} is not among op_types_to_quantize")
        return None

    def leaves_float(self, node: ir.Node, origins: tuple[str, ...]) -> Kept | None:
        """Return why a node without integer kernel stays float: a pattern does not name it."""
        if node.op_type in self.op_types or self.exact.intersection(origins):
            return None
        return Kept(
            "NO_INTEGER_FORM",
            f"ONNX Runtime has no integer kernel for {node.op_type}; name it in "
            "op_types_to_quantize to have Q/DQ around it for other runtimes",
        )

    def keeps_range(
        self, node: ir.Node, origins: tuple[str, ...], wide: Mapping[ir.Node, Kept]
    ) -> Kept | None:
        """Return why the activations of a node stay float, unless the user names it exactly."""
        return None if self.exact.intersection(origins) else wide.get(node)

    def needs_constant(self, node: ir.Node) -> Kept | None:
        """Return why a MatMul stays float where only those with a constant B are wanted."""
        wanted = self.const_b_only and node.op_type == "MatMul"
        return _computed_weight(node.inputs[1]) if wanted else None

    def forces(self, node: ir.Node, rule: OpRule, origins: tuple[str, ...]) -> bool:
        """Whether a node is quantized whatever is around it."""
        computed = (constant(node.inputs[i]) is None for i in rule.activation_inputs(node))
        latent = (rule.role is Role.SHARE or node.op_type == "Where") and any(computed)
        named = node.op_type in self.op_types or bool(
            self.included and self.included.intersection(origins)
        )
        return named or (self.latent and latent)


def _weight_only(node: ir.Node, bodies: Bodies, version: int) -> OpRule | None:
    """Return the row of a node of which the weight at least can be stored as integers."""
    only = weight_only(node)
    if only is None or version > NEWEST_QDQ or bodies.refuses(node, only) is not None:
        return None
    return only


def _no_integer_form(node: ir.Node) -> Kept:
    return Kept("NO_INTEGER_FORM", f"{node.op_type} has no integer form")


def _unfit(node: ir.Node, rule: OpRule | None, dynamic: bool, version: int) -> Kept | None:
    if rule is None or (dynamic and not rule.dynamic):
        return _no_integer_form(node)
    needed = _DYNAMIC_OPSET if dynamic else rule.min_opset
    if version < needed:
        return Kept(
            "OPSET_TOO_LOW",
            f"{node.op_type} takes integers from opset {needed}, and this model cannot be "
            f"converted from {version}",
        )
    if (dynamic or rule.role is Role.STORED) and version > NEWEST_QDQ:
        return Kept(
            "OPSET_TOO_HIGH",
            f"ONNX Runtime has no Cast of opset {version}, which integer results need",
        )
    refused = rule.condition(node) if rule.condition is not None else None
    if refused is not None:
        return Kept("NO_INTEGER_FORM", refused)
    return _unfit_types(node, rule) or _unfit_constants(node, rule, dynamic)


def _unfit_types(node: ir.Node, rule: OpRule) -> Kept | None:
    if rule.role is Role.FLOAT and not rule.activation_inputs(node):
        return Kept("TYPE_NOT_SUPPORTED", f"no input of this {node.op_type} is FLOAT")
    for index in (*rule.activation_inputs(node), *rule.stored):
        value = node.inputs[index]
        if value is not None and value.is_graph_input() and value.is_initializer():
            return Kept("OVERRIDABLE", f"{value.name} is an input with a default, not a constant")
        if value is None or value.dtype is ir.DataType.FLOAT:
            continue
        if value.dtype is None:
            return Kept("TYPE_UNKNOWN", f"the type of {value.name} is not known")
        return Kept("TYPE_NOT_SUPPORTED", f"{value.name} is {value.dtype.name}, not FLOAT")
    return None


def _unfit_constants(node: ir.Node, rule: OpRule, dynamic: bool) -> Kept | None:
    if infinite := _not_finite(node, rule):
        return Kept("WEIGHT_NOT_FINITE", f"the constant {infinite} has NaN/Inf")
    if rule.role is Role.STORED:
        return _unfit_stored(node, rule)
    if rule.role is not Role.COMPUTE:
        return None
    weight = node.inputs[rule.weight] if rule.weight is not None else None
    needed = node.op_type == "Conv" or (dynamic and node.op_type == "Gemm")
    if needed and (why := _computed_weight(weight)):
        return why
    if rule.bias is not None and len(node.inputs) > rule.bias:
        bias = node.inputs[rule.bias]
        if bias is not None and constant(bias) is None and not dynamic:
            return Kept("BIAS_NOT_CONSTANT", f"the bias {bias.name} is computed")
    if all(constant(node.inputs[i]) is not None for i in rule.activation_inputs(node)):
        return Kept("CONSTANT", "all inputs are constant")
    return None


def _computed_weight(weight: ir.Value | None) -> Kept | None:
    if weight is None or constant(weight) is not None:
        return None
    return Kept("WEIGHT_NOT_CONSTANT", f"the weight {weight.name} is computed")


def _not_finite(node: ir.Node, rule: OpRule) -> str:
    """Return the name of a constant that no scale fits; empty where there is none."""
    indices = {*rule.activation_inputs(node), rule.weight, rule.bias}
    for index, value in enumerate(node.inputs):
        array = constant(value) if index in indices else None
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            return name_of(value)
    return ""


def _unfit_stored(node: ir.Node, rule: OpRule) -> Kept | None:
    for index in rule.stored:
        value = node.inputs[index]
        array = constant(value)
        name = value.name if value is not None else ""
        if array is None:
            return Kept("WEIGHT_NOT_CONSTANT", f"the weight {name} is computed")
        if not np.isfinite(array).all():
            return Kept("WEIGHT_NOT_FINITE", f"the weight {name} has NaN/Inf")
    return None
