"""Plan and parameters -> a graph with QuantizeLinear/DequantizeLinear pairs (QDQ).

The float operators stay; runtimes fuse each with the pairs around it into an integer kernel.
"""

import numpy as np
import onnx_ir as ir

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import GraphEditor, array_of, graph_of, name_of
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import clamp_bounds
from zeropoint.engine.options import QdqOptions
from zeropoint.engine.plan import Parameters, QuantPlan, TensorQuant, existing_parameters
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.rewrite.dynamic import write_running
from zeropoint.engine.rewrite.float_nodes import guard_float_nodes
from zeropoint.engine.rewrite.further_pairs import dedicate_pairs, pair_crossings
from zeropoint.engine.rewrite.fusion_barriers import (
    keep_pools_blocked,
    keep_together,
    split_clamps,
    split_products,
    split_skip_normalizations,
)
from zeropoint.engine.rewrite.gates import write_gates
from zeropoint.engine.rewrite.layer_constants import load, quantize_constants, store
from zeropoint.engine.rewrite.stored_constants import load_stored
from zeropoint.engine.rewrite.work import Step, Work


def rewrite_qdq(
    model: ir.Model,
    plan: QuantPlan,
    parameters: Parameters,
    *,
    form: QdqOptions | None = None,
    weights: WeightFile | None = None,
    contrib_qdq: bool = False,
) -> None:
    """Insert Q/DQ pairs into a prepared float model, in place.

    Quantized weights go to `weights`, or stay in memory. With `contrib_qdq`, for an opset that
    lacks the operators, those of com.microsoft are used.
    """
    contrib = contrib_qdq or (form is not None and form.use_contrib_ops)
    edit = GraphEditor(model.graph, weights=weights, contrib_qdq=contrib)
    work = Work.on(edit, plan, parameters, form)
    for step in _STEPS:
        step(work)
    edit.remove_unused_constants()


def clamp_implied(clamp: ir.Node, qparams: QParams) -> bool:
    """Whether every value of a quantized range is within the bounds of a Relu or Clip."""
    low, high = clamp_bounds(clamp)
    limits = qparams.number.limits
    zero_point, scale = int(qparams.zero_point), np.float32(qparams.scale)
    lowest = scale * np.float32(limits.low - zero_point)
    highest = scale * np.float32(limits.high - zero_point)
    return bool(low <= lowest and highest <= high)


def _pair_tensors(work: Work) -> None:
    """Let the nodes that are quantized read tensors through codes.

    Each graph has a pair of its own: runtimes look for the pairs around a node in its graph.
    """
    readers: dict[str, list[tuple[ir.Node, int]]] = {name: [] for name in work.plan.tensors}
    values: dict[str, ir.Value] = {}
    for quant in work.plan.nodes.values():
        node = work.nodes[quant.node]
        for index, name in zip(quant.inputs, quant.tensors, strict=True):
            readers[name].append((node, index))
    for node in work.nodes.values():
        values.update((name_of(value), value) for value in (*node.inputs, *node.outputs) if value)
    for tensor in work.plan.tensors.values():
        value = values[tensor.name]
        if existing_parameters(value) is None:  # else its readers read it through a pair already
            _pair_tensor(work, tensor, value, readers[tensor.name])


def _pair_tensor(
    work: Work, tensor: TensorQuant, value: ir.Value, readers: list[tuple[ir.Node, int]]
) -> None:
    qparams, edit = work.parameters.tensors[tensor.name], work.edit
    read: dict[ir.Graph, ir.Value] = {}
    codes: ir.Value | None = None
    if tensor.source is ParameterSource.WEIGHT:
        codes = store(edit, tensor.name, array_of(value), qparams)
    elif tensor.everywhere:
        own = graph_of(value)
        value = read[own] = edit.put_behind(value, *_pair(edit, value, qparams, own))
    for node, index in readers:
        graph = graph_of(node)
        if graph not in read and codes is not None:
            read[graph] = load(edit, tensor.name, codes, qparams, graph)
        elif graph not in read:
            pair = _pair(edit, value, qparams, graph)
            edit.insert_behind(value, graph, *pair)
            read[graph] = pair[-1].outputs[0]
        node.replace_input_with(index, read[graph])


def _pair(
    edit: GraphEditor, value: ir.Value, qparams: QParams, graph: ir.Graph
) -> tuple[ir.Node, ir.Node]:
    """Return a new pair on a tensor, to be inserted in its graph or in one inside of that."""
    # ONNX Runtime turns int8 pairs into uint8 only where their constants are in their graph.
    parameters = edit.parameters(name_of(value), qparams, graph)
    return edit.pair(value, parameters, parameters[1].type)


def _keep_clamps(work: Work) -> None:
    """Quantize in front of a clamp, too, where the quantized range does not imply it.

    Exact: clamping commutes with saturating to a grid that has the same parameters.
    """
    for quant in work.plan.nodes.values():
        if quant.clamp is None or quant.output is None:
            continue
        qparams = work.parameters.tensors[quant.output]
        clamp = work.nodes[quant.clamp]
        value = clamp.inputs[0]
        if value is not None and not clamp_implied(clamp, qparams):
            pair = _pair(work.edit, value, qparams, graph_of(clamp))
            work.edit.put_behind(value, *pair)


_STEPS: tuple[Step, ...] = (
    quantize_constants,
    _pair_tensors,
    _keep_clamps,
    write_gates,
    load_stored,  # behind the pairs, which know tensors by the nodes that give them
    write_running,
    split_clamps,
    keep_pools_blocked,
    guard_float_nodes,
    dedicate_pairs,
    pair_crossings,
    keep_together,
    split_products,
    split_skip_normalizations,
)
