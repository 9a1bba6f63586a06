"""Model-local functions: bounded, then replaced by their bodies."""

from collections import Counter
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import onnx_ir as ir
from onnx_ir.passes import common

from zeropoint.engine.errors import ModelError
from zeropoint.engine.graph import kept_by_clones

# Functions that call each other twice, thirty deep, would be a thousand million nodes.
_MAX_NODES = 1_000_000


def check_functions(model: ir.Model) -> None:
    """Refuse functions that cannot be replaced by their bodies.

    Must come before anything else looks at the model: ONNX Runtime does not end on some.

    Raises:
        ModelError: MODEL_INVALID, functions call each other in a circle; MODEL_UNSUPPORTED, their
            bodies would be too many nodes.
    """
    calls = {key: _calls(model, function.all_nodes()) for key, function in model.functions.items()}
    try:
        order = tuple(TopologicalSorter(calls).static_order())
    except CycleError as error:
        name = error.args[1][0][1]
        raise ModelError(
            "MODEL_INVALID", f"The local function {name!r} calls itself.", function=name
        ) from error
    sizes: dict[ir.OperatorIdentifier, int] = {}
    for key in order:
        inner = sum(sizes[called] * count for called, count in calls[key].items())
        sizes[key] = sum(1 for _ in model.functions[key].all_nodes()) + inner
    total = sum(sizes[key] * count for key, count in _calls(model, model.graph.all_nodes()).items())
    if total > _MAX_NODES:
        raise ModelError(
            "MODEL_UNSUPPORTED",
            f"The bodies of the model's local functions are {total} nodes; at most {_MAX_NODES} "
            "can be taken.",
        )


def inline_functions(model: ir.Model) -> None:
    """Replace calls of local functions by their bodies, in place."""
    if model.functions:
        with kept_by_clones(model):
            common.InlinePass()(model)


def _calls(model: ir.Model, nodes: Iterable[ir.Node]) -> Counter[ir.OperatorIdentifier]:
    keys = (node.op_identifier() for node in nodes)
    return Counter(key for key in keys if key in model.functions)
