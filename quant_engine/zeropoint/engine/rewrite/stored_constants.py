"""Constants that are stored as integers, for operators that compute with floats.

Weights are read as Mul(Cast(codes), scales) in the main graph, which ONNX Runtime computes once as
it loads the model: from then on the node runs as it did. (DequantizeLinear it neither folds nor
packs, so that each run would dequantize anew.) Of a table only what a Gather picks is dequantized:

    Gather(table)   becomes   DequantizeLinear(Gather(codes)), or with scales for rows
                              Mul(Cast(Gather(codes)), Gather(scales))
    with scales for columns   Mul(Cast(Gather(codes)), scales)
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import array_of, name_of, value_at
from zeropoint.engine.numbers import QParams
from zeropoint.engine.plan import ConstantInput, NodeQuant
from zeropoint.engine.rewrite.work import Work


def load_stored(work: Work) -> None:
    """Let all nodes of a plan read their stored constants as floats, in place."""
    stored = StoredConstants(work)
    for quant in work.plan.nodes.values():
        stored.load(work.nodes[quant.node], quant)


class StoredConstants:
    """Lets nodes read constants as floats that are stored as integers, in place."""

    def __init__(self, work: Work) -> None:
        self._edit = work.edit
        self._qparams = work.parameters.constants
        self._loaded: dict[tuple[ir.Value, str, bytes, bytes], ir.Value] = {}
        self._figures: dict[tuple[str, bytes], ir.Value] = {}

    def load(self, node: ir.Node, quant: NodeQuant) -> None:
        """Let a node read its stored constants as floats."""
        for where in quant.stored:
            if node.op_type == "Gather":
                self._gather(node, where)
                continue
            node.replace_input_with(where.index, self._load(node, where))

    def _gather(self, node: ir.Node, where: ConstantInput) -> None:
        value = value_at(node, where.index)
        qparams = self._qparams[where.key]
        name, result = name_of(value), node.outputs[0]
        node.replace_input_with(where.index, self._edit.codes(value, qparams))
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
        shape, new = array_of(table).shape, list[ir.Node]()
        rows = where.axis == node.attributes.get_int("axis", 0) % len(shape)

        def meeting(kind: str, figures: NDArray[Any]) -> ir.Value:
            along = _along(figures, where, shape) if rows else figures
            key = (f"{name_of(table)}_{kind}", along.tobytes())
            if key not in self._figures:
                self._figures[key] = self._edit.constant(key[0], along)
            if not rows or not along.ndim:
                return self._figures[key]
            new.append(self._edit.node("Gather", (self._figures[key], node.inputs[1]), base))
            new[-1].attributes.update(node.attributes)
            return new[-1].outputs[0]

        base = name_of(node)
        scale = meeting("scale", qparams.scale)
        return [*new, *self._as_floats(node.outputs[0], scale, qparams, base, meeting)]

    def _load(self, node: ir.Node, where: ConstantInput) -> ir.Value:
        """Return a stored constant as floats, computed in the main graph."""
        value = value_at(node, where.index)
        qparams, name = self._qparams[where.key], name_of(value)
        key = (value, *qparams.content)
        if key not in self._loaded:

            def meeting(kind: str, figures: NDArray[Any]) -> ir.Value:
                along = _along(figures, where, array_of(value).shape)
                return self._edit.constant(f"{name}_{kind}", along)

            scale = meeting("scale", qparams.scale)
            codes = self._edit.codes(value, qparams, rows=where.rows)
            new = self._as_floats(codes, scale, qparams, name, meeting)
            self._edit.insert_first(self._edit.graph, *new)
            self._loaded[key] = new[-1].outputs[0]
            self._loaded[key].type, self._loaded[key].shape = value.type, value.shape
        return self._loaded[key]

    def _as_floats(
        self,
        codes: ir.Value,
        scale: ir.Value,
        qparams: QParams,
        name: str,
        meeting: Callable[[str, NDArray[Any]], ir.Value],
    ) -> list[ir.Node]:
        """Return the nodes that compute scale * (codes - zero point), named after `name`.

        Scales have the shape in which they meet the codes; `meeting` gives it to zero points.
        """
        to_float = {"to": int(ir.DataType.FLOAT)}
        new = [self._edit.node("Cast", (codes,), name, attributes=to_float)]
        zero_points = qparams.zero_point.astype(np.float32)
        if zero_points.any():
            same = (zero_points == zero_points.flat[0]).all()
            offset = meeting("zero_point", zero_points.reshape(-1)[0] if same else zero_points)
            new.append(self._edit.node("Sub", (new[0].outputs[0], offset), name))
        new.append(self._edit.node("Mul", (new[-1].outputs[0], scale), name))
        return new


def _along(scale: NDArray[Any], where: ConstantInput, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return scales in the shape in which they meet a constant of `shape`."""
    if where.axis is None or not scale.ndim:
        return np.asarray(scale)
    if where.rows:
        return scale.reshape((*shape[:-1], 1))
    return scale.reshape([-1 if axis == where.axis else 1 for axis in range(len(shape))])
