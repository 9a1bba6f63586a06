"""GUARD: what was asked for as it is, or with the least that has to be otherwise."""

from typing import Final

from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.exclusion import exclude
from zeropoint.engine.search.grow import more_floats
from zeropoint.engine.search.workbench import Attempt, Workbench

_LEAST_SHARE: Final = 0.2
"""With less of the arithmetic on integers, conversions cost more than integers save."""

_MORE: Final = 4  # one in so many more, where the samples to verify with show that it takes more


def guard(bench: Workbench) -> Attempt:
    """Return the candidate that keeps the floor with the least that is done otherwise."""
    asked = bench.attempt(Changes(), "as asked for")
    if asked.holds:
        return asked
    return worth_it(bench, exclude(bench, asked))


def tighter(bench: Workbench, before: Attempt) -> Attempt:
    """Return a candidate with more nodes float than one that other samples show to be too bold.

    Returns:
        The same where nothing is left to be float.
    """
    left = [one.node for one in bench.suspects() if one.node not in before.changes.floats]
    count = max(1, len(before.changes.floats) // _MORE)
    if not left:
        return before
    changes = more_floats(before.changes, left[:count])
    more = f"{len(changes.floats)} nodes float, as the samples to verify with need more"
    return worth_it(bench, bench.attempt(changes, more))


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
