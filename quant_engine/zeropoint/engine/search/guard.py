"""GUARD: what was asked for as it is, or with the least that has to be otherwise."""

from typing import Final

from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.exclusion import exclude
from zeropoint.engine.search.workbench import AS_ASKED, Attempt, Workbench

_SMALLER: Final = 0.8
_AS_FAST: Final = 1.05
_LEAST_SHARE: Final = 0.2
"""With less of the arithmetic on integers, conversions cost more than integers save."""

_MOST_MARGIN_DB: Final = 20.0


def guard(bench: Workbench) -> Attempt:
    """Return the candidate that keeps the floor with the least that is done otherwise."""
    asked = bench.attempt(Changes(), AS_ASKED)
    if asked.holds:
        return asked
    return worth_it(bench, exclude(bench, asked))


def safer(bench: Workbench, before: Attempt, missed_db: float) -> Attempt:
    """Return a candidate that is further above the floor than one that turned out too bold.

    Args:
        bench: Makes and measures candidates.
        before: The one that was too bold.
        missed_db: By how much other samples show it below the floor, chance allowed for.
    """
    margin_db = min(before.margin_db, _MOST_MARGIN_DB) + missed_db
    return worth_it(bench, exclude(bench, before, margin_db))


def worth_it(bench: Workbench, found: Attempt) -> Attempt:
    """Return a candidate, or the float model where so little of it would be on integers."""
    share = found.integer_share
    if share is None or share >= _LEAST_SHARE or not found.changes.left_float:
        return found
    return nothing_quantized(bench)


def nothing_quantized(bench: Workbench) -> Attempt:
    """Return the candidate in which all is prepared and nothing computes on integers.

    Its weights are stored as integers where the floor holds so, and it is no slower for that.
    """
    nodes = frozenset(bench.planned.plan.nodes)
    plain = bench.attempt(Changes(floats=nodes), "nothing quantized")
    stored = bench.attempt(Changes(weight_only=nodes), "nothing quantized but stored weights")
    if not stored.holds or stored.nbytes > _SMALLER * plain.nbytes:
        return plain
    slow, fast = bench.latency([stored, plain])
    return stored if slow <= _AS_FAST * fast else plain
