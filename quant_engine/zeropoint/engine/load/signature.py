"""What a model takes and gives, and what its graph allows its inputs to be.

That are rows of the tables that they index and sizes that weights fix; values are followed forward
through operators that only move or convert them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import name_of
from zeropoint.engine.operators import Trait, has, layout_of
from zeropoint.engine.report import Signature, TensorSpec
from zeropoint.engine.samples import TEXT_KINDS, InputRange, as_text

# Inputs that index a table, with the input that is the table; all along `axis`, by default 0.
_INDEXED = {
    ("Gather", 1): 0,
    ("GatherElements", 1): 0,
    ("EmbedLayerNormalization", 0): 2,
    ("EmbedLayerNormalization", 1): 4,
}


def read_signature(graph: ir.Graph) -> Signature:
    """Return what must be fed and what comes out.

    Inputs that have a default value are left out: calibration runs with the default.
    """
    return Signature(
        inputs=tuple(
            _tensor_spec(value) for value in graph.inputs if value.name not in graph.initializers
        ),
        outputs=tuple(_tensor_spec(value) for value in graph.outputs),
    )


def _tensor_spec(value: ir.Value) -> TensorSpec:
    is_tensor = isinstance(value.type, ir.TensorType)
    return TensorSpec(
        name=name_of(value),
        element_type=value.type.dtype.value if is_tensor and value.type else 0,
        shape=tuple(map(_dimension, value.shape)) if value.shape is not None else None,
    )


def _dimension(size: int | ir.SymbolicDim) -> int | str | None:
    if isinstance(size, int):
        return size if size >= 0 else None
    return size.value or None


def input_ranges(graph: ir.Graph) -> tuple[InputRange, ...]:
    """Return what a graph says of each input that must be fed."""
    inputs = (value for value in graph.inputs if value.name not in graph.initializers)
    return tuple(map(_input_range, inputs))


def _input_range(value: ir.Value) -> InputRange:
    rows = []
    choices: set[int] = set()
    words: set[str] = set()
    for use in _followed(value, _keeps_values):
        size = _table_rows(use)
        if size is not None:
            rows.append(size)
        choices.update(_compared(use))
        words.update(_words(use))
    return InputRange(
        spec=_with_fixed_sizes(value, _tensor_spec(value)),
        below=min(rows, default=None),
        choices=tuple(sorted(choices)),
        words=tuple(sorted(words)),
    )


def _with_fixed_sizes(value: ir.Value, spec: TensorSpec) -> TensorSpec:
    """Return a shape with the sizes that weights fix."""
    if spec.shape is None:
        return spec
    shape = list(spec.shape)
    for use in _followed(value, _keeps_shape):
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


def _followed(value: ir.Value, passes: Callable[[_Use], bool]) -> Iterator[_Use]:
    """Return all places where a value is read, also behind the nodes that it passes."""
    seen: set[ir.Value] = set()
    pending = [value]
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for node, index in current.uses():
            use = _Use(node, index)
            yield use
            if passes(use):
                pending.extend(node.outputs)


def _keeps_values(use: _Use) -> bool:
    moved = has(use.node, Trait.BY_PLACE) or use.node.op_type == "Cast"
    return moved and (use.slot == 0 or has(use.node, Trait.JOINS))


def _keeps_shape(use: _Use) -> bool:
    """Whether a result has the shape of an input, if the others are constants."""
    return use.slot == 0 and has(use.node, Trait.ELEMENTWISE) and use.node.op_type != "Where"


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


def _words(use: _Use) -> Iterator[str]:
    """Return the words that text is looked up among: whatever its reader is given of text."""
    for attribute in use.node.attributes.values():
        if attribute.type is ir.AttributeType.STRINGS:
            yield from attribute.as_strings()
    for index in range(len(use.node.inputs)):
        array = use.constant(index)
        if array is not None and array.dtype.kind in TEXT_KINDS:
            yield from as_text(array).reshape(-1).tolist()


def _fixed_sizes(use: _Use) -> Iterator[tuple[int, int]]:
    """Return (axis, size) for the data input of an operator with weights."""
    node, weight = use.node, use.shape(1)
    if use.slot != 0 or not weight:
        return
    if node.op_type == "BatchNormalization":
        yield from _known(1, weight[0])
    elif (layout := layout_of(node, len(weight))) is not None:
        yield from _known(layout.data, weight[layout.inputs], layout.input_groups)


def _known(axis: int, size: object, factor: int = 1) -> Iterator[tuple[int, int]]:
    if isinstance(size, int) and size > 0:
        yield axis, math.prod((size, factor))
