"""What a graph allows its inputs to be: rows of the tables that they index, sizes that weights fix.

Values are followed forward through operators that only move or convert them.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.load.signature import tensor_spec
from zeropoint.engine.report import TensorSpec
from zeropoint.engine.samples import InputRange

# Operators whose first input keeps its values.
_MOVES = ("Concat", "Expand", "Flatten", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Tile")
_KEEPS_VALUES = frozenset((*_MOVES, "Cast", "Identity", "Transpose", "Unsqueeze"))
# Operators whose output has the shape of their first input, where the others are constants.
_KEEPS_SHAPE = frozenset(("Add", "Cast", "Clip", "Div", "Identity", "Mul", "Pow", "Relu", "Sub"))

# Inputs that index a table, with the input that is the table; all along `axis`, by default 0.
_INDEXED = {
    ("Gather", 1): 0,
    ("GatherElements", 1): 0,
    ("EmbedLayerNormalization", 0): 2,
    ("EmbedLayerNormalization", 1): 4,
}


def input_ranges(graph: ir.Graph) -> tuple[InputRange, ...]:
    """Return what a graph says of each input that must be fed."""
    inputs = (value for value in graph.inputs if value.name not in graph.initializers)
    return tuple(map(_input_range, inputs))


def _input_range(value: ir.Value) -> InputRange:
    rows = []
    choices: set[int] = set()
    for use in _followed(value, _KEEPS_VALUES):
        size = _table_rows(use)
        if size is not None:
            rows.append(size)
        choices.update(_compared(use))
    return InputRange(
        spec=_with_fixed_sizes(value, tensor_spec(value)),
        below=min(rows, default=None),
        choices=tuple(sorted(choices)),
    )


def _with_fixed_sizes(value: ir.Value, spec: TensorSpec) -> TensorSpec:
    """Return a shape with the sizes that weights fix."""
    if spec.shape is None:
        return spec
    shape = list(spec.shape)
    for use in _followed(value, _KEEPS_SHAPE):
        for axis, size in _fixed_sizes(use):
            if -len(shape) <= axis < len(shape) and not isinstance(spec.shape[axis], int):
                shape[axis] = size
    return replace(spec, shape=tuple(shape))


class _Use(NamedTuple):
    node: ir.Node
    slot: int

    def constant(self, index: int) -> NDArray[np.generic] | None:
        """Return a constant input of the node."""
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        tensor = ir.convenience.get_const_tensor(value) if value is not None else None
        return tensor.numpy() if tensor is not None else None

    def shape(self, index: int) -> tuple[object, ...]:
        """Return what is known of the shape of an input."""
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        if value is None:
            return ()
        tensor = value.const_value
        if tensor is not None:
            return tuple(tensor.shape)
        return tuple(value.shape) if value.shape is not None else ()


def _followed(value: ir.Value, through: frozenset[str]) -> Iterator[_Use]:
    """Return all places where a value is read, also behind the operators in `through`."""
    seen: set[ir.Value] = set()
    pending = [value]
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for node, index in current.uses():
            yield _Use(node, index)
            if node.op_type in through and (index == 0 or node.op_type == "Concat"):
                pending.extend(node.outputs)


def _table_rows(use: _Use) -> int | None:
    node = use.node
    if (node.op_type, use.slot) == ("OneHot", 0):
        depth = use.constant(1)
        return int(depth.reshape(-1)[0]) if depth is not None else None
    table = _INDEXED.get((node.op_type, use.slot))
    if table is None:
        return None
    shape = use.shape(table)
    axis = node.attributes.get_int("axis", 0)
    rows = shape[axis] if -len(shape) <= axis < len(shape) else None
    return rows if isinstance(rows, int) and rows > 0 else None


def _compared(use: _Use) -> Iterator[int]:
    if use.node.op_type == "Equal":
        array = use.constant(1 - use.slot)
        if array is not None and array.dtype.kind in "iu":
            yield from array.reshape(-1).tolist()


def _fixed_sizes(use: _Use) -> Iterator[tuple[int, int]]:
    """Return (axis, size) for the data input of an operator with weights."""
    node = use.node
    if use.slot != 0:
        return
    weight = use.shape(1)
    if node.op_type == "Conv" and len(weight) >= 3:
        yield from _known(1, weight[1], node.attributes.get_int("group", 1))
    elif node.op_type == "BatchNormalization" and len(weight) == 1:
        yield from _known(1, weight[0])
    elif node.op_type == "Gemm" and len(weight) == 2:
        inner = weight[1 if node.attributes.get_int("transB", 0) else 0]
        yield from _known(0 if node.attributes.get_int("transA", 0) else 1, inner)
    elif node.op_type == "MatMul" and len(weight) >= 2:
        yield from _known(-1, weight[-2])


def _known(axis: int, size: object, factor: int = 1) -> Iterator[tuple[int, int]]:
    if isinstance(size, int) and size > 0:
        yield axis, math.prod((size, factor))
