"""Other numbers for the same plan: they cost nothing as the model runs, and a while to be found."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from zeropoint.engine.graph import name_of
from zeropoint.engine.improve import equalize, smoothable
from zeropoint.engine.operators import is_layer
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.remedies.proposal import Proposal
from zeropoint.engine.search.workbench import Suspect


def equalized(
    planned: PlannedModel, changes: Changes, _suspects: Sequence[Suspect]
) -> Iterator[Proposal]:
    """Propose to bring channels of neighbouring convolutions to like sizes."""
    if not changes.equalized and equalize(planned.graph, planned.prepared.stored):
        yield Proposal(
            changes=replace(changes, equalized=True),
            remedy=Remedy.EQUALIZED,
            nodes=(),
            reason="channels that differ much in size share one scale",
        )


def smoothed(
    planned: PlannedModel, changes: Changes, _suspects: Sequence[Suspect]
) -> Iterator[Proposal]:
    """Propose to move what is large in the data of products into their weights."""
    products = (name for name in _layers(planned) if name not in changes.left_float)
    chosen = frozenset(products) - changes.smoothed
    if smoothable(planned.graph, planned.prepared.stored, chosen):
        yield Proposal(
            changes=replace(changes, smoothed=changes.smoothed | chosen),
            remedy=Remedy.SMOOTHED,
            nodes=tuple(sorted(chosen)),
            reason="a few channels of their data may be much larger than the rest",
        )


def corrected(
    planned: PlannedModel, changes: Changes, _suspects: Sequence[Suspect]
) -> Iterator[Proposal]:
    """Propose biases that make up for mean errors, of all layers: one counts on the ones before."""
    chosen = frozenset(_layers(planned)) - changes.floats - changes.slower
    if chosen - changes.corrected:
        yield Proposal(
            changes=replace(changes, corrected=changes.corrected | chosen),
            remedy=Remedy.BIAS_CORRECTED,
            nodes=tuple(sorted(chosen)),
            reason="rounding moves the means of what layers give",
        )


def rounded(
    planned: PlannedModel, changes: Changes, _suspects: Sequence[Suspect]
) -> Iterator[Proposal]:
    """Propose weights that are rounded for the least error of what layers give, and biases."""
    chosen = frozenset(_layers(planned)) - changes.floats - changes.slower
    if chosen - changes.rounded:
        yield Proposal(
            changes=replace(
                changes,
                rounded=changes.rounded | chosen,
                corrected=changes.corrected | chosen,
            ),
            remedy=Remedy.WEIGHTS_ROUNDED,
            nodes=tuple(sorted(chosen)),
            reason="weights that are rounded together make up for each other's errors",
        )


def _layers(planned: PlannedModel) -> Iterator[str]:
    """Yield the layers of the main graph with a weight that becomes integers."""
    for node in planned.graph:
        quant = planned.plan.nodes.get(name_of(node))
        if quant is not None and quant.weight is not None and is_layer(node):
            yield name_of(node)
