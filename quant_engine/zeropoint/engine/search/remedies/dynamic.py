"""Products whose data are quantized as the model runs, for what is loud in one sample only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import onnx_ir as ir

from zeropoint.engine.graph import name_of
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Remedy
from zeropoint.engine.search.abilities import can_give_floats, can_run_dynamically
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.remedies.proposal import Proposal
from zeropoint.engine.search.workbench import Suspect

_COST: Final = 0.2  # of a product whose data have to be looked at before they are quantized


def dynamic(
    planned: PlannedModel, changes: Changes, suspects: Sequence[Suspect]
) -> Iterator[Proposal]:
    """Propose it for all products to which floats come, or can come from the product before."""
    nodes = {name_of(node): node for node in planned.graph.all_nodes()}
    there = changes.dynamic | changes.left_float
    chosen: list[Suspect] = []
    giving: set[str] = set()
    for one in suspects:
        node = nodes[one.node]
        if one.node in there or not can_run_dynamically(planned, node):
            continue
        before = _in_the_way(planned, nodes, one.node)
        if all(can_give_floats(planned, nodes[name]) for name in before):
            chosen.append(one)
            giving |= before
    if chosen:
        names = tuple(one.node for one in chosen)
        yield Proposal(
            changes=replace(
                changes,
                dynamic=changes.dynamic.union(names),
                float_outputs=changes.float_outputs | giving,
            ),
            remedy=Remedy.DYNAMIC_INPUT,
            nodes=names,
            reason="a range of its own for each run serves where data differ in size from sample "
            "to sample",
            cost=_COST * sum(one.share for one in chosen),
        )


def _in_the_way(planned: PlannedModel, nodes: dict[str, ir.Node], name: str) -> set[str]:
    """Return the nodes that quantize what a product reads, as they give it."""
    plan = planned.plan
    read = {plan.root(plan.tensors[tensor]) for tensor in plan.nodes[name].tensors}
    fixed = {tensor.name for tensor in read if tensor.everywhere}
    return {other for other, quant in plan.nodes.items() if quant.output in fixed}
