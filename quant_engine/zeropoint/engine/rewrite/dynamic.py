"""Plan and weight parameters -> operators whose activations are quantized as they come.

A DynamicQuantizeLinear stands before the integer form of a node (see `forms`); weights of Conv are
uint8 always. An LSTM becomes ONNX Runtime's DynamicQuantizeLSTM, an Attention its QAttention. A
MatMul of two computed tensors, where asked for, takes both as they come. What only has constants to
store: see `stored_constants`.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import GraphEditor, array_of, graph_of, name_of, value_at
from zeropoint.engine.numbers import quantize
from zeropoint.engine.operators import layout_of
from zeropoint.engine.plan import ConstantInput, NodeQuant, Parameters, QuantPlan
from zeropoint.engine.rewrite.forms import INTEGER, Operand, kernel_weight, write_integer
from zeropoint.engine.rewrite.fusion_barriers import split_misfit_biases, split_skip_normalizations
from zeropoint.engine.rewrite.stored_constants import StoredConstants
from zeropoint.engine.rewrite.work import Work


def rewrite_dynamic(
    model: ir.Model, plan: QuantPlan, parameters: Parameters, store: WeightFile | None = None
) -> None:
    """Replace nodes of a prepared float model by integer operators, in place.

    Quantized weights go to `store`, or stay in memory.
    """
    work = Work.on(GraphEditor(model.graph, weights=store), plan, parameters)
    rewriter, stored = _Writer(work), StoredConstants(work)
    for quant in plan.nodes.values():
        node = work.nodes[quant.node]
        if quant.inputs:
            _DYNAMIC[node.op_type](rewriter, node, quant)
        else:
            stored.load(node, quant)
    split_skip_normalizations(work)
    split_misfit_biases(work)
    work.edit.remove_unused_constants()


def write_running(work: Work) -> None:
    """Quantize what nodes of a static plan read as the model runs, in place."""
    writer = _Writer(work)
    chosen = [quant for quant in work.plan.nodes.values() if quant.dynamic]
    for quant in chosen:
        writer.integer(work.nodes[quant.node], quant)
    if chosen:
        split_misfit_biases(work)


class _Writer:
    def __init__(self, work: Work) -> None:
        self._edit = work.edit
        self._qparams = work.parameters.constants
        self._activations: dict[tuple[ir.Value, ir.Graph], Operand] = {}
        self._weights: dict[tuple[ir.Value, bool, bytes], tuple[ir.Value, ir.Value]] = {}

    def integer(self, node: ir.Node, quant: NodeQuant) -> None:
        """Put the integer form in the place of a node."""
        data, where = value_at(node, 0), quant.weight
        if node.op_type == "Gemm" and node.attributes.get_int("transA", 0) != 0:
            order = {"perm": (1, 0)}
            turned = self._edit.node("Transpose", (data,), name_of(node), attributes=order)
            graph_of(node).insert_before(node, turned)
            data = turned.outputs[0]
        read = self._activation(data, node)
        if where is None:
            weight = self._activation(value_at(node, 1), node)
        else:
            weight = self._weight(node, where)
        write_integer(self._edit, node, read, weight)

    def lstm(self, node: ir.Node, quant: NodeQuant) -> None:
        """Put com.microsoft.DynamicQuantizeLSTM in the place of an LSTM.

        It takes weights transposed, [directions, inputs, gates], and scales and zero points
        [directions], or [directions, gates]; all else as LSTM does.
        """
        weights: list[ir.Value] = []
        parameters: list[ir.Value] = []
        for where in quant.stored:
            value, qparams = value_at(node, where.index), self._qparams[where.key]
            codes = self._edit.codes(value, qparams, rows=where.rows, transposed=True)
            weights.append(codes)
            axes = array_of(value).shape[: 2 if where.rows else 1]
            for kind, array in (("scale", qparams.scale), ("zero_point", qparams.zero_point)):
                each = np.full(axes, array.reshape(axes if array.ndim else ()))
                parameters.append(self._edit.constant(f"{value.name}_{kind}", each))
        others = [*node.inputs[3:], *(None,) * (8 - len(node.inputs))]
        inputs = (node.inputs[0], *weights, *others, *parameters)
        self._replace(node, "DynamicQuantizeLSTM", inputs).attributes.pop("layout", None)

    def attention(self, node: ir.Node, quant: NodeQuant) -> None:
        """Put com.microsoft.QAttention in the place of an Attention."""
        data = self._activation(value_at(node, 0), node)
        (where,) = quant.stored
        value, qparams = value_at(node, where.index), self._qparams[where.key]
        scale = self._edit.constant(f"{value.name}_scale", qparams.scale)
        zero_point = self._edit.constant(f"{value.name}_zero_point", qparams.zero_point)
        codes = self._edit.codes(value, qparams)
        bias, mask, past = [*node.inputs[2:5], None, None][:3]
        assert isinstance(data.scale, ir.Value), node.name
        inputs = (data.codes, codes, bias, data.scale, scale, mask, data.zero_point, zero_point)
        self._replace(node, "QAttention", (*inputs, past))

    def _replace(self, node: ir.Node, op_type: str, inputs: tuple[ir.Value | None, ...]) -> ir.Node:
        """Put an operator of com.microsoft with the same attributes in the place of a node."""
        count = len(node.outputs)
        new = self._edit.node(op_type, inputs, name_of(node), outputs=count, contrib=True)
        new.attributes.update(node.attributes)
        self._edit.replace(node, new)
        return new

    def _activation(self, value: ir.Value, reader: ir.Node) -> Operand:
        """Return a tensor as codes; it is quantized once in each graph."""
        graph = graph_of(reader)
        if (value, graph) not in self._activations:
            node = self._edit.node("DynamicQuantizeLinear", (value,), name_of(value), outputs=3)
            self._edit.insert_behind(value, graph, node)
            self._activations[value, graph] = Operand(*node.outputs)
        return self._activations[value, graph]

    def _weight(self, node: ir.Node, where: ConstantInput) -> Operand:
        """Return the weight of a node, stored once for all that read it in one form."""
        value, qparams = value_at(node, where.index), self._qparams[where.key]
        layout = layout_of(node, array_of(value).ndim)
        transposed = layout is not None and layout.transposed
        key = (value, transposed, qparams.scale.tobytes())
        if key not in self._weights:
            quantized = quantize(array_of(value), qparams)
            codes, zero_point = kernel_weight(node, quantized, qparams.zero_point)
            self._weights[key] = (
                self._edit.constant(f"{value.name}_quantized", codes),
                self._edit.constant(f"{value.name}_zero_point", zero_point),
            )
        stored, zero = self._weights[key]
        return Operand(stored, qparams.scale, zero)


_DYNAMIC: Mapping[str, Callable[[_Writer, ir.Node, NodeQuant], None]] = {
    **dict.fromkeys(INTEGER, _Writer.integer),
    "Attention": _Writer.attention,
    "LSTM": _Writer.lstm,
}
