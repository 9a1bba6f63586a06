"""Weights that a model stores as integers, of layers whose data are floats.

    codes -> DequantizeLinear -> Conv     becomes, for planning,     floats -> Conv

The layer is then planned like any other, with the parameters that are there, which give the same
codes again. What reads the floats in the result nevertheless, because it stays float, reads them
through a DequantizeLinear as before.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import (
    GraphEditor,
    constant,
    graph_of,
    input_at,
    name_of,
    producer_of,
    remove_unused,
)
from zeropoint.engine.number_types import INT8, UINT8, NumberType
from zeropoint.engine.numbers import QParams, dequantize, quantize
from zeropoint.engine.operators import (
    Trait,
    fits_channels,
    has,
    is_layer,
    is_quantized,
    read_qparams,
    same_qparams,
)

_SHIFT = 128


def unfold_weights(
    model: ir.Model, weights: WeightFile | None, data: NumberType | None
) -> Mapping[str, QParams]:
    """Give layers whose data are floats their stored weights as floats, in place.

    Args:
        model: A prepared model.
        weights: Takes the floats, or they stay in memory.
        data: Type that the data are to have; None where they are quantized as they come.

    Returns:
        Parameters that give the codes again, by the name of the floats.
    """
    editor = GraphEditor(model.graph, weights=weights)
    stored: dict[str, QParams] = {}
    floats: dict[ir.Value, ir.Value] = {}
    for node in tuple(model.graph.all_nodes()):
        value = input_at(node, 1)
        if value is None or not is_layer(node) or _data_are_quantized(node):
            continue
        if value not in floats:
            found = _read(value)
            if found is None or unfit(node, found[1]) is not None:
                continue
            codes, qparams = found
            floats[value] = editor.constant(name_of(value), dequantize(codes, qparams))
            fits = data is None or data.multiplies(qparams.number)
            stored[name_of(floats[value])] = qparams if fits else _as_int8(qparams)
        if unfit(node, stored[name_of(floats[value])]) is None:
            node.replace_input_with(1, floats[value])
    if stored:
        remove_unused(model.graph)
    return stored


def fold_weights(
    model: ir.Model,
    stored: Mapping[str, QParams],
    weights: WeightFile | None,
    *,
    contrib_qdq: bool = False,
) -> None:
    """Let what still reads the floats of `unfold_weights` read codes, in place."""
    editor = GraphEditor(model.graph, weights=weights, contrib_qdq=contrib_qdq)
    for name, qparams in stored.items():
        value = model.graph.initializers.get(name)
        readers: dict[ir.Graph, ir.Value] = {}
        for reader, index in tuple(value.uses()) if value is not None else ():
            assert value is not None
            graph = graph_of(reader)
            if graph not in readers:
                node = editor.dequantizer(name, editor.codes(value, qparams), qparams)
                editor.insert_first(graph, node)
                readers[graph] = node.outputs[0]
            reader.replace_input_with(index, readers[graph])
    editor.remove_unused_constants()


def unfit(node: ir.Node, qparams: QParams) -> str | None:
    """Return why no integer kernel takes the weight of a layer as it is stored."""
    weight = input_at(node, 1)
    rank = len(weight.shape) if weight is not None and weight.shape is not None else 0
    if not rank or not fits_channels(node, qparams, rank):
        return f"with scales along axis {qparams.axis}, which are not those of output channels"
    if (qparams.zero_point != qparams.zero_point.flat[0]).any():
        return "with a zero point for each channel, and integer kernels take one for all"
    if node.attributes.get_float("alpha", 1.0) != 1.0:
        return "and the product has a factor, alpha"
    return None


def stored_unfit(node: ir.Node) -> str | None:
    """Return why a layer with float data and a stored weight was left as it is, where known."""
    found = None if _data_are_quantized(node) else _read(input_at(node, 1))
    return unfit(node, found[1]) if found is not None else None


def _data_are_quantized(node: ir.Node) -> bool:
    producer = producer_of(node.inputs[0])
    while producer is not None and (has(producer, Trait.MOVES) or producer.op_type == "Slice"):
        producer = producer_of(producer.inputs[0])
    dequantized = producer is not None and producer.op_type == "DequantizeLinear"
    return dequantized or is_quantized(node.outputs[0])


def _read(value: ir.Value | None) -> tuple[NDArray[np.integer], QParams] | None:
    """Return 8-bit codes of a weight, and their parameters; None where it is stored otherwise."""
    node = producer_of(value)
    if node is None or value is None or value.dtype is not ir.DataType.FLOAT:
        return None
    if node.op_type == "Transpose" and (found := _read(node.inputs[0])) is not None:
        codes, known = found
        order = node.attributes.get_ints("perm", tuple(reversed(range(codes.ndim))))
        axis = None if known.axis is None else list(order).index(known.axis)
        turned = np.ascontiguousarray(codes.transpose(order))
        return turned, QParams(known.scale, known.zero_point, axis)
    if node.op_type != "DequantizeLinear":
        return None
    qparams, source = read_qparams(node), input_at(node, 0)
    if qparams is None or qparams.number not in (INT8, UINT8) or not _is_plain(qparams):
        return None
    if (array := constant(source)) is not None:
        return array, qparams
    before = producer_of(source)  # a pair on floats
    if before is None or before.op_type != "QuantizeLinear":
        return None
    given, array = read_qparams(before), constant(before.inputs[0])
    if given is None or array is None or not same_qparams(given, qparams):
        return None
    return quantize(array, qparams), qparams


def _is_plain(qparams: QParams) -> bool:
    """Whether codes are found again from floats: scales are normal numbers of float32."""
    scale, limits = qparams.scale, np.finfo(np.float32)
    if scale.dtype != np.float32:
        return False
    return bool((scale >= limits.tiny).all() and (scale <= limits.max / (2 * _SHIFT)).all())


def _as_int8(qparams: QParams) -> QParams:
    """Return parameters with which the same numbers have int8 codes: less by 128."""
    zero_point = (qparams.zero_point.astype(np.int16) - _SHIFT).astype(INT8.dtype)
    return QParams(qparams.scale, zero_point, qparams.axis)
