"""Which nodes to leave float: by what each does to the outputs alone, doubling and bisection.

More nodes are not always better, so what is found is the least number that was seen to keep the
floor next to one that does not. How ranges are chosen is compared with a tenth of the nodes out:
before, the worst nodes drown what a method is worth.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from zeropoint.engine.report import Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.grow import counted, more_floats
from zeropoint.engine.search.repair import better
from zeropoint.engine.search.workbench import Attempt, Suspect, Workbench

_OUT: Final = 10  # one in so many is out where methods are compared
_FINE: Final = 16  # how near to the least number, in parts of what is left out


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
    if begin.changes.ranges is None:
        found = better(bench, ladder.out(tenth), Remedy.RANGE_METHOD, suspects)
        ladder.take_ranges_of(found.changes)
    return ladder.climb(tenth)


class _Ladder:
    """Candidates with the first few of the suspects left float."""

    def __init__(
        self, bench: Workbench, changes: Changes, suspects: Sequence[Suspect], margin_db: float
    ) -> None:
        self._changes = changes
        self._margin_db = margin_db
        self._bench = bench
        self._suspects = suspects

    def take_ranges_of(self, changes: Changes) -> None:
        """Choose ranges from now on as other changes do."""
        self._changes = replace(self._changes, ranges=changes.ranges, own_ranges=changes.own_ranges)

    def out(self, count: int) -> Attempt:
        """Return the candidate with so many out."""
        changes = more_floats(self._changes, [one.node for one in self._suspects[:count]])
        method = f", ranges by {changes.ranges.method.value}" if changes.ranges else ""
        told = counted(len(changes.left_float), "node")
        return self._bench.attempt(changes, f"{told} float, worst first{method}")

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
