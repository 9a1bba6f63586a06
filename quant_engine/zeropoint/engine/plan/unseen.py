"""Plan and statistics -> a plan that needs no range of a tensor that has none.

Such are the tensors of a branch that no batch took, those that were empty in every batch, and those
that mask.
"""

from collections.abc import Mapping, Set
from dataclasses import replace

import onnx_ir as ir

from zeropoint.engine.graph import name_of, paths, value_at
from zeropoint.engine.operators import Role, Trait, has, rule_of
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan.masks import Masks
from zeropoint.engine.plan.node_changes import NO_CHANGES, NodeChanges
from zeropoint.engine.plan.planned_model import PlannedModel
from zeropoint.engine.plan.quant_plan import NodeQuant, QuantPlan
from zeropoint.engine.reasons import Kept, Reason
from zeropoint.engine.report import ParameterSource
from zeropoint.sketch import Sketch


def narrow_plan(
    planned: PlannedModel,
    options: StaticOptions,
    sketches: Mapping[str, Sketch],
    changes: NodeChanges = NO_CHANGES,
) -> PlannedModel:
    """Leave the nodes float that read or give a tensor without statistics, or read a mask.

    A sketch without elements is none.

    Args:
        planned: The model with the plan for its options.
        options: These.
        sketches: What was seen; see `with_inherited`.
        changes: What is otherwise for single nodes.

    Raises:
        NothingToQuantize: no node is left, and that is not what `changes` ask for.
    """
    seen = {name for name, sketch in sketches.items() if sketch.elements}
    if changes:
        planned = planned.changed(options, changes)
    plan = planned.plan
    refused = _unreached(planned.prepared.model, plan, seen) | _masked(planned, sketches)
    while True:
        found = {
            name: _never_run(missing)
            for quant in plan.nodes.values()
            if (missing := unseen_tensor(quant, plan, seen)) is not None
            for name in quant.taken
        }
        found.update((name, why) for name, why in refused.items() if name in plan.nodes)
        if not found:
            break
        refused.update(found)
        plan = planned.changed(options, changes.keeping(refused)).plan
    narrowed = replace(planned, plan=plan)
    if not changes:
        narrowed.require_nodes()
    return narrowed


def _unreached(model: ir.Model, plan: QuantPlan, seen: set[str]) -> dict[str, Kept]:
    """Return the nodes of bodies that were never run, as far as their tensors tell."""
    observed = set(plan.observed)
    unseen: dict[ir.Graph, str] = {}
    refused: dict[str, Kept] = {}
    for graph, path in paths(model).items():
        if not path:
            continue
        values = (name_of(value) for node in graph for value in node.outputs)
        tensors = [name for name in values if name in observed]
        if tensors and seen.isdisjoint(tensors):
            unseen[graph] = tensors[0]
        # Those around it come first.
        tensor = next((unseen[body] for _, body in path if body in unseen), None)
        if tensor is not None:
            refused.update((name_of(node), _never_run(tensor)) for node in graph)
    return refused


def _masked(planned: PlannedModel, sketches: Mapping[str, Sketch]) -> dict[str, Kept]:
    """Return the nodes that join a mask with data: no range holds both.

    An infinity would become the least value that was seen, and mask no more; beside a number that
    stands for it, all data would have one code.
    """
    refused: dict[str, Kept] = {}
    masks = Masks(planned.graph, sketches)
    for node in planned.graph.all_nodes():
        quant, rule = planned.plan.nodes.get(name_of(node)), rule_of(node)
        if quant is None or rule is None or rule.role not in (Role.JOIN, Role.FLOAT):
            continue
        for name, index in zip(quant.tensors, quant.inputs, strict=True):
            sketch = sketches.get(planned.plan.root(planned.plan.tensors[name]).name)
            scores = node.op_type == "Softmax"
            if sketch is not None and masks.masks(value_at(node, index), sketch, scores=scores):
                refused[quant.node] = Kept(
                    Reason.MASKED,
                    f"{name} masks: it holds infinities or numbers that stand for them",
                )
    return refused


def with_inherited(planned: PlannedModel, sketches: Mapping[str, Sketch]) -> Mapping[str, Sketch]:
    """Return sketches with those of tensors that only hold values of others, and are not there.

    Such a tensor has the parameters of the one that its values come from. Where the node between
    the two stays float in another plan, it needs its own, and what bounds the one bounds the other.
    """
    plan = planned.plan
    inherited = (t for t in plan.tensors.values() if t.source is ParameterSource.INHERITED)
    roots = ((tensor.name, plan.root(tensor).name) for tensor in inherited)
    known = {name: sketches[root] for name, root in roots if root in sketches}
    return {**known, **sketches}


def spare_tensors(planned: PlannedModel) -> tuple[str, ...]:
    """Return the tensors whose ranges a plan that leaves out more nodes may need.

    They have the parameters of what a join gives; where that turns out to read a mask, or an empty
    tensor, they need their own.
    """
    plan, masks = planned.plan, Masks(planned.graph, {})
    doubtful = {
        name_of(output)
        for node in planned.graph.all_nodes()
        if (rule := rule_of(node)) is not None and rule.role in (Role.JOIN, Role.CLAMP)
        if has(node, Trait.JOINS) or any(masks.may_mask(value) for value in node.inputs if value)
        for output in node.outputs
    }
    inherited = (t for t in plan.tensors.values() if t.source is ParameterSource.INHERITED)
    return tuple(tensor.name for tensor in inherited if plan.root(tensor).name in doubtful)


def unseen_tensor(quant: NodeQuant, plan: QuantPlan, seen: Set[str]) -> str | None:
    """Return a tensor that a node reads or gives whose range is needed and not known."""
    for name in (*quant.tensors, *filter(None, (quant.output,))):
        tensor = plan.root(plan.tensors[name])
        if tensor.source is ParameterSource.CALIBRATED and tensor.name not in seen:
            return name
    return None


def _never_run(tensor: str) -> Kept:
    return Kept(
        Reason.NEVER_RUN,
        f"{tensor} was empty or not computed in every batch; send batches that reach it",
    )
