"""Which nodes are worth quantizing: those that compute, and those that keep them joined."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, rank_of
from zeropoint.engine.operators import OpRule, Role, is_clamp
from zeropoint.engine.plan.barriers import Candidates
from zeropoint.engine.plan.float_ends import pays

_MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True, eq=False)
class IntegerFlow:
    """Where integers flow.

    Attributes:
        nodes: Nodes to quantize.
        points: For nodes whose outputs are quantized, the values at which: the output itself, or
            that of the Relu or Clip that alone reads it; several only for nodes that share.
    """

    nodes: frozenset[ir.Node]
    points: Mapping[ir.Node, tuple[ir.Value, ...]]


def only_consumer(value: ir.Value) -> ir.Node | None:
    """Return the one node that reads `value` once; None where others do, or the user."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = next(iter(uses)).node
    producer = value.producer()
    return node if producer is not None and node.graph is producer.graph else None


def bias_add(node: ir.Node) -> tuple[ir.Node, int] | None:
    """Return the Add of a constant [N] bias behind a MatMul, and which input the bias is.

    ONNX Runtime turns MatMul and Add into a Gemm, which is an integer kernel only with an int32
    bias.
    """
    follower = only_consumer(node.outputs[0])
    weight = node.inputs[1]
    if follower is None or follower.op_type != "Add" or weight is None or weight.shape is None:
        return None
    for index, value in enumerate(follower.inputs):
        array = constant(value)
        if array is None or len(weight.shape) != 2 or array.ndim == 0:
            continue
        if not np.isfinite(array).all():
            continue
        columns, rank = weight.shape[1], rank_of(node.outputs[0])
        fits = array.shape[-1] == columns and array.size == columns
        if fits and array.ndim <= min(rank or 1, 2):  # it gives the sum no axis
            return follower, index
    return None


def integer_flow(model: ir.Model, candidates: Candidates) -> IntegerFlow:
    """Find the nodes to quantize.

    Nodes that compute, or have constants to store, always are. A node that joins or shares is,
    where an integer kernel reads what it makes, and what it reads are integers already, or enough
    of it (see `float_ends`); or where the user named it. A node whose output the user wants float
    gives no integers; named, it reads them all the same. Integers flow within one graph: what comes
    from an outer graph is float, and so is what goes out.
    """
    produced = _produced(candidates, None)
    kernels = _kernels(model.graph, candidates, produced)
    for _ in range(_MOST_ROUNDS):  # each can only leave out more of them
        fewer = _produced(candidates, kernels)
        if len(fewer) == len(produced):
            break
        produced, kernels = fewer, _kernels(model.graph, candidates, fewer)
    nodes = {
        node
        for node, rule in candidates.rules.items()
        if rule.role in (Role.COMPUTE, Role.STORED)
        or (node in candidates.forced and rule.role is not Role.CLAMP and node not in produced)
        or (node in produced and (node in candidates.forced or node in kernels))
    }
    points = {node: values for node, values in produced.items() if node in nodes}
    return IntegerFlow(frozenset(nodes), points)


def _end(node: ir.Node) -> ir.Value:
    """Return the output of a node, behind the bias that its kernel adds."""
    known = node.op_type == "MatMul" and constant(node.inputs[1]) is not None
    found = bias_add(node) if known else None
    return found[0].outputs[0] if found is not None else node.outputs[0]


def _stays_float(node: ir.Node, candidates: Candidates) -> bool:
    """Whether the user wants no output of a node quantized, or of the bias behind it."""
    last = _end(node).producer()
    return not candidates.float_outputs.isdisjoint({node, node if last is None else last})


def _points(node: ir.Node, rule: OpRule, candidates: Candidates) -> tuple[ir.Value, ...]:
    if rule.every_output or rule.role is Role.FLOAT:
        return rule.data_outputs(node)
    end = _end(node)
    follower = only_consumer(end)
    if follower is not None:
        clamp = candidates.rules.get(follower)
        if clamp is not None and clamp.role is Role.CLAMP:
            excluded = follower in candidates.float_outputs
            return (end,) if excluded else (follower.outputs[0],)
    return (end,)


def _ends_in_clamp(node: ir.Node) -> bool:
    """Whether ONNX Runtime takes a Relu or Clip inside the graph for part of this node.

    It then has an integer kernel only if a QuantizeLinear follows.
    """
    follower = only_consumer(_end(node))
    return follower is not None and is_clamp(follower) and not follower.outputs[0].is_graph_output()


def _produced(
    candidates: Candidates, kernels: Set[ir.Node] | None
) -> dict[ir.Node, tuple[ir.Value, ...]]:
    """Nodes that can give integers, with the values that are; graph order.

    Args:
        candidates: The nodes to choose from.
        kernels: The nodes that read codes as far as is known: joins with float ends have to pay
            beside them. None where that is not known yet: all do.
    """
    produced: dict[ir.Node, tuple[ir.Value, ...]] = {}
    integers: set[ir.Value] = set()
    for node, rule in candidates.rules.items():
        if rule.role in (Role.CLAMP, Role.STORED) or node in candidates.dynamic:
            continue
        if _stays_float(node, candidates):
            continue
        points = _points(node, rule, candidates)
        if rule.role is Role.COMPUTE:
            gives = rule.integer_output or _ends_in_clamp(node)
        else:
            inputs = [node.inputs[i] for i in rule.activation_inputs(node)]
            known = {value for value in inputs if value in integers and value.graph is node.graph}
            fed = all(value in known or constant(value) is not None for value in inputs)
            joins = rule.float_ends and (
                kernels is None or pays(node, rule, points, integers, kernels)
            )
            gives = node in candidates.forced or (bool(known) and (fed or joins))
        if gives:
            produced[node] = points
            integers.update(points)
    return produced


def _kernels(
    graph: ir.Graph, candidates: Candidates, produced: Mapping[ir.Node, tuple[ir.Value, ...]]
) -> set[ir.Node]:
    """Nodes that read codes: those that compute, and those that pass integers on to them."""
    kernels: set[ir.Node] = set()
    wanted: set[ir.Value] = set()
    for node in ir.traversal.RecursiveGraphIterator(graph, reverse=True):
        rule = candidates.rules.get(node)
        if rule is None or rule.role in (Role.CLAMP, Role.STORED) or node in candidates.dynamic:
            continue
        if rule.role is Role.COMPUTE or not wanted.isdisjoint(produced.get(node, ())):
            kernels.add(node)
            inputs = (node.inputs[i] for i in rule.activation_inputs(node))
            own = (value for value in inputs if value is not None and value.graph is node.graph)
            wanted.update(own)
    return kernels
