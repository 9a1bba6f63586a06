"""Constants that are stored as integers, for operators that compute with floats.

Weights are read as Mul(Cast(codes), scales) in the main graph, which ONNX Runtime computes once as
it loads the model: from then on the node runs as it did. (DequantizeLinear it neither folds nor
packs, so that each run would dequantize anew.) Of a table only what a Gather picks is dequantized:

    Gather(table)   becomes   DequantizeLinear(Gather(codes)), or with scales for rows
                              Mul(Cast(Gather(codes)), Gather(scales))
    with scales for columns   Mul(Cast(Gather(codes)), scales)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import GraphEditor, array_of, name_of, value_at
from zeropoint.engine.numbers import QParams, quantize
from zeropoint.engine.plan import ConstantInput, InputKey, NodeQuant

_Key = tuple[ir.Value, str, bytes, bytes]
"""A constant, with the type, scales and zero points of its codes."""


class StoredConstants:
    """Rewrites nodes whose constants are stored as integers, in place."""

    def __init__(self, edit: GraphEditor, qparams: Mapping[InputKey, QParams]) -> None:
        """Start with nothing stored.

        Args:
            edit: Adds to the model.
            qparams: Parameters of each constant.
        """
        self._edit = edit
        self._qparams = qparams
        self._stored: dict[tuple[_Key, bool], ir.Value] = {}
        self._loaded: dict[_Key, ir.Value] = {}
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
            qparams = self._qparams[where.key]
            axes = shape[:2] if where.rows else shape[:1]
            weights.append(self.store(value, qparams, rows=where.rows, transposed=True))
            for kind, array in (("scale", qparams.scale), ("zero_point", qparams.zero_point)):
                each = np.empty(axes, array.dtype)
                each[...] = array.reshape(axes if array.ndim else ())
                parameters.append(self._edit.constant(f"{value.name}_{kind}", each))
        others = [*node.inputs[3:], *(None,) * (8 - len(node.inputs))]
        new = self._edit.node(
            "DynamicQuantizeLSTM",
            (node.inputs[0], *weights, *others, *parameters),
            name_of(node),
            outputs=len(node.outputs),
            contrib=True,
        )
        for attribute in node.attributes.values():
            if attribute.name != "layout":
                new.attributes.add(attribute)
        self._edit.replace(node, new)

    def rewrite_attention(
        self, node: ir.Node, quant: NodeQuant, activation: tuple[ir.Value, ...]
    ) -> None:
        """Put com.microsoft.QAttention in the place of an Attention.

        Args:
            node: The Attention.
            quant: Its entry in the plan, with its weights.
            activation: Codes, scale and zero point of its data.
        """
        (where,) = quant.stored
        value, _ = _read(node, where)
        qparams = self._qparams[where.key]
        codes, scale, zero_point = activation
        name = name_of(value)
        weight_scale = self._edit.constant(f"{name}_scale", qparams.scale)
        weight_zero = self._edit.constant(f"{name}_zero_point", qparams.zero_point)
        bias, mask, past = [*node.inputs[2:5], None, None][:3]
        inputs = (
            *(codes, self.store(value, qparams), bias, scale, weight_scale),
            *(mask, zero_point, weight_zero, past),
        )
        new = self._edit.node(
            "QAttention", inputs, name_of(node), outputs=len(node.outputs), contrib=True
        )
        for attribute in node.attributes.values():
            new.attributes.add(attribute)
        self._edit.replace(node, new)

    def _gather(self, node: ir.Node, where: ConstantInput) -> None:
        value, _ = _read(node, where)
        qparams = self._qparams[where.key]
        name, result = name_of(value), node.outputs[0]
        node.replace_input_with(where.index, self.store(value, qparams))
        if qparams.axis is None:
            inputs = (result, *self._edit.parameters(name, qparams))
            new = [self._edit.node("DequantizeLinear", inputs, name_of(node))]
        else:
            new = self._scale(node, value, where, qparams)
        last = self._edit.put_behind(result, *new)
        last.type, last.shape = value.type, result.shape
        result.type = ir.TensorType(ir.DataType.from_numpy(qparams.dtype))

    def _scale(
        self, node: ir.Node, table: ir.Value, where: ConstantInput, qparams: QParams
    ) -> list[ir.Node]:
        """Return the nodes that make floats of picked codes whose rows or columns have scales."""
        name, base, shape = name_of(table), name_of(node), array_of(table).shape
        rows = where.axis == node.attributes.get_int("axis", 0) % len(shape)
        key = (name, qparams.scale.tobytes())
        if key not in self._scales:
            along = _along(qparams.scale, where, shape) if rows else qparams.scale
            self._scales[key] = self._edit.constant(f"{name}_scale", along)
        scale, picked = self._scales[key], []
        if rows:
            picked.append(self._edit.node("Gather", (scale, node.inputs[1]), base))
            picked[0].attributes.update(node.attributes)
            scale = picked[0].outputs[0]
        floats = self._as_floats(node.outputs[0], qparams, base)
        return [*picked, *floats, self._edit.node("Mul", (floats[-1].outputs[0], scale), base)]

    def _load(self, node: ir.Node, where: ConstantInput) -> ir.Value:
        """Return a stored constant as floats, computed in the main graph."""
        value, shape = _read(node, where)
        qparams = self._qparams[where.key]
        key = _key(value, qparams)
        if key not in self._loaded:
            name = name_of(value)
            scale = self._edit.constant(f"{name}_scale", _along(qparams.scale, where, shape))
            codes = self.store(value, qparams, rows=where.rows)
            new = [*self._as_floats(codes, qparams, name)]
            new.append(self._edit.node("Mul", (new[-1].outputs[0], scale), name, like=value))
            self._edit.insert_first(self._edit.graph, *new)
            self._loaded[key] = new[-1].outputs[0]
        return self._loaded[key]

    def _as_floats(self, codes: ir.Value, qparams: QParams, name: str) -> list[ir.Node]:
        """Return the nodes that take the zero point, which is one for all, from codes."""
        to_float = {"to": int(ir.DataType.FLOAT)}
        new = [self._edit.node("Cast", (codes,), name, attributes=to_float)]
        zero_point = int(qparams.zero_point.reshape(-1)[0])  # scales of their own are symmetric
        if zero_point:
            offset = self._edit.constant(f"{name}_zero_point", np.array(zero_point, np.float32))
            new.append(self._edit.node("Sub", (new[0].outputs[0], offset), name))
        return new

    def store(
        self, value: ir.Value, qparams: QParams, *, rows: bool = False, transposed: bool = False
    ) -> ir.Value:
        """Return the codes of a constant, stored once for all that read it with the same ones.

        Args:
            value: The constant.
            qparams: Its parameters.
            rows: Whether they are those of a matrix: all axes but the last as one.
            transposed: Whether to exchange the last two of three axes.
        """
        key = (_key(value, qparams), transposed)
        if key not in self._stored:
            array = array_of(value)
            matrix = array.reshape(-1, array.shape[-1]) if rows else array
            codes = quantize(matrix, qparams).reshape(array.shape)
            if transposed:
                codes = np.ascontiguousarray(codes.transpose(0, 2, 1))
            self._stored[key] = self._edit.constant(f"{value.name}_quantized", codes)
        return self._stored[key]


def _key(value: ir.Value, qparams: QParams) -> _Key:
    return value, str(qparams.dtype), qparams.scale.tobytes(), qparams.zero_point.tobytes()


def _along(scale: NDArray[Any], where: ConstantInput, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return scales in the shape in which they meet a constant of `shape`."""
    if where.axis is None:
        return scale
    if where.rows:
        return scale.reshape((*shape[:-1], 1))
    return scale.reshape([-1 if axis == where.axis else 1 for axis in range(len(shape))])


def _read(node: ir.Node, where: ConstantInput) -> tuple[ir.Value, tuple[int, ...]]:
    value = value_at(node, where.index)
    return value, array_of(value).shape
