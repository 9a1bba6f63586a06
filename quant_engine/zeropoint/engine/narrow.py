"""Plan and statistics -> a plan that needs no range of a tensor that was never seen.

Such are the tensors of a branch that no batch took, and those that were empty in every batch.
"""

from collections.abc import Mapping
from dataclasses import replace

from zeropoint.engine.kept import Kept
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan import NodeQuant, QuantPlan, make_plan
from zeropoint.engine.planned import PlannedModel
from zeropoint.engine.report import ParameterSource
from zeropoint.sketch import Sketch


def narrow_plan(
    planned: PlannedModel, options: StaticOptions, sketches: Mapping[str, Sketch]
) -> PlannedModel:
    """Leave the nodes float that read or give a tensor without statistics.

    Args:
        planned: The plan that the statistics were gathered for.
        options: Those of the plan.
        sketches: Statistics by tensor; one without elements is none.

    Raises:
        NothingToQuantize: no node is left.
    """
    seen = {name for name, sketch in sketches.items() if sketch.elements}
    refused: dict[str, Kept] = {}
    plan = planned.plan
    while True:
        found = {
            name: _never_run(missing)
            for quant in plan.nodes.values()
            if (missing := _missing(quant, plan, seen)) is not None
            for name in _names(quant)
        }
        if not found:
            break
        refused.update(found)
        plan = make_plan(
            planned.prepared, options, planned.loaded.nodes, planned.bodies, refused=refused
        )
    narrowed = replace(planned, plan=plan)
    narrowed.require_nodes()
    return narrowed


def _missing(quant: NodeQuant, plan: QuantPlan, seen: set[str]) -> str | None:
    """Return a tensor of a node whose range is needed and not known."""
    output: tuple[str, ...] = () if quant.output is None else (quant.output,)
    for name in (*quant.tensors, *output):
        tensor = plan.tensors[name]
        while tensor.source is ParameterSource.INHERITED:
            tensor = plan.tensors[tensor.inherited_from]
        if tensor.source is ParameterSource.CALIBRATED and tensor.name not in seen:
            return name
    return None


def _names(quant: NodeQuant) -> tuple[str, ...]:
    """Return a node and those that disappear into it."""
    bias = quant.bias.node if quant.bias is not None else quant.node
    return tuple(dict.fromkeys((quant.node, bias, quant.clamp or quant.node)))


def _never_run(tensor: str) -> Kept:
    return Kept(
        "NEVER_RUN",
        f"{tensor} was empty or not computed in every batch; send batches that reach it",
    )
