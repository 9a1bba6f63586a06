"""What the user chose: how options refer to nodes and operator types."""

import difflib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

import onnx_ir as ir

from zeropoint.engine.errors import OptionError
from zeropoint.engine.graph import NodeName, constant, origins
from zeropoint.engine.operators import OpRule, Role, dynamic_op_types, static_op_types
from zeropoint.engine.options import NodeSelection
from zeropoint.engine.reasons import Kept, Reason

_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """The user's selection, held against the model.

    Attributes:
        op_types: Operator types to quantize; empty: all.
        included: The user's nodes to quantize; None: all.
        excluded: The user's nodes to leave float.
        exact: Those to quantize that are given by their exact names.
        float_outputs: Operator types whose outputs are not quantized.
        bodies: Whether nodes in bodies are quantized, too.
        const_b_only: Whether a MatMul of two computed tensors stays float.
        latent: Whether what only moves values is quantized also where nothing around it is.
    """

    op_types: frozenset[str]
    included: frozenset[str] | None
    excluded: frozenset[str]
    exact: frozenset[str]
    float_outputs: frozenset[str]
    bodies: bool
    const_b_only: bool
    latent: bool

    @classmethod
    def of(cls, selection: NodeSelection, users: Sequence[NodeName], *, dynamic: bool) -> Self:
        """Hold a selection against the user's nodes; dynamic quantization knows fewer operators.

        Raises:
            OptionError: a name or operator type that the user's model does not have.
        """
        included = None
        present = frozenset(op_type for _, op_type in users)
        if selection.nodes_to_quantize:
            included = resolve_nodes(selection.nodes_to_quantize, users, "nodes_to_quantize")
        return cls(
            op_types=resolve_op_types(
                selection.op_types_to_quantize, present=present, dynamic=dynamic
            ),
            included=included,
            excluded=resolve_nodes(selection.nodes_to_exclude, users, "nodes_to_exclude"),
            exact=frozenset(selection.nodes_to_quantize),
            float_outputs=resolve_op_types(
                selection.op_types_to_exclude_output_quantization,
                present=present,
                option="op_types_to_exclude_output_quantization",
            ),
            bodies=selection.enable_subgraph,
            const_b_only=selection.needs_const_b(dynamic=dynamic),
            latent=selection.force_quantize_no_input_check,
        )

    def refuses(self, node: ir.Node) -> Kept | None:
        """Return why the user does not want a node quantized; None where nothing is against it."""
        names = origins(node)
        if self.excluded.intersection(names):
            return Kept(Reason.EXCLUDED, "excluded by nodes_to_exclude")
        if self.included is not None and not self.included.intersection(names):
            return Kept(Reason.NOT_SELECTED, "not among nodes_to_quantize")
        if self.op_types and node.op_type not in self.op_types:
            return Kept(Reason.NOT_SELECTED, f"{node.op_type} is not among op_types_to_quantize")
        return None

    def names_exactly(self, node: ir.Node) -> bool:
        """Whether the user gave a node's own name, and no pattern."""
        return not self.exact.isdisjoint(origins(node))

    def forces(self, node: ir.Node, rule: OpRule) -> bool:
        """Whether a node is quantized whatever is around it."""
        computed = (constant(node.inputs[i]) is None for i in rule.activation_inputs(node))
        latent = (rule.role is Role.SHARE or node.op_type == "Where") and any(computed)
        named = self.included is not None and not self.included.isdisjoint(origins(node))
        return node.op_type in self.op_types or named or (self.latent and latent)


def resolve_nodes(
    patterns: Sequence[str], nodes: Iterable[tuple[str, str]], option: str
) -> frozenset[str]:
    """Return the names of the user's nodes that an option means; those that share one are together.

    Patterns are exact names, or shell patterns where no node has exactly that name.

    Raises:
        OptionError: NODE_UNKNOWN, one of `patterns` means no node.
    """
    known = dict.fromkeys(name for name, _ in nodes)
    found: set[str] = set()
    for pattern in patterns:
        matches = _matches(pattern, known)
        if not matches:
            raise OptionError(
                "NODE_UNKNOWN",
                f"{option}: the model has no node {pattern!r}{nearest(pattern, known) or '.'}",
                option=option,
                node=pattern,
            )
        found.update(matches)
    return frozenset(found)


def resolve_op_types(
    op_types: Sequence[str],
    *,
    present: Set[str] = frozenset(),
    dynamic: bool = False,
    option: str = "op_types_to_quantize",
) -> frozenset[str]:
    """Return the operator types that an option names.

    Args:
        op_types: Their names.
        present: Those of the user's nodes. They may be named whether or not they have an integer
            form, as lists made from a model do; the report tells why a node stays float.
        dynamic: For dynamic quantization, which knows fewer.
        option: Name of the option, for messages.

    Raises:
        OptionError: OP_TYPE_UNKNOWN, one of `op_types` has no integer form, and no node has it.
    """
    known = dynamic_op_types() if dynamic else static_op_types()
    for op_type in op_types:
        if op_type not in known and op_type not in present:
            raise OptionError(
                "OP_TYPE_UNKNOWN",
                f"{option}: {op_type!r} is no operator type that can be quantized"
                f"{nearest(op_type, known) or '; these can be: ' + ', '.join(known) + '.'}",
                option=option,
                opType=op_type,
            )
    return frozenset(op_types)


def _matches(pattern: str, known: Mapping[str, None]) -> list[str]:
    if pattern in known:
        return [pattern]
    if not any(sign in pattern for sign in "*?["):
        return []
    return [name for name in known if fnmatchcase(name, pattern)]


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which names are close to an unknown one, whatever their case; empty if none is."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=_SUGGESTIONS)
    named = " or ".join(repr(by_folded[name]) for name in close)
    return f"; did you mean {named}?" if close else ""
