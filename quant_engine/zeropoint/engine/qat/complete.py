"""What was not trained with quantization, completed from batches.

- Layers with float weights: as static quantization does it, with the pairs that are there kept.
- Layers with trained weights whose input has no pair, and Add or Concat that join a quantized
  tensor with one that is not: that tensor gets a pair. Where a pair on the same tensor was trained
  for another reader, it serves.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.number_types import QuantType
from zeropoint.engine.operators import (
    FakeQuant,
    Role,
    fake_quants,
    is_clamp,
    is_layer,
    is_quantized,
    is_stored,
    is_unscaled,
    rule_of,
)
from zeropoint.engine.options import QatOptions, StaticOptions, WeightOptions
from zeropoint.engine.plan import (
    Bodies,
    ConstantInput,
    ConstantRole,
    NodeQuant,
    PlannedModel,
    QuantPlan,
    TensorQuant,
    make_plan,
    only_consumer,
    unfold_weights,
    unseen_tensor,
)
from zeropoint.engine.qat.convert import misread
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.settings import OBSERVE_BYTES

_JOINS = frozenset({"Add", "Concat"})
_CHANNELS_SINCE = 13  # opset
_SEVEN_BITS = 126  # steps, of symmetric codes


def static_options(options: QatOptions, graph: ir.Graph) -> StaticOptions:
    """Return the options for what is completed: of the kind of what was learned, unless told."""
    pairs = fake_quants(graph)
    signed = bool(pairs) and all(pair.qparams.dtype.kind == "i" for pair in pairs)
    activations = options.activation_type or (QuantType.QINT8 if signed else QuantType.QUINT8)
    return StaticOptions(
        selection=options.selection,
        activation_type=activations,
        keep_activation_type=options.keep_activation_type,
        weight=WeightOptions(
            quant_type=options.weight_type or QuantType.QINT8,
            per_channel=options.per_channel is not False,
        ),
        verify=options.verify,
    )


def plan_completion(
    planned: PlannedModel, options: StaticOptions, observe_bytes: int = OBSERVE_BYTES
) -> PlannedModel:
    """Return a converted model with the plan of what is still to be quantized.

    Readers of a tensor that has a trained pair are led to it, in place. Options are those of
    `static_options`.
    """
    graph = planned.graph
    lost = misread(graph)
    _share_pairs(graph, lost)
    prepared = planned.prepared
    stored = unfold_weights(prepared.model, planned.loaded.weights, options.activation_type.number)
    planned = replace(planned, prepared=replace(prepared, stored=stored))
    bodies = Bodies(planned.prepared.model, planned.prepared.opset, observe_bytes)
    plan = make_plan(planned.prepared, options, planned.loaded.nodes, bodies)
    channels = options.weight.per_channel and planned.prepared.opset >= _CHANNELS_SINCE
    uneven = {node.name for node in graph.all_nodes() if _has_uneven_bias(node)}
    nodes = {}
    for name, quant in plan.nodes.items():
        if name not in lost:
            kept = quant.without_bias() if name in uneven else quant
            nodes[name] = kept if channels else _without_channels(kept)
    tensors = dict(plan.tensors)
    for node, index, value in _open_inputs(graph, planned.plan):
        name, tensor = name_of(node), name_of(value)
        if name in nodes or name in lost or bodies.hides(value) is not None:
            continue
        tensors.setdefault(
            tensor, TensorQuant(name=tensor, source=ParameterSource.CALIBRATED, everywhere=False)
        )
        nodes[name] = NodeQuant(node=name, inputs=(index,), tensors=(tensor,))
    for node, axis in _open_weights(graph):
        name = name_of(node)
        if name not in nodes and name not in planned.plan.nodes:
            weight = ConstantInput(
                role=ConstantRole.WEIGHT, node=name, index=1, axis=axis if channels else None
            )
            nodes[name] = NodeQuant(node=name, inputs=(), tensors=(), constants=(weight,))
    for node, value, clamp in _open_outputs(graph):
        name, tensor = name_of(node), name_of(value)
        if name in nodes or name in lost or bodies.hides(value) is not None:
            continue
        tensors[tensor] = TensorQuant(
            name=tensor, source=ParameterSource.CALIBRATED, everywhere=True
        )
        nodes[name] = NodeQuant(node=name, inputs=(), tensors=(), output=tensor, clamp=clamp)
    return replace(planned, plan=replace(plan, nodes=nodes, tensors=tensors), bodies=bodies)


def without_unseen(plan: QuantPlan, seen: frozenset[str]) -> QuantPlan:
    """Leave out the nodes that read or give a tensor that no batch reached."""
    nodes = {
        name: quant
        for name, quant in plan.nodes.items()
        if unseen_tensor(quant, plan, seen) is None
    }
    used = {name for quant in nodes.values() for name in (*quant.tensors, quant.output or "")}
    tensors = {name: tensor for name, tensor in plan.tensors.items() if name in used}
    return replace(plan, nodes=nodes, tensors=tensors)


def merged(learned: QuantPlan, completed: QuantPlan) -> QuantPlan:
    """Return both plans in one, for the report."""
    nodes = dict(learned.nodes)
    for name, quant in completed.nodes.items():
        given = bool(quant.inputs or quant.constants)  # else only its output is completed
        known = learned.nodes.get(name, quant)
        nodes[name] = quant if given else replace(known, output=quant.output, clamp=quant.clamp)
    kept = {name: why for name, why in learned.kept.items() if name not in completed.nodes}
    return QuantPlan(
        nodes=nodes,
        tensors={**completed.tensors, **learned.tensors},
        absorbed={**completed.absorbed, **learned.absorbed},
        kept={name: why for name, why in kept.items() if name not in completed.absorbed},
        weight_only=completed.weight_only,
    )


def _share_pairs(graph: ir.Graph, lost: frozenset[str]) -> None:
    """Let nodes that read a tensor as floats read it through the pair of another reader."""
    pairs: dict[ir.Value, FakeQuant] = {}
    for pair in fake_quants(graph):
        low, high = pair.qparams.code_limits
        fine = high - low >= _SEVEN_BITS  # as many as training for x86 has
        if pair.single and pair.dequantize.graph is graph and fine:
            pairs.setdefault(pair.source, pair)
    readable = {pair.result for pair in pairs.values()} | set(pairs)
    order = {node: position for position, node in enumerate(graph)}
    for node in graph:
        if node.name in lost or not _is_completed(node) or not _is_ready(node, readable):
            continue
        for index, value in enumerate(node.inputs):
            found = pairs.get(value) if value is not None else None
            if found is not None and order[found.dequantize] < order[node]:
                node.replace_input_with(index, found.result)


def _without_channels(quant: NodeQuant) -> NodeQuant:
    """Return a node's plan with one scale for its weight and bias: old opsets have no other."""
    constants = (
        where if where.role is ConstantRole.STORED else replace(where, axis=None)
        for where in quant.constants
    )
    return replace(quant, constants=tuple(constants))


def _has_uneven_bias(node: ir.Node) -> bool:
    """Whether a Gemm's bias has no one value for each column, or factors of its own.

    Static quantization has brought each Gemm to a form without those.
    """
    bias = constant(input_at(node, 2)) if node.op_type == "Gemm" else None
    return bias is not None and (bias.ndim != 1 or bias.size == 1 or not is_unscaled(node))


def _open_inputs(graph: ir.Graph, learned: QuantPlan) -> Iterator[tuple[ir.Node, int, ir.Value]]:
    """Yield what has no pair and keeps a node with trained weights or inputs from integers."""
    results = {pair.result for pair in fake_quants(graph)}
    for node in graph.all_nodes():
        if node.domain or node.name in learned.nodes or not _is_ready(node, results):
            continue
        left = [
            (index, value)
            for index, value in enumerate(node.inputs[: None if node.op_type == "Concat" else 2])
            if value is not None and value not in results and not is_stored(value)
        ]
        if len(left) == 1 and left[0][1].dtype is ir.DataType.FLOAT:
            yield node, *left[0]


def _open_outputs(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Value, str | None]]:
    """Yield layers that were trained whole but for their results, where no kernel gives floats.

    Each with the tensor to quantize, and the Relu or Clip before that.
    """
    results = {pair.result for pair in fake_quants(graph)}
    for node in graph.all_nodes():
        rule, data = rule_of(node), input_at(node, 0)
        if rule is None or rule.role is not Role.COMPUTE or not rule.integer_output:
            continue
        if data not in results or not _is_ready(node, results) or is_quantized(node.outputs[0]):
            continue
        follower = only_consumer(node.outputs[0])
        if follower is not None and is_clamp(follower):
            yield node, follower.outputs[0], name_of(follower)
        else:
            yield node, node.outputs[0], None


def _open_weights(graph: ir.Graph) -> Iterator[tuple[ir.Node, int | None]]:
    """Yield layers with float weights that read a trained pair, with the axis of their channels.

    Without this they would be kept from what ONNX Runtime does by itself: it quantizes such weights
    where the result has a pair, too.
    """
    results = {pair.result for pair in fake_quants(graph)}
    for node in graph.all_nodes():
        rule = rule_of(node)
        if rule is None or rule.layout is None:
            continue
        weight = constant(node.inputs[1])
        if node.inputs[0] in results and weight is not None and weight.dtype == np.float32:
            yield node, rule.channel_axis(node, weight.ndim)


def _is_ready(node: ir.Node, results: set[ir.Value]) -> bool:
    """Whether a node would compute on integers but for what is not quantized yet."""
    if is_layer(node):
        weight = input_at(node, 1)
        return weight is not None and is_stored(weight)
    if node.op_type not in _JOINS:
        return False
    return any(value in results for value in node.inputs) and all(
        value in results or _is_of_layer(value) for value in node.inputs if value is not None
    )


def _is_completed(node: ir.Node) -> bool:
    """Whether a node gets pairs that it lacks."""
    return is_layer(node) or (not node.domain and node.op_type in _JOINS)


def _is_of_layer(value: ir.Value) -> bool:
    node = value.producer()
    if node is not None and is_clamp(node) and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node is not None and _is_completed(node)
