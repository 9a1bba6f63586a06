"""Changes with something more, and what that is in words."""

from collections.abc import Iterable
from dataclasses import replace

from zeropoint.engine.search.changes import Changes, RangeChoice


def more_floats(
    changes: Changes, nodes: Iterable[str], *, ranges: RangeChoice | None = None
) -> Changes:
    """Return changes with further nodes float, and ranges chosen otherwise where that is given."""
    return replace(changes, floats=changes.floats.union(nodes), ranges=ranges or changes.ranges)


def more_slower(changes: Changes, nodes: Iterable[str]) -> Changes:
    """Return changes with further nodes float because that is faster."""
    return replace(changes, slower=changes.slower.union(nodes))


def counted(count: int, what: str) -> str:
    """Return a number with its word."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
