"""Along which axes the weights of operators have scales of their own."""

import math

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant

_MATRIX = 2  # dimensions
_LEAST_GAIN = 4.0  # 6 dB
_LEAST_ROW = 16  # elements; scales of shorter rows would take as much as they save


def first_axis(_node: ir.Node, rank: int) -> int | None:
    """Return that of a Conv."""
    return 0 if rank else None


def matmul_axis(_node: ir.Node, rank: int) -> int | None:
    """Return that of a MatMul: kernels take scales per column for a matrix, not for a stack."""
    return 1 if rank == _MATRIX else None


def gemm_axis(node: ir.Node, _rank: int) -> int | None:
    """Return that of a Gemm."""
    return 0 if node.attributes.get_int("transB", 0) else 1


def transposed_axis(node: ir.Node, _rank: int) -> int | None:
    """Return that of a ConvTranspose.

    With groups the axis has the channels of one group, and the bias those of all.
    """
    return 1 if node.attributes.get_int("group", 1) == 1 else None


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


def every_channel(
    node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool
) -> tuple[int, ...]:
    """No kernel says how many scales there are: each output channel has its own."""
    del per_channel
    if node.op_type == "Conv":
        return (0,)
    rank, first = len(shape), constant(node.inputs[1]) is None
    if node.op_type == "Gemm":
        transposed = bool(node.attributes.get_int("transA" if first else "transB", 0))
        return (int(first == transposed),)
    return (rank - 1 - int(first),) if rank > 1 else ()


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
