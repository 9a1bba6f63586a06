"""Constants that are stored as integers, for operators that compute with floats.

Weights of LSTM and GRU are read through Cast, Sub and Mul. ONNX Runtime folds these when it loads
the model and packs what they give, as it does with float weights; a DequantizeLinear it would
compute in each run anew. Of a table only what a Gather picks is dequantized:

    Gather(table)   becomes   DequantizeLinear(Gather(codes)), or with scales for rows
                              Mul(Cast(Gather(codes)), Gather(scales))
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.codes import quantize
from zeropoint.engine.edit import GraphEditor
from zeropoint.engine.ops import constant
from zeropoint.engine.plan import ConstantInput, NodeQuant
from zeropoint.engine.qparams import QParams


class StoredConstants:
    """Rewrites nodes whose constants are stored as integers, in place."""

    def __init__(self, edit: GraphEditor, qparams: Mapping[tuple[str, int], QParams]) -> None:
        """Start with nothing stored.

        Args:
            edit: Adds to the model.
            qparams: Parameters of each stored constant, by node name and input.
        """
        self._edit = edit
        self._qparams = qparams
        self._stored: dict[tuple[ir.Value, bytes, bytes, bool], ir.Value] = {}
        self._scales: dict[tuple[str, bytes], ir.Value] = {}

    def rewrite(self, node: ir.Node, quant: NodeQuant) -> None:
        """Let a node read its stored constants as floats."""
        for where in quant.stored:
            if node.op_type == "Gather":
                self._gather(node, where)
                continue
            node.replace_input_with(where.index, self._load(node, where))

    def rewrite_lstm(self, node: ir.Node, quant: NodeQuant) -> None:
        """Put com.microsoft.DynamicQuantizeLSTM in the place of an LSTM.

        It takes weights transposed, [directions, inputs, gates], and scales and zero points
        [directions], or [directions, gates]; all else as LSTM does.
        """
        weights: list[ir.Value] = []
        parameters: list[ir.Value] = []
        for where in quant.stored:
            value, shape = _read(node, where)
            qparams = self._qparams[quant.node, where.index]
            axes = shape[:2] if where.rows else shape[:1]
            weights.append(self._store(value, where, qparams, transposed=True))
            for kind, array in (("scale", qparams.scale), ("zero_point", qparams.zero_point)):
                each = np.empty(axes, array.dtype)
                each[...] = array.reshape(axes if array.ndim else ())
                parameters.append(self._edit.constant(f"{value.name}_{kind}", each))
        others = [*node.inputs[3:], *(None,) * (8 - len(node.inputs))]
        new = self._edit.node(
            "DynamicQuantizeLSTM",
            (node.inputs[0], *weights, *others, *parameters),
            node.name or "",
            outputs=len(node.outputs),
            contrib=True,
        )
        for attribute in node.attributes.values():
            if attribute.name != "layout":
                new.attributes.add(attribute)
        self._take_place(node, new)

    def _gather(self, node: ir.Node, where: ConstantInput) -> None:
        value, shape = _read(node, where)
        qparams = self._qparams[node.name or "", where.index]
        name, result = value.name or "", node.outputs[0]
        reads = tuple(result.uses())
        node.replace_input_with(where.index, self._store(value, where, qparams))
        if qparams.axis is None:
            inputs = (result, *self._edit.parameters(name, qparams))
            new = [self._edit.node("DequantizeLinear", inputs, node.name or "")]
        else:
            new = self._scale_rows(node, name, qparams, len(shape))
        _graph(node).insert_after(node, new)
        last = new[-1].outputs[0]
        last.type, last.shape = value.type, result.shape
        result.type = ir.TensorType(ir.DataType.from_numpy(qparams.dtype))
        for reader, index in reads:
            reader.replace_input_with(index, last)
        self._edit.take_output(result, last)

    def _scale_rows(self, node: ir.Node, name: str, qparams: QParams, rank: int) -> list[ir.Node]:
        """Return the nodes that make floats of picked codes whose rows have scales."""
        assert qparams.axis is not None, name
        shape = [1] * rank
        shape[qparams.axis] = -1
        key = (name, qparams.scale.tobytes())
        if key not in self._scales:
            self._scales[key] = self._edit.constant(f"{name}_scale", qparams.scale.reshape(shape))
        base = node.name or ""
        pick = self._edit.node("Gather", (self._scales[key], node.inputs[1]), base)
        for attribute in node.attributes.values():
            pick.attributes.add(attribute)
        to_float = {"to": int(ir.DataType.FLOAT)}
        cast = self._edit.node("Cast", (node.outputs[0],), base, attributes=to_float)
        new = [pick, cast]
        zero_point = int(qparams.zero_point.reshape(-1)[0])  # one for all: rows are symmetric
        if zero_point:
            offset = self._edit.constant(f"{base}_zero_point", np.array(zero_point, np.float32))
            new.append(self._edit.node("Sub", (cast.outputs[0], offset), base))
        new.append(self._edit.node("Mul", (new[-1].outputs[0], pick.outputs[0]), base))
        return new

    def _take_place(self, node: ir.Node, new: ir.Node) -> None:
        graph = _graph(node)
        graph.insert_before(node, new)
        for old, output in zip(node.outputs, new.outputs, strict=True):
            if not old.name:
                output.name = ""
                continue
            output.type, output.shape = old.type, old.shape
            for reader, index in tuple(old.uses()):
                reader.replace_input_with(index, output)
            self._edit.take_output(old, output)
        graph.remove(node, safe=True)

    def _load(self, node: ir.Node, where: ConstantInput) -> ir.Value:
        """Return a stored constant as floats."""
        value, shape = _read(node, where)
        qparams = self._qparams[node.name or "", where.index]
        name, aligned = value.name or "", [1] * len(shape)
        if where.rows:
            aligned[:-1] = shape[:-1]
        elif qparams.axis is not None:
            aligned[qparams.axis] = -1
        to_float = {"to": int(ir.DataType.FLOAT)}
        stored = self._store(value, where, qparams)
        nodes = [self._edit.node("Cast", (stored,), name, attributes=to_float)]
        operands = [("Mul", "scale", qparams.scale)]
        if qparams.zero_point.any():
            operands.insert(0, ("Sub", "zero_point", qparams.zero_point.astype(np.float32)))
        for op_type, kind, array in operands:
            operand = self._edit.constant(
                f"{name}_{kind}", array.reshape(aligned) if array.ndim else array
            )
            nodes.append(self._edit.node(op_type, (nodes[-1].outputs[0], operand), name))
        self._edit.insert_first(_graph(node), *nodes)
        result = nodes[-1].outputs[0]
        result.type, result.shape = value.type, value.shape
        return result

    def _store(
        self, value: ir.Value, where: ConstantInput, qparams: QParams, *, transposed: bool = False
    ) -> ir.Value:
        """Store a constant once for all nodes that read it with the same parameters."""
        key = (value, qparams.scale.tobytes(), qparams.zero_point.tobytes(), transposed)
        if key not in self._stored:
            array = _array(value)
            matrix = array.reshape(-1, array.shape[-1]) if where.rows else array
            codes = quantize(matrix, qparams).reshape(array.shape)
            if transposed:
                codes = np.ascontiguousarray(codes.transpose(0, 2, 1))
            self._stored[key] = self._edit.constant(f"{value.name}_quantized", codes)
        return self._stored[key]


def _read(node: ir.Node, where: ConstantInput) -> tuple[ir.Value, tuple[int, ...]]:
    value = node.inputs[where.index]
    assert value is not None, where
    return value, _array(value).shape


def _array(value: ir.Value) -> NDArray[Any]:
    array = constant(value)
    assert array is not None, value
    return array


def _graph(node: ir.Node) -> ir.Graph:
    assert isinstance(node.graph, ir.Graph), node.name
    return node.graph
