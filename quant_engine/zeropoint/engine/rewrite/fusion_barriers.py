"""Steering what ONNX Runtime 1.32 fuses, by an operator in between that changes no value.

A Clip without bounds stays in the optimized graph and costs least; max(x, -Inf) serves behind
products, of which a Clip would be taken for a part.
"""

import math

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import GraphEditor, constant, name_of, rank_of, value_at
from zeropoint.engine.operators import Role, dequantizer_of, is_clamp, rule_of
from zeropoint.engine.rewrite.float_nodes import hold_apart
from zeropoint.engine.rewrite.work import Work

_LOWEST = np.array(-np.inf, np.float32)
_PRODUCTS = frozenset({"Add", "Gemm", "MatMul"})  # a MatMul may have its bias added
_OWN_PAIRS = (Role.COMPUTE, Role.SHARE, Role.STORED)  # fused with a DequantizeLinear, or move it


def keep_pools_blocked(work: Work) -> None:
    """Keep ONNX Runtime from moving a QuantizeLinear from behind a float MaxPool to before it.

    Between channels-first floats and codes that makes a MaxPool of codes in that order, which takes
    15 to 40 times as long as that of floats (1.32; codes with channels last are fast).
    """
    for node in tuple(work.edit.graph.all_nodes()):
        if node.op_type != "MaxPool" or dequantizer_of(node.inputs[0]) is not None:
            continue
        for reader, index in tuple(node.outputs[0].uses()):
            if reader.op_type == "QuantizeLinear" and index == 0:
                hold_apart(work.edit, reader, 0)


def keep_together(work: Work) -> None:
    """Let float nodes that read the same DequantizeLinear read it through one Clip, in place.

    ONNX Runtime gives each reader of a DequantizeLinear one of its own (EnsureUniqueDQForNodeUnit).
    That costs a conversion a reader, and where the readers are x and f(x) of x * f(x), it no longer
    finds the GELU or normalization that they are: four to six kernels instead of one.
    """
    edit, quantized = work.edit, work.plan.nodes
    for node in tuple(edit.graph.all_nodes()):
        if node.op_type != "DequantizeLinear" or constant(node.inputs[0]) is not None:
            continue
        value = node.outputs[0]
        uses = [
            (reader, index)
            for reader, index in value.uses()
            if reader.graph is node.graph and reader.name not in quantized and _stays_float(reader)
        ]
        if len(uses) > 1:
            same = edit.node("Clip", (value,), name_of(value), like=value)
            edit.put_behind(value, same, readers=uses)


def split_products(work: Work) -> None:
    """Put a Max between each quantized MatMul and the Add that alone reads it, in place.

    ONNX Runtime makes a Gemm of both, an integer kernel only with an int32 bias. A bias that became
    one is left; here are sums of two products, of which one would be float.
    """
    edit = work.edit
    for node in tuple(edit.graph.all_nodes()):
        quant = work.plan.nodes.get(name_of(node))
        if node.op_type != "MatMul" or quant is None or quant.bias:
            continue
        value = node.outputs[0]
        uses = tuple(value.uses())
        if rank_of(value) not in (2, None):
            continue
        if [reader.op_type for reader, _index in uses] == ["Add"] and not value.is_graph_output():
            _put_max(edit, value)


def split_clamps(work: Work) -> None:
    """Put a Max between each product that gives floats and the Relu or Clip behind it, in place.

    ONNX Runtime takes a Relu or Clip inside of the graph for part of the product, which is then an
    integer kernel only with a QuantizeLinear behind.
    """
    edit = work.edit
    for quant in work.plan.nodes.values():
        if not quant.inputs or quant.output is not None:
            continue
        last = work.nodes[quant.bias.node if quant.bias else quant.node]
        value = last.outputs[0]
        readers = [use.node for use in value.uses()]
        clamps = [node for node in readers if is_clamp(node)]
        if last.op_type not in _PRODUCTS or readers != clamps or value.is_graph_output():
            continue
        if len(clamps) == 1 and not clamps[0].outputs[0].is_graph_output():
            _put_max(edit, value)


def split_skip_normalizations(work: Work) -> None:
    """Put a Clip between each Add and the LayerNormalization that alone reads it, in place.

    ONNX Runtime makes one SkipLayerNormalization of both, whose CPU kernel takes four to nine times
    as long as the two (one and two threads, 128 to 768 columns).
    """
    edit = work.edit
    for node in tuple(edit.graph.all_nodes()):
        if node.op_type != "Add" or any(rank_of(value) not in (3, None) for value in node.inputs):
            continue
        value = node.outputs[0]
        uses = tuple(value.uses())
        alone = not value.is_graph_output() and all(use.node.graph is node.graph for use in uses)
        readers = [use.node.op_type for use in uses]
        # LayerNormalization, or x - mean(x), with which it begins
        normalized = readers == ["LayerNormalization"] or set(readers) == {"ReduceMean", "Sub"}
        if alone and normalized:
            edit.put_behind(value, edit.node("Clip", (value,), name_of(value), like=value))


def split_misfit_biases(work: Work) -> None:
    """Put a Clip before each Add of a constant that is no row of the product before it, in place.

    ONNX Runtime takes any constant of one row for the bias of a DynamicQuantizeMatMul, whose kernel
    then refuses it where the product is a vector or a column, or gives another rank.
    """
    edit = work.edit
    for node in tuple(edit.graph.all_nodes()):
        if node.op_type != "Add" or node.domain:
            continue
        for index, other in ((0, 1), (1, 0)):
            value, array = value_at(node, index), constant(node.inputs[other])
            weight = _rescaled_weight(value)
            if array is None or weight is None or _is_row(array.shape, weight, rank_of(value)):
                continue
            same = edit.node("Clip", (value,), name_of(value), like=value)
            edit.put_behind(value, same, readers=[(node, index)])


def _put_max(edit: GraphEditor, value: ir.Value) -> None:
    """Put max(x, -Inf) = x behind a tensor, in place."""
    lowest = edit.constant(f"{name_of(value.producer())}_lowest", _LOWEST)
    edit.put_behind(value, edit.node("Max", (value, lowest), name_of(value), like=value))


def _rescaled_weight(value: ir.Value) -> ir.Value | None:
    """Return the codes of the second factor where a value is a rescaled integer product."""
    for op_type in ("Mul", "Cast"):
        producer = value.producer()
        if producer is None or producer.op_type != op_type:
            return None
        value = value_at(producer, 0)
    producer = value.producer()
    if producer is None or producer.op_type != "MatMulInteger":
        return None
    return value_at(producer, 1)


def _is_row(shape: tuple[int, ...], weight: ir.Value, rank: int | None) -> bool:
    """Whether a constant of this shape is added to each row of a product of so many axes."""
    if math.prod(shape[:-1]) != 1 or shape[-1:] in ((), (1,)):
        return True  # ONNX Runtime takes neither for a bias
    columns = weight.shape[-1] if weight.shape is not None and len(weight.shape) > 1 else None
    return columns == shape[-1] and rank is not None and len(shape) <= rank


def _stays_float(node: ir.Node) -> bool:
    """Whether a node that is not in the plan has no part in an integer kernel."""
    rule = rule_of(node)
    if node.op_type == "QuantizeLinear" or (rule is not None and rule.role in _OWN_PAIRS):
        return False
    readers = (use.node for value in node.outputs for use in value.uses())
    return all(reader.op_type != "QuantizeLinear" for reader in readers)
