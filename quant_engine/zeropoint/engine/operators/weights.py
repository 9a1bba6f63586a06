"""How the weights of operators lie, and along which axes they have scales of their own."""

import math

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant
from zeropoint.engine.operators.rule import Layout

_MATRIX = 2  # dimensions
_LEAST_GAIN = 4.0  # 6 dB
_LEAST_ROW = 16  # elements; scales of shorter rows would take as much as they save


def conv(node: ir.Node, _rank: int) -> Layout:
    """Weights of Conv are [outputs, inputs of a group, ...]."""
    return Layout(0, 1, input_groups=node.attributes.get_int("group", 1))


def conv_transpose(node: ir.Node, _rank: int) -> Layout:
    """Weights of ConvTranspose are [inputs, outputs of a group, ...]."""
    groups = node.attributes.get_int("group", 1)
    return Layout(1, 0, output_groups=groups, single=groups == 1)


def gemm(node: ir.Node, _rank: int) -> Layout:
    """Weights of Gemm are [inputs, outputs], or transposed."""
    first, second = (bool(node.attributes.get_int(name, 0)) for name in ("transA", "transB"))
    return Layout(int(not second), int(second), data=int(not first), transposed=second)


def is_unscaled(node: ir.Node) -> bool:
    """Whether a Gemm has no factors of its own."""
    return all(node.attributes.get_float(name, 1.0) == 1.0 for name in ("alpha", "beta"))


def matmul(_node: ir.Node, rank: int) -> Layout | None:
    """Weights of MatMul are [inputs, outputs]; kernels take no scales for a stack of them."""
    return Layout(rank - 1, rank - 2, single=rank == _MATRIX, data=-1) if rank > 1 else None


def gates(_node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """Weights of LSTM and GRU are [directions, gates, inputs]."""
    if per_channel:
        return (0, 1)
    return (0,) if shape[0] > 1 else ()


def every_gate(_node: ir.Node, _shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """No kernel says how many scales there are: each gate has its own, which costs no time."""
    del per_channel
    return (0, 1)


def columns(_node: ir.Node, _shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """Weights of Attention are [inputs, query + key + value]."""
    return (1,) if per_channel else ()


def rows(_node: ir.Node, _shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """Tables of EmbedLayerNormalization are [rows, values]."""
    return (0,) if per_channel else ()


def picked(node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """Return the axis that a Gather picks from, or for a matrix the other where that pays.

    A few columns may be many times as large as the rest in every row. The expected squared error
    of rounding is that of an even spread, scale^2 / 12. With scales for rows it is small beside
    each row, whichever are picked: that is given up only for much less error.
    """
    axis = node.attributes.get_int("axis", 0) % len(shape)
    row = math.prod(shape) // max(1, shape[axis])
    table = constant(node.inputs[0])
    if not per_channel or row < _LEAST_ROW or table is None:
        return ()
    if len(shape) == _MATRIX and axis == 0:
        peaks = np.maximum(table.max(axis=1), -table.min(axis=1)).astype(np.float64)
        across = np.maximum(table.max(axis=0), -table.min(axis=0)).astype(np.float64)
        if _LEAST_GAIN * np.mean(across**2) < np.mean(peaks**2):
            return (1,)
    return (axis,)
