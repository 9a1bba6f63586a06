"""What is asked for and what is done otherwise -> the final plan and its parameters.

Pure functions: the same model, options, statistics and changes give the same result. Each kind of
change has one applier in `_APPLIERS`; ranges are chosen in `ranges`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import onnx_ir as ir

from zeropoint.engine.errors import OptionError
from zeropoint.engine.graph import name_of
from zeropoint.engine.observe import Statistics
from zeropoint.engine.operators import weight_only
from zeropoint.engine.options import DynamicOptions, StaticOptions
from zeropoint.engine.plan import (
    NO_CHANGES,
    NodeChanges,
    Parameters,
    PlannedModel,
    derive_constants,
    derive_parameters,
    narrow_plan,
    with_inherited,
)
from zeropoint.engine.reasons import Kept, Reason
from zeropoint.engine.search.abilities import can_give_floats, can_run_dynamically
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.decided import Decided
from zeropoint.engine.search.ranges import range_chooser
from zeropoint.sketch import Sketch

_NOTHING = Changes()

_INACCURATE = Kept(
    Reason.INACCURATE, "float for accuracy: on integers it made the result worse than it must be"
)
_SLOWER = Kept(Reason.SLOWER, "float for speed: the result was measured, and is faster with it so")
_STORED = Kept(
    Reason.SLOWER,
    "float for speed, with a weight that is stored as integers: the result was measured, and is "
    "faster with its data in float",
)
_WEIGHT_ONLY = Kept(
    Reason.INACCURATE,
    "float for accuracy, with a weight that is stored as integers: with data on integers it made "
    "the result worse than it must be",
)


def realize(
    planned: PlannedModel,
    options: StaticOptions,
    statistics: Statistics,
    changes: Changes = _NOTHING,
) -> Decided:
    """Return the plan that statistics allow, with parameters from these.

    Args:
        planned: The model with the plan for `options`.
        options: What is asked for.
        statistics: What batches showed; of every tensor that the plan of `planned` observes.
        changes: What is done otherwise; by default nothing.

    Raises:
        NothingToQuantize: nothing is left that could be quantized, without any change.
        OptionError: DECISIONS_INVALID, a change names what the model does not have.
    """
    require_known(planned, changes)
    sketches = with_inherited(planned, _sketches(statistics))
    narrowed = narrow_plan(planned, options, sketches, node_changes(planned, changes))
    parameters = derive_parameters(
        narrowed.graph, narrowed.plan, sketches, options, range_chooser(narrowed.plan, changes)
    )
    return Decided(
        planned=narrowed,
        to_write=narrowed.plan,
        parameters=parameters,
        statistics=statistics,
        changes=changes,
    )


def realize_dynamic(
    planned: PlannedModel, options: DynamicOptions, changes: Changes = _NOTHING
) -> Decided:
    """Return the plan and its parameters where activations are quantized as the model runs.

    Args:
        planned: The model with the plan for `options`.
        options: What is asked for.
        changes: What is done otherwise; ranges have no meaning.

    Raises:
        OptionError: DECISIONS_INVALID, a change names what the model does not have.
    """
    require_known(planned, changes)
    if told := node_changes(planned, changes):
        planned = planned.changed(options, told)
    constants = derive_constants(planned.graph, planned.plan, options.weight)
    parameters = Parameters(tensors={}, constants=constants, ranges={}, warnings=())
    return Decided(planned=planned, to_write=planned.plan, parameters=parameters, changes=changes)


def node_changes(planned: PlannedModel, changes: Changes) -> NodeChanges:
    """Return what is planned otherwise for single nodes."""
    found = NO_CHANGES
    for apply in _APPLIERS:
        found = apply(found, planned, changes)
    return found


def require_known(planned: PlannedModel, changes: Changes) -> None:
    """Refuse changes of another model.

    Raises:
        OptionError: DECISIONS_INVALID, a change names what the model does not have.
    """
    nodes = frozenset(name_of(node) for node in planned.graph.all_nodes())
    _refuse("node", changes.nodes - nodes)
    if changes.own_ranges:
        tensors = {value.name for node in planned.graph.all_nodes() for value in node.outputs}
        tensors.update(value.name for value in planned.graph.inputs)
        _refuse("tensor", {name for name, _ in changes.own_ranges} - tensors)


def _refuse(kind: str, unknown: Iterable[str]) -> None:
    name = min(unknown, default=None)
    if name is not None:
        raise OptionError(
            "DECISIONS_INVALID",
            f"decisions name the {kind} {name!r}, which this model does not have: give those of a "
            "report on this model, quantized with the same options, or leave them out.",
            option="decisions",
            **{kind: name},
        )


def _floats(found: NodeChanges, planned: PlannedModel, changes: Changes) -> NodeChanges:
    faster = dict.fromkeys(_together(planned, changes.slower - changes.weight_only), _SLOWER)
    floats = dict.fromkeys(_together(planned, changes.floats), _INACCURATE)
    return found.keeping({**faster, **floats})


def _weight_only(found: NodeChanges, planned: PlannedModel, changes: Changes) -> NodeChanges:
    """Store weights; a node without one that is worth it computes in float all the same."""
    chosen = [node for node in planned.graph.all_nodes() if name_of(node) in changes.weight_only]
    names = [name_of(node) for node in chosen if weight_only(node) is not None]
    stored = {name: _STORED if name in changes.slower else _WEIGHT_ONLY for name in names}
    rest = changes.weight_only - stored.keys()
    others = {
        **dict.fromkeys(_together(planned, rest & changes.slower), _SLOWER),
        **dict.fromkeys(_together(planned, rest - changes.slower), _INACCURATE),
    }
    return replace(found.keeping(others), weight_only=stored)


def _per_channel(found: NodeChanges, _planned: PlannedModel, changes: Changes) -> NodeChanges:
    return replace(found, per_channel=changes.per_channel)


def _float_outputs(found: NodeChanges, planned: PlannedModel, changes: Changes) -> NodeChanges:
    chosen = _able(planned, changes.float_outputs, can_give_floats)
    return replace(found, float_outputs=chosen)


def _dynamic(found: NodeChanges, planned: PlannedModel, changes: Changes) -> NodeChanges:
    return replace(found, dynamic=_able(planned, changes.dynamic, can_run_dynamically))


def _able(
    planned: PlannedModel, names: frozenset[str], can: Callable[[PlannedModel, ir.Node], bool]
) -> frozenset[str]:
    """Return those of some nodes for which a change has an effect."""
    nodes = (node for node in planned.graph.all_nodes() if name_of(node) in names)
    return frozenset(name_of(node) for node in nodes if can(planned, node))


_APPLIERS: tuple[Callable[[NodeChanges, PlannedModel, Changes], NodeChanges], ...] = (
    _floats,
    _weight_only,
    _per_channel,
    _float_outputs,
    _dynamic,
)


def _together(planned: PlannedModel, names: Iterable[str]) -> Iterator[str]:
    """Yield names of nodes, and of those that become one kernel with them."""
    plan = planned.plan
    for name in sorted(names):
        quant = plan.nodes.get(plan.absorbed.get(name, name))
        yield from (name,) if quant is None else quant.taken


def _sketches(statistics: Statistics) -> Mapping[str, Sketch]:
    return {name: tensor.sketch for name, tensor in statistics.tensors.items()}
