"""Remedies, the least costly first, each kept only where it is measured to help."""

from collections.abc import Iterable, Sequence
from typing import Final

from zeropoint.engine.report import Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.grow import counted
from zeropoint.engine.search.remedies import Proposal, proposals
from zeropoint.engine.search.workbench import Attempt, Suspect, Workbench

CLEAR_DB: Final = 0.5
"""A candidate that is better by less may be so by chance, and is not taken."""

FREE: Final = (
    Remedy.RANGE_CLIPPED,
    Remedy.PER_CHANNEL,
    Remedy.OUTPUT_FLOAT,
    Remedy.EQUALIZED,
)
"""Remedies that cost nothing as the model runs, and little to try."""

_WORDS: Final = {
    Remedy.RANGE_CLIPPED: "ranges end where what follows passes nothing on",
    Remedy.PER_CHANNEL: "a scale for each channel of {}",
    Remedy.EQUALIZED: "neighbouring layers equalized",
    Remedy.SMOOTHED: "what {} read smoothed",
    Remedy.BIAS_CORRECTED: "biases of {} corrected",
    Remedy.WEIGHTS_ROUNDED: "weights of {} rounded together",
    Remedy.OUTPUT_FLOAT: "what {} give float",
    Remedy.DYNAMIC_INPUT: "what {} read quantized as the model runs",
    Remedy.WEIGHT_ONLY: "{} float with integer weights",
    Remedy.STAYS_FLOAT: "{} float",
}


def repaired(
    bench: Workbench, begin: Attempt, kinds: Iterable[Remedy], *, margin_db: float = 0.0
) -> Attempt:
    """Try one kind of remedy after the other, until a candidate is good enough.

    Args:
        bench: Makes and measures candidates.
        begin: What it goes on from.
        kinds: The kinds, in their order.
        margin_db: By how much it shall be above the floor.
    """
    best = begin
    for kind in kinds:
        if best.margin_db >= margin_db:
            break
        best = better(bench, best, kind, bench.suspects())
    return best


def better(bench: Workbench, before: Attempt, kind: Remedy, suspects: Sequence[Suspect]) -> Attempt:
    """Return the best candidate with a remedy of one kind, or what there was before."""
    offered = proposals(bench.planned, before.changes, suspects, frozenset({kind}))
    found = [bench.attempt(one.changes, _told(one, before.changes)) for one in offered]
    best = max(found, key=lambda one: one.margin_db, default=before)
    return best if best.margin_db > before.margin_db + CLEAR_DB else before


def _told(proposal: Proposal, before: Changes) -> str:
    """Return what a proposal is, beside what is different already."""
    nodes = counted(len(proposal.nodes), "node")
    what = _WORDS.get(proposal.remedy, proposal.reason).format(nodes)
    floats = len(before.left_float)
    return f"{what}, {counted(floats, 'node')} float" if floats else what
