"""Biases in the form that gets an integer kernel.

ONNX Runtime takes a float bias into the integer kernel of a node whose output is quantized. Of a
MatMul or Gemm whose output stays float it makes a float Gemm. Two ways out:

- Sub of the negated bias, which is the same to the last bit and which it does not merge,
- int32 with the product of the scales, which rounds the bias to half of that product.

An int32 bias that was stored with another scale than that product keeps float kernels; as floats
it has the same values.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import (
    GraphEditor,
    add_origins,
    array_of,
    bodies_of,
    constant,
    graph_of,
    input_at,
    name_of,
    origins,
    rank_of,
    value_at,
)
from zeropoint.engine.number_types import INT32
from zeropoint.engine.numbers import QParams, bias_qparams, dequantize, quantize
from zeropoint.engine.operators import (
    dequantizer_of,
    fits_channels,
    is_layer,
    is_quantized,
    is_stored,
    is_unscaled,
    layout_of,
    read_qparams,
)


def release_biases(editor: GraphEditor) -> None:
    """Write stored biases as floats where their scale is not that of the kernel; exact."""
    for layer, reader, index in tuple(_biases(editor.graph)):
        bias = dequantizer_of(value_at(reader, index))
        if bias is None:
            continue
        codes, qparams = constant(bias.inputs[0]), read_qparams(bias)
        if codes is None or qparams is None:
            continue
        wanted = _wanted(layer) if codes.dtype == INT32.dtype else None
        if wanted is None or not np.array_equal(wanted.scale.flat, qparams.scale.flat):
            floats, name = dequantize(codes, qparams), name_of(bias.outputs[0])
            reader.replace_input_with(index, editor.constant(f"{name}_float", floats))


def split_float_outputs(editor: GraphEditor) -> None:
    """Let layers whose output stays float multiply integers, in place; the sum stays the same.

    A Gemm only where nothing is quantized behind: it may add up in another order than a MatMul.
    """
    quantized = _before_pairs(editor.graph)
    for node in tuple(editor.graph.all_nodes()):
        if node.domain or not _has_stored_weight(node):
            continue
        if node.op_type == "Gemm" and _is_plain_gemm(node) and node.outputs[0] not in quantized:
            _split_gemm(editor, node)
        elif node.op_type == "MatMul" and (found := _bias_add(node)) is not None:
            add, index = found
            if constant(add.inputs[index]) is not None and not is_quantized(add.outputs[0]):
                minus = editor.constant(f"{add.name}_minus_bias", -array_of(add.inputs[index]))
                sub = editor.node("Sub", (add.inputs[1 - index], minus), name_of(add))
                editor.replace(add, sub)


def quantize_biases(editor: GraphEditor) -> tuple[str, ...]:
    """Store float biases as int32 with the product of the scales; return the layers' names.

    A bias that int32 cannot hold at that scale stays float: the learned scales are not changed.
    """
    done = []
    for layer, reader, index in tuple(_biases(editor.graph)):
        array, wanted = constant(value_at(reader, index)), _wanted(layer)
        if array is None or wanted is None or array.dtype != np.float32:
            continue
        flat = array.reshape(-1)
        if array.ndim > 1 and array.shape[-1] != array.size:
            continue  # a Gemm's, one for each row
        if wanted.axis is not None and flat.size != wanted.scale.size:
            continue
        if np.abs(flat / wanted.scale).max(initial=0.0) > INT32.limits.high:
            continue
        name = name_of(value_at(reader, index))
        codes = editor.constant(f"{name}_quantized", quantize(flat, wanted))
        node = editor.dequantizer(name, codes, wanted)
        graph_of(reader).insert_before(reader, node)
        reader.replace_input_with(index, node.outputs[0])
        done.append(name_of(layer))
    return tuple(done)


def _biases(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Node, int]]:
    """Yield each layer with the node and input that hold its bias."""
    for node in graph.all_nodes():
        if node.domain or not _has_stored_weight(node):
            continue
        if input_at(node, 2) is not None:
            yield node, node, 2
        elif node.op_type == "MatMul" and (add := _bias_add(node)) is not None:
            yield node, *add


def _bias_add(matmul: ir.Node) -> tuple[ir.Node, int] | None:
    """Return the Add of a one-dimensional bias behind a MatMul, and which input that is."""
    uses = tuple(matmul.outputs[0].uses())
    if len(uses) != 1 or matmul.outputs[0].is_graph_output():
        return None
    ((add, index),) = uses
    if add.op_type != "Add" or add.domain:
        return None
    bias = add.inputs[1 - index]
    known = constant(bias) is not None or dequantizer_of(bias) is not None
    return (add, 1 - index) if known and rank_of(bias) == 1 else None


def _has_stored_weight(node: ir.Node) -> bool:
    if not is_layer(node):
        return False
    return dequantizer_of(node.inputs[0]) is not None and is_stored(value_at(node, 1))


def _wanted(layer: ir.Node) -> QParams | None:
    """Return the parameters of a bias that the integer kernel of a layer adds."""
    data, weight = (value_at(layer, index).producer() for index in (0, 1))
    if data is None or weight is None:
        return None
    first, second = read_qparams(data), read_qparams(weight)
    if first is None or second is None or first.axis is not None:
        return None
    if not (first.scale * second.scale > 0).all():
        return None  # the kernel's sum would be lost with the bias in it
    codes = constant(weight.inputs[0])
    if codes is None or not fits_channels(layer, second, codes.ndim):
        return None
    return bias_qparams(first, second) if is_unscaled(layer) else None


def _before_pairs(graph: ir.Graph) -> set[ir.Value]:
    """Return the tensors from which anything is computed that is quantized; in linear time.

    What a node with bodies reads, and what its bodies do, counts as one.
    """
    owners: dict[ir.Graph, ir.Node] = {}
    pending: list[ir.Node] = []
    for node in graph.all_nodes():
        owners.update((body, node) for body in bodies_of(node))
        if node.op_type == "QuantizeLinear":
            pending.append(node)
    seen, found = set(pending), set[ir.Value]()
    while pending:
        node = pending.pop()
        inner = [read for body in bodies_of(node) for read in body.all_nodes()]
        ends = [value for body in bodies_of(node) for value in body.outputs]
        read = [value for reader in (node, *inner) for value in reader.inputs]
        found.update(value for value in (*read, *ends) if value is not None)
        producers = (value.producer() for value in (*read, *ends) if value is not None)
        for before in (owners.get(graph_of(node)), *producers):
            if before is not None and before not in seen:
                seen.add(before)
                pending.append(before)
    return found


def _is_plain_gemm(node: ir.Node) -> bool:
    bias, weight = constant(input_at(node, 2)), value_at(node, 1).producer()
    return (
        is_unscaled(node)
        and weight is not None
        and read_qparams(weight) is not None
        and not node.attributes.get_int("transA", 0)
        and bias is not None
        and bias.dtype == np.float32
    )


def _split_gemm(editor: GraphEditor, node: ir.Node) -> None:
    """Write a Gemm as MatMul and Sub."""
    weight = value_at(node, 1).producer()
    assert weight is not None
    stored = value_at(node, 1)
    layout = layout_of(node, 2)
    if layout is not None and layout.transposed:
        stored = _transposed(editor, weight)
    matmul = editor.node("MatMul", (node.inputs[0], stored), name_of(node), like=node.outputs[0])
    minus = editor.constant(f"{node.name}_minus_bias", -array_of(node.inputs[2]))
    sub = editor.node("Sub", (matmul.outputs[0], minus), name_of(node))
    editor.replace(node, matmul, sub)
    node.name, matmul.name = None, node.name


def _transposed(editor: GraphEditor, weight: ir.Node) -> ir.Value:
    codes, qparams = constant(weight.inputs[0]), read_qparams(weight)
    assert codes is not None
    assert qparams is not None
    name = name_of(value_at(weight, 0))
    axis = None if qparams.axis is None else 1 - qparams.axis
    new = editor.node(
        "DequantizeLinear",
        (editor.constant(f"{name}_transposed", np.ascontiguousarray(codes.T)), *weight.inputs[1:]),
        name,
        attributes={"axis": axis},
    )
    new.domain = weight.domain
    new.outputs[0].type = weight.outputs[0].type
    graph_of(weight).insert_after(weight, new)
    add_origins(new, origins(weight))
    return new.outputs[0]
