"""Plan and parameters -> a graph with QuantizeLinear/DequantizeLinear pairs (QDQ).

The float operators stay; runtimes fuse each with the pairs around it into an integer kernel.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import (
    GraphEditor,
    array_of,
    constant,
    graph_of,
    input_at,
    name_of,
    producer_of,
    value_at,
)
from zeropoint.engine.number_types import number_type
from zeropoint.engine.numbers import QParams, dequantize, quantize
from zeropoint.engine.operators import average_pool_refused, clamp_bounds
from zeropoint.engine.options import QdqOptions
from zeropoint.engine.plan import NodeQuant, Parameters, QuantPlan, TensorQuant, existing_parameters
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.rewrite.body_pairs import pair_crossings
from zeropoint.engine.rewrite.fusion_barriers import (
    hold_apart,
    keep_together,
    split_products,
    split_skip_normalizations,
)
from zeropoint.engine.rewrite.pair_per_reader import dedicate_pairs
from zeropoint.engine.rewrite.stored_constants import StoredConstants

# Bias inputs of the float operators that ONNX Runtime's WeightBiasQuantization would quantize by
# itself, per tensor, wherever they stand between DequantizeLinear and QuantizeLinear.
_REQUANTIZED = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2}


def rewrite_qdq(
    model: ir.Model,
    plan: QuantPlan,
    parameters: Parameters,
    *,
    form: QdqOptions | None = None,
    weights: WeightFile | None = None,
    contrib_qdq: bool = False,
) -> None:
    """Insert Q/DQ pairs into `model`, in place.

    Args:
        model: The prepared float model.
        plan: What is quantized.
        parameters: Scale and zero point of every tensor in it.
        form: How the pairs are written.
        weights: Takes the quantized weights; None: they stay in memory.
        contrib_qdq: Use the operators of com.microsoft, for an opset that lacks them.
    """
    form = form or QdqOptions()
    contrib = contrib_qdq or form.use_contrib_ops
    edit = GraphEditor(model.graph, weights=weights, contrib_qdq=contrib)
    _Rewriter(edit, plan, parameters, form).run()


def clamp_implied(clamp: ir.Node, qparams: QParams) -> bool:
    """Whether every value of a quantized range is within the bounds of a Relu or Clip."""
    low, high = clamp_bounds(clamp)
    limits = number_type(qparams.dtype).limits
    zero_point, scale = int(qparams.zero_point), np.float32(qparams.scale)
    lowest = scale * np.float32(limits.low - zero_point)
    highest = scale * np.float32(limits.high - zero_point)
    return bool(low <= lowest and highest <= high)


class _Rewriter:
    def __init__(
        self, edit: GraphEditor, plan: QuantPlan, parameters: Parameters, form: QdqOptions
    ) -> None:
        self._edit = edit
        self._form = form
        self._plan = plan
        self._parameters = parameters
        self._nodes: dict[str | None, ir.Node] = {}
        self._values: dict[str | None, ir.Value] = {}
        for node in edit.graph.all_nodes():
            self._nodes[node.name] = node
            values = (*node.inputs, *node.outputs)
            self._values.update((value.name, value) for value in values if value is not None)
        self._readers: dict[str, list[tuple[ir.Node, int]]] = {name: [] for name in plan.tensors}
        for quant in plan.nodes.values():
            node = self._nodes[quant.node]
            for index, name in zip(quant.inputs, quant.tensors, strict=True):
                self._readers[name].append((node, index))
        self._stored = StoredConstants(edit, parameters.constants)
        self._weights: dict[tuple[ir.Value, ir.Graph], ir.Value] = {}
        self._limited: dict[tuple[ir.Value, bytes], ir.Value] = {}

    def run(self) -> None:
        for quant in self._plan.nodes.values():
            self._quantize_weight(quant)
            self._quantize_bias(quant)
        for tensor in self._plan.tensors.values():
            self._quantize_tensor(tensor)
        for quant in self._plan.nodes.values():
            self._keep_clamp(quant)
        # Behind the pairs, which know tensors by the nodes that give them.
        for quant in self._plan.nodes.values():
            self._stored.rewrite(self._nodes[quant.node], quant)
        self._guard_float_nodes()
        if self._form.dedicated_pair:
            dedicate_pairs(self._edit)
        pair_crossings(self._edit)
        keep_together(self._edit, self._plan.nodes)
        split_products(self._edit, self._plan.nodes)
        split_skip_normalizations(self._edit)
        self._edit.remove_unused_constants()

    # Activations

    def _quantize_tensor(self, tensor: TensorQuant) -> None:
        """Let the nodes that are quantized read a tensor through codes.

        Each graph has a pair of its own: runtimes look for the pairs around a node in its graph.
        """
        value = self._values[tensor.name]
        if existing_parameters(value) is not None:
            return  # its readers read it through a pair already
        qparams = self._parameters.tensors[tensor.name]
        read: dict[ir.Graph, ir.Value] = {}
        if tensor.source is ParameterSource.WEIGHT:
            stored = self._store(tensor.name, array_of(value), qparams)
        elif tensor.everywhere:
            own = graph_of(value)
            value = read[own] = self._pair(value, qparams, own, everywhere=True)
        for node, index in self._readers[tensor.name]:
            graph = graph_of(node)
            if graph in read:
                pass
            elif tensor.source is ParameterSource.WEIGHT:
                read[graph] = self._load(tensor.name, stored, qparams, graph)
            else:
                read[graph] = self._pair(value, qparams, graph, everywhere=False)
            node.replace_input_with(index, read[graph])

    def _pair(
        self, value: ir.Value, qparams: QParams, graph: ir.Graph, *, everywhere: bool
    ) -> ir.Value:
        """Insert QuantizeLinear and DequantizeLinear behind `value`; return what they give.

        Args:
            value: A float tensor.
            qparams: Its parameters, for the whole tensor.
            graph: The graph to insert them in: that of `value`, or one inside of it.
            everywhere: Whether all that read `value` shall read the result instead.
        """
        # ONNX Runtime turns int8 pairs into uint8 only where their constants are in their graph.
        parameters = self._edit.parameters(name_of(value), qparams, graph)
        pair = self._edit.pair(value, parameters, parameters[1].type)
        if everywhere:
            return self._edit.put_behind(value, *pair)
        self._edit.insert_behind(value, graph, *pair)
        return pair[-1].outputs[0]

    def _keep_clamp(self, quant: NodeQuant) -> None:
        """Quantize in front of a clamp, too, where the quantized range does not imply it.

        Exact: clamping commutes with saturating to a grid that has the same parameters.
        """
        if quant.clamp is None or quant.output is None:
            return
        qparams = self._parameters.tensors[quant.output]
        clamp = self._nodes[quant.clamp]
        value = clamp.inputs[0]
        if value is not None and not clamp_implied(clamp, qparams):
            self._pair(value, qparams, graph_of(clamp), everywhere=True)

    # Constants

    def _quantize_weight(self, quant: NodeQuant) -> None:
        if quant.weight is None:
            return
        node = self._nodes[quant.node]
        value = value_at(node, quant.weight.index)
        qparams = self._parameters.constants[quant.weight.key]
        # A tied weight stays one tensor wherever its parameters are the same.
        name, stored, graph = name_of(value), self._store_weight(value, qparams), graph_of(node)
        if (stored, graph) not in self._weights:
            self._weights[stored, graph] = self._load(
                name, stored, qparams, graph, whole_pair=self._form.add_pair_to_weight
            )
        node.replace_input_with(quant.weight.index, self._weights[stored, graph])

    def _store_weight(self, value: ir.Value, qparams: QParams) -> ir.Value:
        """Store a weight as integers, or as the floats that QuantizeLinear makes these of."""
        if not self._form.add_pair_to_weight:
            return self._stored.store(value, qparams)
        if qparams.limits is None:
            return value
        # QuantizeLinear saturates where the type ends, not where the codes in use do.
        key = (value, qparams.scale.tobytes())
        if key not in self._limited:
            floats = dequantize(quantize(array_of(value), qparams), qparams)
            self._limited[key] = self._edit.constant(f"{name_of(value)}_limited", floats)
        return self._limited[key]

    def _quantize_bias(self, quant: NodeQuant) -> None:
        if quant.bias is None or quant.bias.stays_float:
            return
        node = self._nodes[quant.bias.node]
        value = value_at(node, quant.bias.index)
        qparams = self._parameters.constants[quant.bias.key]
        stored = self._store(name_of(value), array_of(value).reshape(-1), qparams)
        loaded = self._load(name_of(value), stored, qparams, graph_of(node))
        node.replace_input_with(quant.bias.index, loaded)

    def _store(self, name: str, array: NDArray[Any], qparams: QParams) -> ir.Value:
        """Store an array as integers."""
        return self._edit.constant(f"{name}_quantized", quantize(array, qparams))

    def _load(
        self,
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
        attributes = {} if qparams.axis is None else {"axis": qparams.axis}
        parameters = self._edit.parameters(name, qparams)
        nodes, value = [], stored
        for op_type in ("QuantizeLinear", "DequantizeLinear")[not whole_pair :]:
            node = self._edit.node(op_type, (value, *parameters), name, attributes=attributes)
            nodes.append(node)
            value = node.outputs[0]
            value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), stored.shape
        if whole_pair:
            nodes[0].outputs[0].type = ir.TensorType(ir.DataType.from_numpy(qparams.dtype))
        self._edit.insert_first(graph, *nodes)
        return value

    # Nodes that stay float

    def _guard_float_nodes(self) -> None:
        for node in tuple(self._edit.graph.all_nodes()):
            if node.op_type == "AveragePool" and average_pool_refused(node):
                # QLinearAveragePool counts padding otherwise with ceil_mode, and has no dilations.
                # DequantizeLinear may come near in optimizing only.
                hold_apart(self._edit, node, 0)
            quant = self._plan.nodes.get(name_of(node))
            if node.op_type not in _REQUANTIZED or (quant is not None and not quant.stored):
                continue
            data = node.inputs[0]
            producer = producer_of(data)
            if producer is not None and producer.op_type == "DequantizeLinear":
                self._guard(node)

    def _guard(self, node: ir.Node) -> None:
        """Put the bias behind DequantizeLinear(int32): ONNX Runtime then leaves the node float.

        The int32 bias keeps 30 bits, more than the 24 of float32.
        """
        index = _REQUANTIZED[node.op_type]
        weight = node.inputs[1]
        known = constant(weight) is not None or node.name in self._plan.nodes
        bias = input_at(node, index)
        array = constant(bias)
        if weight is None or not known or (bias is not None and array is None):
            return
        if array is None:
            assert weight.shape is not None, node.name
            array = np.zeros(_channels(node, weight.shape.numpy()), np.float32)
        peak = float(np.abs(array).max(initial=0.0))
        scale = np.array(peak / 2**30 if peak else 1.0, np.float32)
        name = (bias.name if bias is not None else None) or f"{node.name}_bias"
        qparams = QParams(scale, np.array(0, np.int32), None)
        guarded = self._load(name, self._store(name, array, qparams), qparams, graph_of(node))
        if len(node.inputs) <= index:
            node.resize_inputs(index + 1)
        node.replace_input_with(index, guarded)


def _channels(node: ir.Node, weight: tuple[int, ...]) -> int:
    if node.op_type == "Conv":
        return weight[0]
    if node.op_type == "ConvTranspose":
        return weight[1] * node.attributes.get_int("group", 1)
    return weight[0 if node.attributes.get_int("transB", 0) else 1]
