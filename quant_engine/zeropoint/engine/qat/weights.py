"""Stored integers, read through a DequantizeLinear that stands where the floats are used.

    codes -> DequantizeLinear -> Transpose -> MatMul
    becomes
    Transpose(codes) -> DequantizeLinear -> MatMul

Moving elements and dequantizing each commute exactly.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import (
    GraphEditor,
    add_origins,
    constant,
    input_at,
    name_of,
    origins,
    set_input,
    value_at,
)
from zeropoint.engine.number_types import INT4, INT8, UINT4, UINT8
from zeropoint.engine.operators import Trait, has, is_layer, read_qparams

_WIDENED = {INT4.element_type: INT8, UINT4.element_type: UINT8}


def settle_parameters(editor: GraphEditor) -> None:
    """Write all parameters out, each single one as a scalar: not all operators take less.

    Weights of 4 bits become 8 bits with the same values where an operator could then compute on
    integers.
    """
    scalars: dict[ir.Value, ir.Value] = {}
    for node in tuple(editor.graph.all_nodes()):
        if node.op_type not in ("DequantizeLinear", "QuantizeLinear") or _is_blocked(node):
            continue
        _add_zero_point(editor, node)
        for index, value in enumerate(node.inputs[1:3], start=1):
            array = constant(value)
            if value is None or array is None or array.size != 1 or not array.ndim:
                continue
            if value not in scalars:
                scalars[value] = editor.constant(name_of(value), array.reshape(()))
            node.replace_input_with(index, scalars[value])
        _widen_nibbles(editor, node)


def _add_zero_point(editor: GraphEditor, node: ir.Node) -> None:
    """Write the zero point that is left out: zero, of the type that is then meant."""
    scale = constant(node.inputs[1])
    given = input_at(node, 2)
    qparams = read_qparams(node) if given is None else None
    if scale is None or qparams is None:
        return
    zero_point = np.zeros(scale.shape, qparams.dtype)
    name = name_of(value_at(node, 1))
    set_input(node, 2, editor.constant(f"{name}_zero_point", zero_point))


def _widen_nibbles(editor: GraphEditor, node: ir.Node) -> None:
    codes = node.inputs[0]
    if codes is None or codes.dtype not in _WIDENED or node.op_type != "DequantizeLinear":
        return
    readers = (reader for reader, _ in node.outputs[0].uses())
    array, zeros = constant(codes), constant(node.inputs[2])
    if array is None or zeros is None:
        return
    if not all(is_layer(reader) or has(reader, Trait.MOVES) for reader in readers):
        return
    wide = _WIDENED[codes.dtype].dtype
    node.replace_input_with(0, editor.constant(f"{codes.name}_wide", array.astype(wide)))
    name = name_of(value_at(node, 1))
    node.replace_input_with(2, editor.constant(f"{name}_zero_point", zeros.astype(wide)))


def push_dequantizers(editor: GraphEditor) -> bool:
    """Move each DequantizeLinear of a constant behind the operators that only move elements.

    The operators then have constant inputs and can be computed. A table that a Gather picks rows
    from is picked from as integers.

    Returns:
        Whether anything moved.
    """
    pending = [
        node
        for node in editor.graph.all_nodes()
        if node.op_type == "DequantizeLinear" and constant(node.inputs[0]) is not None
    ]
    moved = False
    while pending:
        node = pending.pop()
        for reader, index in tuple(node.outputs[0].uses()):
            if index == 0 and (new := _push(editor, node, reader)) is not None:
                moved = True
                pending.append(new)
    return moved


def _push(editor: GraphEditor, dequantize: ir.Node, mover: ir.Node) -> ir.Node | None:
    """Swap both, for this reader; return the new DequantizeLinear."""
    output = mover.outputs[0]
    if mover.domain or output.is_graph_output() or _is_blocked(dequantize):
        return None
    axis = _axis_behind(dequantize, mover)
    if axis is None:
        return None
    mover.replace_input_with(0, value_at(dequantize, 0))
    codes = value_at(dequantize, 0)
    new = editor.node(
        "DequantizeLinear",
        (output, *dequantize.inputs[1:]),
        name_of(output),
        like=output,
        attributes={"axis": None if axis == _NO_AXIS else axis},
    )
    new.domain = dequantize.domain
    output.type = codes.type
    editor.put_behind(output, new)
    add_origins(new, origins(dequantize))
    return new


def _is_blocked(dequantize: ir.Node) -> bool:
    return dequantize.attributes.get_int("block_size", 0) != 0


_NO_AXIS = -1


def _axis_behind(dequantize: ir.Node, mover: ir.Node) -> int | None:
    """Return the axis of the channels behind a mover; `_NO_AXIS` for one scale, None: not known."""
    scale = constant(dequantize.inputs[1])
    if scale is None:
        return None
    if mover.op_type == "Gather":
        return _NO_AXIS if scale.size == 1 and constant(mover.inputs[1]) is None else None
    if not has(mover, Trait.MOVES):
        return None
    if scale.size == 1:
        return _NO_AXIS
    if has(mover, Trait.PERMUTES) and mover.op_type != "Transpose":
        return None
    before, after = value_at(dequantize, 0).shape, mover.outputs[0].shape
    if before is None or after is None or not (before.is_static() and after.is_static()):
        return None
    axis = dequantize.attributes.get_int("axis", 1) % len(before)
    if mover.op_type == "Transpose":
        rank = len(before)
        order = mover.attributes.get_ints("perm", tuple(range(rank))[::-1])
        return list(order).index(axis)
    return _same_axis(before.numpy(), axis, after.numpy())


def _same_axis(before: Sequence[int], axis: int, after: Sequence[int]) -> int | None:
    """Return where an axis is after a change of shape that keeps it apart from the others."""
    for candidate, size in enumerate(after):
        leading = math.prod(after[:candidate]) == math.prod(before[:axis])
        if size == before[axis] and leading:
            return candidate
    return None
