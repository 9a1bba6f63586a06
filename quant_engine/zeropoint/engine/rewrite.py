"""Plan and parameters -> a graph with QuantizeLinear/DequantizeLinear pairs (QDQ).

The float operators stay; runtimes fuse each with the pairs around it into an integer kernel.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.edit import GraphEditor
from zeropoint.engine.ops import clamp_bounds, constant
from zeropoint.engine.parameters import Parameters
from zeropoint.engine.plan import NodeQuant, QuantPlan, TensorQuant
from zeropoint.engine.qparams import QParams, quantize
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.weights import WeightFile

# Bias inputs of the float operators that ONNX Runtime's WeightBiasQuantization would quantize by
# itself, per tensor, wherever they stand between DequantizeLinear and QuantizeLinear.
_REQUANTIZED = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2}


def rewrite_qdq(
    model: ir.Model,
    plan: QuantPlan,
    parameters: Parameters,
    *,
    weights: WeightFile | None = None,
    contrib_qdq: bool = False,
) -> None:
    """Insert Q/DQ pairs into `model`, in place.

    Args:
        model: The prepared float model.
        plan: What is quantized.
        parameters: Scale and zero point of every tensor in it.
        weights: Takes the quantized weights; None: they stay in memory.
        contrib_qdq: Use the operators of com.microsoft, for an opset that lacks them.
    """
    edit = GraphEditor(model.graph, weights=weights, contrib_qdq=contrib_qdq)
    _Rewriter(edit, plan, parameters).run()


def clamp_implied(clamp: ir.Node, qparams: QParams) -> bool:
    """Whether every value of a quantized range is within the bounds of a Relu or Clip."""
    low, high = clamp_bounds(clamp)
    limits = np.iinfo(qparams.zero_point.dtype)
    zero_point, scale = int(qparams.zero_point), np.float32(qparams.scale)
    lowest = scale * np.float32(limits.min - zero_point)
    highest = scale * np.float32(limits.max - zero_point)
    return bool(low <= lowest and highest <= high)


class _Rewriter:
    def __init__(self, edit: GraphEditor, plan: QuantPlan, parameters: Parameters) -> None:
        graph = edit.graph
        self._edit = edit
        self._plan = plan
        self._parameters = parameters
        self._nodes: Mapping[str | None, ir.Node] = {node.name: node for node in graph}
        self._values = {value.name: value for value in graph.inputs}
        for node in graph:
            values = (*node.inputs, *node.outputs)
            self._values.update((value.name, value) for value in values if value is not None)
        self._weights: dict[tuple[ir.Value, bytes, bytes], ir.Value] = {}

    def run(self) -> None:
        for quant in self._plan.nodes.values():
            self._quantize_weight(quant)
            self._quantize_bias(quant)
        read = {
            tensor.name: self._quantize_tensor(tensor) for tensor in self._plan.tensors.values()
        }
        for quant in self._plan.nodes.values():
            self._read_quantized(quant, read)
            self._keep_clamp(quant)
        self._guard_float_nodes()
        self._edit.remove_unused_constants()

    # Activations

    def _quantize_tensor(self, tensor: TensorQuant) -> ir.Value:
        value = self._values[tensor.name]
        qparams = self._parameters.tensors[tensor.name]
        if tensor.source is ParameterSource.WEIGHT:
            return self._store(tensor.name, _constant(value), qparams)
        return self._pair(value, qparams, everywhere=tensor.everywhere)

    def _pair(self, value: ir.Value, qparams: QParams, *, everywhere: bool) -> ir.Value:
        """Insert QuantizeLinear and DequantizeLinear behind `value`; return what they give.

        Args:
            value: A float tensor.
            qparams: Its parameters, for the whole tensor.
            everywhere: Whether all that read `value` shall read the result instead.
        """
        name = value.name or ""
        uses = tuple(value.uses()) if everywhere else ()
        parameters = self._edit.parameters(name, qparams)
        quantize_node = self._edit.node("QuantizeLinear", (value, *parameters), name)
        codes = quantize_node.outputs[0]
        codes.type = ir.TensorType(ir.DataType.from_numpy(qparams.zero_point.dtype))
        codes.shape = value.shape
        dequantize_node = self._edit.node("DequantizeLinear", (codes, *parameters), name)
        result = dequantize_node.outputs[0]
        result.type, result.shape = value.type, value.shape
        self._edit.insert_behind(value, quantize_node, dequantize_node)
        for node, index in uses:
            node.replace_input_with(index, result)
        if everywhere:
            self._edit.take_output(value, result)
        return result

    def _read_quantized(self, quant: NodeQuant, read: Mapping[str, ir.Value]) -> None:
        node = self._nodes[quant.node]
        for index in quant.inputs:
            value = node.inputs[index]
            name = (value.name if value is not None else None) or ""
            if name in read:
                node.replace_input_with(index, read[name])

    def _keep_clamp(self, quant: NodeQuant) -> None:
        """Quantize in front of a clamp, too, where the quantized range does not imply it.

        Exact: clamping commutes with saturating to a grid that has the same parameters.
        """
        if quant.clamp is None or quant.output is None:
            return
        qparams = self._parameters.tensors[quant.output]
        if not clamp_implied(self._nodes[quant.clamp], qparams):
            self._pair(self._nodes[quant.node].outputs[0], qparams, everywhere=True)

    # Constants

    def _quantize_weight(self, quant: NodeQuant) -> None:
        if quant.weight is None:
            return
        node = self._nodes[quant.node]
        value = node.inputs[quant.weight.index]
        qparams = self._parameters.weights[quant.node]
        assert value is not None, quant.node
        # A tied weight stays one tensor wherever its parameters are the same.
        key = (value, qparams.scale.tobytes(), qparams.zero_point.tobytes())
        if key not in self._weights:
            self._weights[key] = self._store(value.name or "", _constant(value), qparams)
        node.replace_input_with(quant.weight.index, self._weights[key])

    def _quantize_bias(self, quant: NodeQuant) -> None:
        if quant.bias is None:
            return
        node = self._nodes[quant.bias.node]
        value = node.inputs[quant.bias.index]
        assert value is not None, quant.node
        qparams = self._parameters.biases[quant.node]
        stored = self._store(value.name or "", _constant(value).reshape(-1), qparams)
        node.replace_input_with(quant.bias.index, stored)

    def _store(self, name: str, array: NDArray[Any], qparams: QParams) -> ir.Value:
        """Store an array as integers; return the float value read through DequantizeLinear."""
        stored = self._edit.constant(f"{name}_quantized", quantize(array, qparams))
        attributes = {} if qparams.axis is None else {"axis": qparams.axis}
        node = self._edit.node(
            "DequantizeLinear",
            (stored, *self._edit.parameters(name, qparams)),
            name,
            attributes=attributes,
        )
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        node.outputs[0].shape = ir.Shape(array.shape)
        self._edit.insert_first(node)
        return node.outputs[0]

    # Nodes that stay float

    def _guard_float_nodes(self) -> None:
        for node in tuple(self._edit.graph):
            if node.op_type not in _REQUANTIZED or node.name in self._plan.nodes:
                continue
            data = node.inputs[0]
            producer = data.producer() if data is not None else None
            if producer is not None and producer.op_type == "DequantizeLinear":
                self._guard(node)

    def _guard(self, node: ir.Node) -> None:
        """Put the bias behind DequantizeLinear(int32): ONNX Runtime then leaves the node float.

        The int32 bias keeps 30 bits, more than the 24 of float32.
        """
        index = _REQUANTIZED[node.op_type]
        weight = constant(node.inputs[1])
        bias = node.inputs[index] if len(node.inputs) > index else None
        array = constant(bias)
        if weight is None or (bias is not None and array is None):
            return
        if array is None:
            array = np.zeros(_channels(node, weight), np.float32)
        peak = float(np.abs(array).max(initial=0.0))
        scale = np.array(peak / 2**30 if peak else 1.0, np.float32)
        name = (bias.name if bias is not None else None) or f"{node.name}_bias"
        guarded = self._store(name, array, QParams(scale, np.array(0, np.int32), None))
        if len(node.inputs) <= index:
            node.resize_inputs(index + 1)
        node.replace_input_with(index, guarded)


def _constant(value: ir.Value | None) -> NDArray[Any]:
    array = constant(value)
    assert array is not None, value
    return array


def _channels(node: ir.Node, weight: NDArray[np.generic]) -> int:
    if node.op_type == "Conv":
        return int(weight.shape[0])
    if node.op_type == "ConvTranspose":
        return int(weight.shape[1]) * node.attributes.get_int("group", 1)
    return int(weight.shape[0 if node.attributes.get_int("transB", 0) else 1])
