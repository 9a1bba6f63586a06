"""Which nodes to leave float: by what each does to the outputs alone, doubling and bisection.

More nodes are not always better, so what is found is the least number that was seen to keep the
floor next to one that does not. How ranges are chosen is compared with a tenth of the nodes out:
before, the worst nodes drown what a method is worth.
"""

from collections.abc import Sequence
from typing import Final

from zeropoint.engine.options import CalibrationMethod, StaticOptions
from zeropoint.engine.search.changes import Changes, RangeChoice
from zeropoint.engine.search.grow import counted, more_floats
from zeropoint.engine.search.workbench import Attempt, Suspect, Workbench

_OUT: Final = 10  # one in so many is out where methods are compared
_METHODS: Final = (
    RangeChoice(method=CalibrationMethod.MINMAX),
    RangeChoice(method=CalibrationMethod.MSE),
    RangeChoice(method=CalibrationMethod.PERCENTILE, percentile=99.99),
)


def exclude(bench: Workbench, begin: Attempt, margin_db: float = 0.0) -> Attempt:
    """Return the candidate with the fewest nodes left float, by blame, that keeps the floor.

    Args:
        bench: Makes and measures candidates.
        begin: What it goes on from.
        margin_db: By how much it shall be above the floor.

    Returns:
        Where none keeps it, the one that comes nearest.
    """
    suspects = [one for one in bench.suspects() if one.node not in begin.changes.left_float]
    if not suspects:
        return begin
    ladder = _Ladder(bench, begin.changes, suspects, margin_db)
    tenth = max(1, len(suspects) // _OUT)
    ladder.changes = _method(bench, ladder, tenth)
    return ladder.climb(tenth)


def _method(bench: Workbench, ladder: "_Ladder", tenth: int) -> Changes:
    """Return the changes with the ranges that serve best with the worst nodes out."""
    options = bench.planned.options
    if not isinstance(options, StaticOptions) or ladder.changes.ranges is not None:
        return ladder.changes
    asked = ladder.out(tenth)
    best, changes = asked, ladder.changes
    for choice in _METHODS:
        if choice.method is options.calibrate_method:
            continue
        found = ladder.out(tenth, ranges=choice)
        if found.margin_db > best.margin_db + _CLEAR_DB:
            best, changes = found, ladder.with_ranges(choice)
    return changes


_CLEAR_DB: Final = 0.5  # less is chance, and what was asked for stays


class _Ladder:
    """Candidates with the first few of the suspects left float."""

    def __init__(
        self, bench: Workbench, changes: Changes, suspects: Sequence[Suspect], margin_db: float
    ) -> None:
        self.changes = changes
        self._margin_db = margin_db
        self._bench = bench
        self._suspects = suspects

    def with_ranges(self, choice: RangeChoice) -> Changes:
        return more_floats(self.changes, (), ranges=choice)

    def out(self, count: int, *, ranges: RangeChoice | None = None) -> Attempt:
        """Return the candidate with so many out."""
        nodes = [one.node for one in self._suspects[:count]]
        changes = more_floats(self.changes, nodes, ranges=ranges)
        method = f", ranges by {changes.ranges.method.value}" if changes.ranges else ""
        return self._bench.attempt(changes, f"{counted(count, 'node')} float, worst first{method}")

    def climb(self, start: int) -> Attempt:
        """Return the one with the fewest that holds: down from `start`, or up and down again."""
        count, total = start, len(self._suspects)
        found = self.out(count)
        best, missed = found, 0
        while not self._holds(found) and count < total:
            missed = count
            count = min(total, 2 * count)
            found = self.out(count)
            best = max(best, found, key=lambda one: one.margin_db)
        if not self._holds(found):
            return best
        return self._descend(missed, count, found)

    def _holds(self, attempt: Attempt) -> bool:
        return attempt.margin_db >= self._margin_db

    def _descend(self, missed: int, held: int, best: Attempt) -> Attempt:
        while held - missed > max(1, held // _FINE):
            middle = (missed + held) // 2
            found = self.out(middle)
            if self._holds(found):
                held, best = middle, found
            else:
                missed = middle
        return best


_FINE: Final = 16  # how near, in parts of what is left out
