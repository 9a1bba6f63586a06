"""Weights and biases of integer kernels, stored as integers and read through DequantizeLinear."""

from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import GraphEditor, array_of, graph_of, name_of, value_at
from zeropoint.engine.numbers import QParams, dequantize, quantize
from zeropoint.engine.plan import ConstantInput
from zeropoint.engine.rewrite.work import Work


def quantize_constants(work: Work) -> None:
    """Store the weights and biases of a plan, in place."""
    weights = _Weights(work)
    for quant in work.plan.nodes.values():
        if quant.weight is not None and not quant.dynamic:
            weights.quantize(quant.weight)
        if quant.bias is not None and not quant.bias.stays_float:
            _quantize_bias(work, quant.bias)


def _quantize_bias(work: Work, where: ConstantInput) -> None:
    node, qparams = work.nodes[where.node], work.parameters.constants[where.key]
    value = value_at(node, where.index)
    stored = store(work.edit, name_of(value), array_of(value).reshape(-1), qparams)
    loaded = load(work.edit, name_of(value), stored, qparams, graph_of(node))
    node.replace_input_with(where.index, loaded)


class _Weights:
    """Weights; a tied one stays one tensor wherever its parameters are the same."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._loaded: dict[tuple[ir.Value, ir.Graph], ir.Value] = {}
        self._limited: dict[tuple[ir.Value, bytes], ir.Value] = {}

    def quantize(self, where: ConstantInput) -> None:
        node, qparams = self._work.nodes[where.node], self._work.parameters.constants[where.key]
        value, graph = value_at(node, where.index), graph_of(node)
        edit, whole_pair = self._work.edit, self._work.form.add_pair_to_weight
        stored = self._limit(value, qparams) if whole_pair else edit.codes(value, qparams)
        if (stored, graph) not in self._loaded:
            self._loaded[stored, graph] = load(
                edit, name_of(value), stored, qparams, graph, whole_pair=whole_pair
            )
        node.replace_input_with(where.index, self._loaded[stored, graph])

    def _limit(self, value: ir.Value, qparams: QParams) -> ir.Value:
        """Return the floats of which QuantizeLinear makes the codes of a weight.

        It saturates where the type ends, not where the codes in use do.
        """
        if qparams.limits is None:
            return value
        key = (value, qparams.scale.tobytes())
        if key not in self._limited:
            floats = dequantize(quantize(array_of(value), qparams), qparams)
            self._limited[key] = self._work.edit.constant(f"{value.name}_limited", floats)
        return self._limited[key]


def store(edit: GraphEditor, name: str, array: NDArray[Any], qparams: QParams) -> ir.Value:
    """Store an array as integers."""
    return edit.constant(f"{name}_quantized", quantize(array, qparams))


def load(
    edit: GraphEditor,
    name: str,
    stored: ir.Value,
    qparams: QParams,
    graph: ir.Graph,
    *,
    whole_pair: bool = False,
) -> ir.Value:
    """Return stored integers as floats: read through DequantizeLinear in the graph.

    With `whole_pair` what is stored are floats, and QuantizeLinear stands in front of it.
    """
    new: list[ir.Node] = []
    if whole_pair:
        read, attributes = (stored, *edit.parameters(name, qparams)), {"axis": qparams.axis}
        new.append(edit.node("QuantizeLinear", read, name, like=stored, attributes=attributes))
        stored = new[0].outputs[0]
        stored.type = ir.TensorType(ir.DataType.from_numpy(qparams.dtype))
    new.append(edit.dequantizer(name, stored, qparams))
    edit.insert_first(graph, *new)
    return new[-1].outputs[0]
