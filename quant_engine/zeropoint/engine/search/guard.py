"""GUARD: what was asked for as it is, or with the least that has to be otherwise."""

from typing import Final

from zeropoint.engine.report import Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.exclusion import exclude
from zeropoint.engine.search.networks import takes_other_weights
from zeropoint.engine.search.repair import FREE, repaired
from zeropoint.engine.search.workbench import AS_ASKED, Attempt, Workbench

_LEAST_SHARE: Final = 0.2
"""With less of the arithmetic on integers, conversions cost more than integers save."""

GOOD_SHARE: Final = 0.8
"""With less, remedies are worth it that take a while to be tried."""

_SMALLER: Final = 0.8
_AS_FAST: Final = 1.05
_MOST_MARGIN_DB: Final = 20.0
_COSTLY: Final = (Remedy.SMOOTHED, Remedy.DYNAMIC_INPUT)
_OTHER_WEIGHTS: Final = (Remedy.BIAS_CORRECTED, Remedy.WEIGHTS_ROUNDED)


def guard(bench: Workbench) -> Attempt:
    """Return the candidate that keeps the floor with the least that is done otherwise."""
    asked = bench.attempt(Changes(), AS_ASKED)
    return asked if asked.holds else mended(bench, asked)


def mended(bench: Workbench, begin: Attempt, margin_db: float = 0.0) -> Attempt:
    """Return a candidate that keeps the floor, or comes nearest.

    Remedies that cost nothing come first, then as few float nodes as do; where that leaves too
    little on integers, remedies that take longer to try are tried before.

    Args:
        bench: Makes and measures candidates.
        begin: What it goes on from.
        margin_db: By how much it shall be above the floor.
    """
    free = repaired(bench, begin, FREE, margin_db=margin_db)
    if free.margin_db >= margin_db:
        return free
    found = exclude(bench, free, margin_db)
    if found.integer_share is not None and found.integer_share < GOOD_SHARE:
        kinds = (*_COSTLY, *(_OTHER_WEIGHTS if takes_other_weights(bench.planned) else ()))
        more = repaired(bench, free, kinds, margin_db=margin_db)
        if more is not free:
            other = more if more.margin_db >= margin_db else exclude(bench, more, margin_db)
            found = _with_more_on_integers(found, other, margin_db)
    return worth_it(bench, found)


def safer(bench: Workbench, before: Attempt, missed_db: float) -> Attempt:
    """Return a candidate that is further above the floor than one that turned out too bold.

    Args:
        bench: Makes and measures candidates.
        before: The one that was too bold.
        missed_db: By how much other samples show it below the floor, chance allowed for.
    """
    margin_db = min(before.margin_db, _MOST_MARGIN_DB) + missed_db
    return mended(bench, before, margin_db)


def worth_it(bench: Workbench, found: Attempt) -> Attempt:
    """Return a candidate, or the float model where so little of it would be on integers."""
    share = found.integer_share
    if share is None or share >= _LEAST_SHARE or not found.changes.left_float:
        return found
    return nothing_quantized(bench)


def nothing_quantized(bench: Workbench, *, for_speed: bool = False) -> Attempt:
    """Return the candidate in which all is prepared and nothing computes on integers.

    Its weights are stored as integers where the floor holds so.

    Args:
        bench: Makes and measures candidates.
        for_speed: Whether integers would do, and are slower; it must then be no slower for stored
            weights.
    """
    nodes = frozenset(bench.planned.plan.nodes)
    changes = Changes(slower=nodes) if for_speed else Changes(floats=nodes)
    plain = bench.attempt(changes, "nothing quantized")
    stored = bench.attempt(
        Changes(weight_only=nodes, slower=changes.slower), "nothing quantized but stored weights"
    )
    if not stored.holds or stored.nbytes > _SMALLER * plain.nbytes:
        return plain
    if not for_speed:
        return stored
    slow, fast = bench.latency([stored, plain])
    return stored if slow <= _AS_FAST * fast else plain


def _with_more_on_integers(one: Attempt, other: Attempt, margin_db: float) -> Attempt:
    """Return the one that keeps the floor with more of the arithmetic on integers."""
    kept = [each for each in (one, other) if each.margin_db >= margin_db] or [one, other]
    return max(kept, key=lambda each: each.integer_share or 0.0)
