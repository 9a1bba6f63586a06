"""How options refer to nodes and operator types."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from zeropoint.engine.errors import OptionError
from zeropoint.engine.operators import dynamic_op_types, static_op_types

_SUGGESTIONS = 3


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
