"""AUTO: the fastest or smallest candidate that keeps the floor; what was asked for are limits.

Four things are looked for, in this order. How many of the first convolutions are better float:
they read few channels, for which integer kernels are slow, and hold most of what goes wrong; one
boundary only moves. Then accuracy that costs nothing as the model runs, until there is ample. Then
what keeps the floor, as GUARD does. Then, where the result is no faster than the original, the
region of large layers that is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from zeropoint.engine.accuracy_options import Objective
from zeropoint.engine.graph import name_of
from zeropoint.engine.operators import Trait, has
from zeropoint.engine.report import Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.grow import counted, more_slower
from zeropoint.engine.search.guard import GOOD_SHARE, mended, nothing_quantized
from zeropoint.engine.search.networks import takes_other_weights
from zeropoint.engine.search.repair import FREE, repaired
from zeropoint.engine.search.workbench import AS_ASKED, Attempt, Workbench

_ROOM_DB: Final = 3.0
"""By how much a candidate shall be above the floor: its samples are few, and gave the ranges."""

_AMPLE_DB: Final = 8.0
"""Up to how much above it remedies are tried that cost nothing as the model runs."""

_MOST_FIRST: Final = 3
_CLEARLY: Final = 0.95  # of the time: less of a gain may be chance
_NO_SLOWER: Final = 1.05
_LARGE: Final = (0.005, 0.02, 0.05)  # shares of the arithmetic from which a layer is large


def auto(bench: Workbench) -> Attempt:
    """Return the best candidate that keeps the floor."""
    begin = _without_first(bench)
    free = repaired(bench, begin, _free(bench), margin_db=_AMPLE_DB)
    found = free if free.margin_db >= _ROOM_DB else _with_room(bench, free)
    fast = _fast_enough(bench, found)
    if bench.planned.options.accuracy.objective is Objective.SIZE:
        return _smaller(bench, fast)
    return fast


def _free(bench: Workbench) -> Iterator[Remedy]:
    yield from FREE
    if takes_other_weights(bench.planned):
        yield Remedy.WEIGHTS_ROUNDED


def _with_room(bench: Workbench, begin: Attempt) -> Attempt:
    """Return a candidate well above the floor, or at it where little would be on integers."""
    found = mended(bench, begin, _ROOM_DB)
    if found.holds and (found.integer_share or 0.0) >= GOOD_SHARE:
        return found
    return begin if begin.holds else mended(bench, begin)


def _without_first(bench: Workbench) -> Attempt:
    """Return the candidate with as many first convolutions float as make it clearly faster."""
    asked = bench.attempt(Changes(), AS_ASKED)
    first = list(_first_convolutions(bench))[:_MOST_FIRST]
    tried = [
        bench.attempt(
            more_slower(Changes(), first[:count]),
            f"the first {counted(count, 'convolution')} float",
        )
        for count in range(1, len(first) + 1)
    ]
    return _fastest(bench, asked, [one for one in tried if one.margin_db >= asked.margin_db])


def _first_convolutions(bench: Workbench) -> Iterator[str]:
    planned = bench.planned
    for node in planned.graph:
        if has(node, Trait.CONVOLVES) and name_of(node) in planned.plan.nodes:
            yield name_of(node)


def _fastest(bench: Workbench, begin: Attempt, others: Iterable[Attempt]) -> Attempt:
    """Return the fastest, if it clearly is faster than what it is compared with."""
    candidates = [begin, *others]
    if not candidates[1:]:
        return begin
    ratios = bench.latency(candidates)
    ratio, best = min(zip(ratios, candidates, strict=True), key=lambda pair: pair[0])
    return best if ratio < _CLEARLY * ratios[0] else begin


def _fast_enough(bench: Workbench, found: Attempt) -> Attempt:
    """Return a candidate, or a faster one where it is slower than the original.

    What is prepared and not quantized may be faster than both.
    """
    (ratio,) = bench.latency([found])
    if ratio <= _NO_SLOWER:
        return found
    others = [one for one in _with_large_layers(bench, found) if one.holds]
    return _fastest(bench, nothing_quantized(bench, for_speed=True), others)


def _with_large_layers(bench: Workbench, found: Attempt) -> Iterator[Attempt]:
    """Yield candidates with small layers float, whose conversions cost more than integers save."""
    suspects = [s for s in bench.suspects() if s.node not in found.changes.left_float]
    for least in _LARGE:
        small = [one.node for one in suspects if one.share < least]
        changes = more_slower(found.changes, small)
        yield bench.attempt(changes, f"layers float with less than {least:.1%} of the arithmetic")


def _smaller(bench: Workbench, found: Attempt) -> Attempt:
    """Return the candidate with the weights of float nodes stored as integers, if that holds."""
    floats = found.changes.left_float
    if not floats:
        return found
    stored = replace(found.changes, floats=frozenset(), weight_only=floats)
    smaller = bench.attempt(stored, f"{counted(len(floats), 'float node')} with integer weights")
    if not smaller.holds or smaller.nbytes >= found.nbytes:
        return found
    (ratio,) = bench.latency([smaller])
    return smaller if ratio <= _NO_SLOWER else found
