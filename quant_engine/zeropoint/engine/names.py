"""The user's own names for nodes, and how options refer to them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import onnx_ir as ir

from zeropoint.engine.contrib import dynamic_op_types, static_op_types
from zeropoint.engine.errors import OptionError

_SUGGESTIONS = 3


class NodeName(NamedTuple):
    """A node as it is spoken of: its name, or "OpType:output" where it has none."""

    name: str
    op_type: str


def spoken_name(node: ir.Node) -> str:
    """Return a node's name, or "OpType:first_output" where it has none."""
    if node.name:
        return node.name
    output = next((value.name for value in node.outputs if value.name), "")
    return f"{node.op_type}:{output}"


def settle_names(model: ir.Model) -> None:
    """Give each node and each value a name that no other has in any graph of the model, in place.

    Bodies may repeat each other's names. The main graph keeps its own, and so does the first of
    those that share one.
    """
    values, nodes = _Unused(), _Unused()
    for graph in tuple(model.graphs()):
        for value in _values(graph):
            if value.name:
                value.name = values.name(value.name)
        for node in graph:
            node.name = nodes.name(node.name or node.op_type)


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from dict.fromkeys((*graph.inputs, *graph.initializers.values()))
    for node in graph:
        yield from node.outputs


class _Unused:
    """Gives each name once."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def name(self, wanted: str) -> str:
        """Return `wanted`, with a number behind it where that name was given before."""
        name = wanted
        while name in self._given:
            self._given[wanted] += 1
            name = f"{wanted}_{self._given[wanted]}"
        self._given[name] = 0
        return name


def resolve_nodes(
    patterns: Sequence[str], nodes: Iterable[tuple[str, str]], option: str
) -> frozenset[str]:
    """Return the names that an option means.

    Args:
        patterns: Exact names, or shell patterns where no node has exactly that name.
        nodes: Name and operator type of each node of the user's model.
        option: Name of the option, for the message.

    Returns:
        The names meant; nodes that share a name are meant together.

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
                f"{option}: the model has no node {pattern!r}{_nearest(pattern, known) or '.'}",
                option=option,
                node=pattern,
            )
        found.update(matches)
    return frozenset(found)


def resolve_op_types(
    op_types: Sequence[str], *, dynamic: bool = False, option: str = "op_types_to_quantize"
) -> frozenset[str]:
    """Return the operator types that an option means.

    Args:
        op_types: Exact names.
        dynamic: Whether dynamic quantization is meant, which knows fewer.
        option: Name of the option, for the message.

    Raises:
        OptionError: OP_TYPE_UNKNOWN, one of `op_types` has no integer form.
    """
    known = dynamic_op_types() if dynamic else static_op_types()
    for op_type in op_types:
        if op_type not in known:
            raise OptionError(
                "OP_TYPE_UNKNOWN",
                f"{option}: {op_type!r} is no operator type that can be quantized"
                f"{_nearest(op_type, known) or '; these can be: ' + ', '.join(known) + '.'}",
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


def _nearest(word: str, known: Iterable[str]) -> str:
    """Say which names are close to an unknown one, whatever their case; empty if none is."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=_SUGGESTIONS)
    if not close:
        return ""
    return "; did you mean " + " or ".join(repr(by_folded[name]) for name in close) + "?"
