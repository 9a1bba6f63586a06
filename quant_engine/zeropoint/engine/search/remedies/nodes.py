"""What is done otherwise with single nodes, as far as it has an effect on them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from zeropoint.engine.graph import name_of
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Remedy
from zeropoint.engine.search.abilities import (
    can_have_channels,
    can_store_weight,
    gives_to_floats,
)
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.remedies.proposal import Proposal, Propose
from zeropoint.engine.search.workbench import Suspect

_Able = Callable[[PlannedModel, ir.Node], bool]


def _of_nodes(
    remedy: Remedy, field: str, able: _Able, reason: str, *, cost: float = 0.0
) -> Propose:
    """Return a remedy that adds nodes to a set: to all for which it can do something, at once.

    Args:
        remedy: What it is.
        field: The field of `Changes` that has the set.
        able: Tells for which nodes it has an effect.
        reason: Why it may help.
        cost: What part of a node's arithmetic it costs.
    """

    def propose(
        planned: PlannedModel, changes: Changes, suspects: Sequence[Suspect]
    ) -> Iterator[Proposal]:
        nodes = _nodes(planned)
        there: frozenset[str] = getattr(changes, field) | changes.floats | changes.slower
        chosen = [
            one for one in suspects if one.node not in there and able(planned, nodes[one.node])
        ]
        if chosen:
            names = tuple(one.node for one in chosen)
            added = getattr(changes, field).union(names)
            yield Proposal(
                changes=replace(changes, **{field: added}),
                remedy=remedy,
                nodes=names,
                reason=reason,
                cost=cost * sum(one.share for one in chosen),
            )

    return propose


def _nodes(planned: PlannedModel) -> Mapping[str, ir.Node]:
    return {name_of(node): node for node in planned.graph.all_nodes()}


per_channel = _of_nodes(
    Remedy.PER_CHANNEL,
    "per_channel",
    can_have_channels,
    "one scale for all channels leaves small ones few codes",
)
float_outputs = _of_nodes(
    Remedy.OUTPUT_FLOAT,
    "float_outputs",
    gives_to_floats,
    "what they give is rounded though no integer kernel needs that",
)
weight_only = _of_nodes(
    Remedy.WEIGHT_ONLY,
    "weight_only",
    can_store_weight,
    "their data lose more than their weights",
    cost=1.0,
)
stays_float = _of_nodes(
    Remedy.STAYS_FLOAT,
    "floats",
    lambda planned, node: name_of(node) in planned.plan.nodes,
    "they lose most for the arithmetic that they save",
    cost=1.0,
)
