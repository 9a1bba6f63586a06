"""Plan and weight parameters -> integer operators whose activations are quantized as they come.

    y = x W      becomes   DynamicQuantizeLinear(x) -> MatMulInteger -> Cast -> Mul(s_x s_W)

and likewise Conv with ConvInteger, whose weights are uint8 always; a Gemm becomes a MatMul with
its transposes, factors and bias; an LSTM becomes ONNX Runtime's DynamicQuantizeLSTM. A MatMul of
two computed tensors, where asked for, takes both as they come. What only has constants to store:
see `stored`.
"""

from collections.abc import Mapping

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
    value_at,
)
from zeropoint.engine.numbers import quantize, unsigned_codes
from zeropoint.engine.plan import NodeQuant, Parameters, QuantPlan
from zeropoint.engine.rewrite.fusion_barriers import split_skip_normalizations
from zeropoint.engine.rewrite.stored_constants import StoredConstants


def rewrite_dynamic(
    model: ir.Model,
    plan: QuantPlan,
    parameters: Parameters,
    store: WeightFile | None = None,
) -> None:
    """Replace nodes of `model` by integer operators, in place.

    Args:
        model: The prepared float model.
        plan: What is quantized.
        parameters: Scale and zero point of each constant.
        store: Takes the quantized weights; None: they stay in memory.
    """
    _Rewriter(GraphEditor(model.graph, weights=store), parameters).run(plan)


class _Rewriter:
    def __init__(self, edit: GraphEditor, parameters: Parameters) -> None:
        self._edit = edit
        self._qparams = parameters.constants
        self._stored = StoredConstants(edit, parameters.constants)
        self._activations: dict[tuple[ir.Value, ir.Graph], tuple[ir.Value, ...]] = {}
        self._weights: dict[tuple[ir.Value, bool, bytes], tuple[ir.Value, ir.Value]] = {}

    def run(self, plan: QuantPlan) -> None:
        nodes = {node.name: node for node in self._edit.graph.all_nodes()}
        for quant in plan.nodes.values():
            self._rewrite(nodes[quant.node], quant)
        split_skip_normalizations(self._edit)
        self._edit.remove_unused_constants()

    def _rewrite(self, node: ir.Node, quant: NodeQuant) -> None:
        if node.op_type == "LSTM":
            self._stored.rewrite_lstm(node, quant)
            return
        if node.op_type == "Attention" and quant.inputs:
            activation = self._activation(node.inputs[0], graph_of(node))
            self._stored.rewrite_attention(node, quant, activation)
            return
        if quant.stored:
            self._stored.rewrite(node, quant)
            return
        chain = Chain(self._edit, node)
        if node.op_type == "Gemm":
            self._gemm(node, quant, chain)
        elif node.op_type == "Conv":
            self._conv(node, quant, chain)
        else:
            self._multiply(node, quant, chain, node.inputs[0], transposed=False)
        chain.replace()

    def _conv(self, node: ir.Node, quant: NodeQuant, chain: "Chain") -> None:
        codes, scale, zero_point = self._activation(node.inputs[0], chain.graph)
        weight, weight_zero = self._weight(node, quant, transposed=False, unsigned=True)
        integer = chain.add("ConvInteger", codes, weight, zero_point, weight_zero)
        for attribute in node.attributes.values():
            integer.attributes.add(attribute)
        shape = (-1, *(1,) * (array_of(node.inputs[1]).ndim - 2))
        weight_scale = self._weight_scale(quant)
        if weight_scale.ndim:
            weight_scale = weight_scale.reshape(shape)
        self._rescale(chain, scale, weight_scale)
        bias = input_at(node, 2)
        if bias is not None:
            array = constant(bias)
            if array is not None:
                chain.add(
                    "Add", chain.value, self._constant(f"{bias.name}_row", array.reshape(shape))
                )
            else:
                row = self._constant(f"{bias.name}_shape", np.array(shape, np.int64))
                reshaped = chain.side("Reshape", bias, row)
                chain.add("Add", chain.value, reshaped)

    def _gemm(self, node: ir.Node, quant: NodeQuant, chain: "Chain") -> None:
        data = value_at(node, 0)
        if node.attributes.get_int("transA", 0):
            data = chain.side("Transpose", data, attributes={"perm": (1, 0)})
        transposed = bool(node.attributes.get_int("transB", 0))
        self._multiply(node, quant, chain, data, transposed=transposed)
        bias = input_at(node, 2)
        if bias is not None:
            beta = node.attributes.get_float("beta", 1.0)
            if beta != 1.0:
                bias = chain.side("Mul", bias, self._constant("beta", np.float32(beta)))
            chain.add("Add", chain.value, bias)

    def _multiply(
        self,
        node: ir.Node,
        quant: NodeQuant,
        chain: "Chain",
        data: ir.Value | None,
        *,
        transposed: bool,
    ) -> None:
        codes, scale, zero_point = self._activation(data, chain.graph)
        if quant.weight is None:
            right, right_scale, right_zero = self._activation(node.inputs[1], chain.graph)
            chain.add("MatMulInteger", codes, right, zero_point, right_zero)
            chain.add("Cast", chain.value, attributes={"to": int(ir.DataType.FLOAT)})
            chain.add("Mul", chain.value, chain.side("Mul", scale, right_scale))
            return
        weight, weight_zero = self._weight(node, quant, transposed=transposed)
        chain.add("MatMulInteger", codes, weight, zero_point, weight_zero)
        alpha = node.attributes.get_float("alpha", 1.0) if node.op_type == "Gemm" else 1.0
        self._rescale(chain, scale, self._weight_scale(quant) * np.float32(alpha))

    def _rescale(self, chain: "Chain", scale: ir.Value, weight_scale: NDArray[np.generic]) -> None:
        chain.add("Cast", chain.value, attributes={"to": int(ir.DataType.FLOAT)})
        factor = self._constant(f"{chain.name}_weight_scale", np.asarray(weight_scale, np.float32))
        chain.add("Mul", chain.value, chain.side("Mul", scale, factor))

    def _activation(self, value: ir.Value | None, graph: ir.Graph) -> tuple[ir.Value, ...]:
        """Return codes, scale and zero point of a tensor; it is quantized once in each graph."""
        assert value is not None
        if (value, graph) not in self._activations:
            node = self._edit.node("DynamicQuantizeLinear", (value,), name_of(value), outputs=3)
            self._edit.insert_behind(value, graph, node)
            self._activations[value, graph] = tuple(node.outputs)
        return self._activations[value, graph]

    def _weight(
        self, node: ir.Node, quant: NodeQuant, *, transposed: bool, unsigned: bool = False
    ) -> tuple[ir.Value, ir.Value]:
        """Return codes and zero point (one for all channels) of a node's weight.

        Args:
            node: What has the weight.
            quant: Its entry in the plan.
            transposed: Whether to transpose the codes.
            unsigned: Whether to shift int8 codes and their zero point by 128, which stands for the
                same numbers: ONNX Runtime 1.32 on x86 has a fast kernel for ConvInteger with uint8
                weights only; with int8 ones it took four to seven times as long.
        """
        assert quant.weight is not None
        value = value_at(node, quant.weight.index)
        qparams = self._qparams[quant.weight.key]
        key = (value, transposed, qparams.scale.tobytes())
        if key not in self._weights:
            codes: NDArray[np.generic] = quantize(array_of(value), qparams)
            zero_point: NDArray[np.generic] = np.asarray(qparams.zero_point.reshape(-1)[0])
            if unsigned:
                codes, zero_point = unsigned_codes(codes), unsigned_codes(zero_point)
            self._weights[key] = (
                self._edit.constant(
                    f"{value.name}_quantized",
                    np.ascontiguousarray(codes.T) if transposed else codes,
                ),
                self._edit.constant(f"{value.name}_zero_point", zero_point),
            )
        return self._weights[key]

    def _weight_scale(self, quant: NodeQuant) -> NDArray[np.floating]:
        assert quant.weight is not None
        return self._qparams[quant.weight.key].scale

    def _constant(self, name: str, array: NDArray[np.generic] | np.generic) -> ir.Value:
        return self._edit.constant(name, np.asarray(array))


class Chain:
    """The nodes that take the place of one."""

    def __init__(self, edit: GraphEditor, node: ir.Node) -> None:
        self._edit = edit
        self._node = node
        self.graph = graph_of(node)
        self.name = name_of(node)
        self._new: list[ir.Node] = []

    @property
    def value(self) -> ir.Value:
        """What the chain gives so far."""
        return self._new[-1].outputs[0]

    def add(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        attributes: Mapping[str, int] | None = None,
    ) -> ir.Node:
        """Append a node to the chain."""
        node = self._edit.node(op_type, inputs, self.name, attributes=attributes)
        self.graph.insert_before(self._node, node)
        self._new.append(node)
        return node

    def side(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        attributes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> ir.Value:
        """Insert a node that an input of the chain comes from."""
        node = self._edit.node(op_type, inputs, self.name, attributes=attributes)
        self.graph.insert_before(self._node, node)
        return node.outputs[0]

    def replace(self) -> None:
        """Put the chain in the place of the node."""
        self._edit.replace(self._node, *self._new)
