"""GUARD: what was asked for as it is, or with the least that has to be otherwise."""

from typing import Final

from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.exclusion import exclude
from zeropoint.engine.search.workbench import AS_ASKED, Attempt, Workbench

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
    if share is None or share >= _LEAST_SHARE or not found.changes.floats:
        return found
    return all_float(bench)


def all_float(bench: Workbench) -> Attempt:
    """Return the candidate in which nothing is quantized, but all is prepared."""
    floats = frozenset(bench.planned.plan.nodes)
    return bench.attempt(Changes(floats=floats), "nothing quantized")
