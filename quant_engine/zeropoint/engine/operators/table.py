"""What the engine knows about operators: one row an operator.

A new operator is a new row. Every operator without a row stays float.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant

MASK = 1e4
"""Magnitude from which a number stands for "not this one"."""

_DEFAULT = ("", "ai.onnx")
_LEAST_TABLE = 1024  # bytes; with smaller ones there is nothing to save
_MATRIX = 2  # dimensions
_LEAST_GAIN = 4.0  # 6 dB
_LEAST_ROW = 16  # elements; scales of shorter rows would take as much as they save


class Role(StrEnum):
    """What an operator means for quantization.

    COMPUTE nodes do the work on integer kernels and are what quantization is for. JOIN and SHARE
    nodes have integer forms that pay only where they keep integer kernels joined: JOIN nodes have
    output parameters of their own, SHARE nodes move or pick values and keep their input's. CLAMP
    nodes are absorbed where a quantized range already implies them. STORED nodes have constants
    that are stored as integers, and compute in float. FLOAT nodes run in float on ONNX Runtime
    and have Q/DQ pairs around them only where the user names them, for other runtimes.
    """

    COMPUTE = "compute"
    JOIN = "join"
    SHARE = "share"
    CLAMP = "clamp"
    STORED = "stored"
    FLOAT = "float"


class AxisRule(Protocol):
    """Tells the output-channel axis of a weight."""

    def __call__(self, node: ir.Node, rank: int, /) -> int | None:
        """Return the axis for a weight of `rank` dimensions; None where there is none."""


class ScaleRule(Protocol):
    """Tells along which axes a stored constant has scales of its own."""

    def __call__(
        self, node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool
    ) -> tuple[int, ...]:
        """Return the axes: none for one scale, one axis, or the first ones, taken as one."""


class Condition(Protocol):
    """Tells why a node of a known operator has no integer form."""

    def __call__(self, node: ir.Node, /) -> str | None:
        """Return the reason in words, or None where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRule:
    """How one operator is quantized.

    Attributes:
        role: What it means for quantization.
        activations: Inputs that carry data; None: all of them.
        weight: Input that may hold a constant weight.
        weight_axis: Its output-channel axis.
        bias: Input that holds the bias.
        stored: Inputs whose constants are stored as integers, for STORED.
        stored_axes: Axes of their scales.
        integer_output: Whether the integer kernel exists only with a quantized output.
        every_output: Whether it has several outputs, all of them data.
        fixed_output: Range (low, high) of the output, whatever the data.
        condition: Why a particular node has no integer form.
        dynamic: Whether there is a form for dynamic quantization.
        dynamic_data: Whether that form quantizes the first input as the model runs.
        min_opset: Opset from which the operator takes integers between Q/DQ pairs.
    """

    role: Role
    activations: tuple[int, ...] | None = (0,)
    weight: int | None = None
    weight_axis: AxisRule | None = None
    bias: int | None = None
    stored: tuple[int, ...] = ()
    stored_axes: ScaleRule | None = None
    integer_output: bool = True
    every_output: bool = False
    fixed_output: tuple[float, float] | None = None
    condition: Condition | None = None
    dynamic: bool = False
    dynamic_data: bool = True
    min_opset: int = 1

    def data_outputs(self, node: ir.Node) -> tuple[ir.Value, ...]:
        """Return the outputs of `node` that carry data."""
        if self.role is Role.FLOAT:
            return tuple(v for v in node.outputs[:1] if v.dtype is ir.DataType.FLOAT)
        if not self.every_output:
            return (node.outputs[0],)
        return tuple(value for value in node.outputs if value.name)

    def activation_inputs(self, node: ir.Node) -> tuple[int, ...]:
        """Return the indices of the inputs of `node` that carry data."""
        present = len(node.inputs)
        if self.role is Role.FLOAT:  # axes and indices are among the inputs of some
            wanted = range(present) if self.activations is None else self.activations
            return tuple(i for i in wanted if i < present and _is_float(node.inputs[i]))
        if self.activations is None:
            return tuple(i for i, value in enumerate(node.inputs) if value is not None)
        return tuple(i for i in self.activations if i < present and node.inputs[i] is not None)


def clamp_bounds(node: ir.Node) -> tuple[float, float]:
    """Return the least and the greatest value that a Relu or Clip lets through."""
    if node.op_type == "Relu":
        return 0.0, math.inf
    bounds = [-math.inf, math.inf]
    for position, attribute in enumerate(("min", "max")):
        if attribute in node.attributes:  # Clip before opset 11
            bounds[position] = node.attributes.get_float(attribute, bounds[position])
        elif len(node.inputs) > position + 1:
            array = constant(node.inputs[position + 1])
            if array is not None:
                bounds[position] = float(array)
    return bounds[0], bounds[1]


def _first_axis(_node: ir.Node, rank: int) -> int | None:
    return 0 if rank else None


def _matmul_axis(_node: ir.Node, rank: int) -> int | None:
    # Integer kernels take scales per column for a matrix, not for a stack of them.
    return 1 if rank == 2 else None


def _gemm_axis(node: ir.Node, _rank: int) -> int | None:
    return 0 if node.attributes.get_int("transB", 0) else 1


def _transposed_axis(node: ir.Node, _rank: int) -> int | None:
    # With groups the axis has the channels of one group, and the bias those of all.
    return 1 if node.attributes.get_int("group", 1) == 1 else None


def average_pool_refused(node: ir.Node) -> str | None:
    """Tell why ONNX Runtime's integer AveragePool would not do as a node does."""
    if node.attributes.get_int("ceil_mode", 0):
        return "ONNX Runtime's integer AveragePool has no ceil_mode"
    if any(step != 1 for step in node.attributes.get_ints("dilations", ())):
        return "ONNX Runtime's integer AveragePool has no dilations"
    return None


def _nearest(node: ir.Node) -> str | None:
    mode = node.attributes.get_string("mode", "nearest")
    return None if mode == "nearest" else f"Resize with mode={mode} mixes values"


def _plain_max_pool(node: ir.Node) -> str | None:
    return "MaxPool also returns indices" if len(node.outputs) > 1 else None


def _masks(node: ir.Node) -> str | None:
    """With the number that masks in its range, all other values would have one code."""
    for value in node.inputs[1:]:
        array = constant(value)
        if array is not None and array.size and float(np.abs(array).max()) >= MASK:
            return f"the constant {value.name if value else ''} masks: its range is that of no data"
    return None


def _constant_bounds(node: ir.Node) -> str | None:
    computed = [v for v in node.inputs[1:] if v is not None and constant(v) is None]
    return f"the bound {computed[0].name} is computed" if computed else None


def _time_major(node: ir.Node) -> str | None:
    if node.attributes.get_int("layout", 0):
        return f"ONNX Runtime has no {node.op_type} with layout=1"
    return None


def _gates(_node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """Weights of LSTM and GRU are [directions, gates, inputs]."""
    if per_channel:
        return (0, 1)
    return (0,) if shape[0] > 1 else ()


def _every_gate(
    _node: ir.Node,
    _shape: tuple[int, ...],
    /,
    *,
    per_channel: bool,
) -> tuple[int, ...]:
    """No kernel says how many scales there are: each gate has its own, which costs no time."""
    return (0, 1)


def _every_channel(
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


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is ir.DataType.FLOAT


def _is_table(value: ir.Value | None) -> bool:
    return _is_float(value) and constant(value) is not None


def _table_scales(
    node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool
) -> tuple[int, ...]:
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
        columns = np.maximum(table.max(axis=0), -table.min(axis=0)).astype(np.float64)
        if _LEAST_GAIN * np.mean(columns**2) < np.mean(peaks**2):
            return (1,)
    return (axis,)


def _worthless_table(node: ir.Node) -> str | None:
    table = node.inputs[0]
    array = constant(table)
    if table is None or array is None or array.nbytes < _LEAST_TABLE:
        return f"a table of less than {_LEAST_TABLE} bytes: there is nothing to save"
    others = [use.node for use in table.uses() if not _stores(use.node, use.idx)]
    if others or table.is_graph_output():
        reader = f"{others[0].op_type} {others[0].name!r}" if others else "the user"
        return f"the table {table.name} is needed as floats, too, by {reader}"
    return None


def _stores(node: ir.Node, index: int) -> bool:
    """Whether an input of a node is stored as integers where the node is quantized."""
    if node.op_type in TABLES:
        return index == 0
    rule = RULES.get(node.op_type)
    return rule is not None and index == rule.weight


_COMPUTE = {
    "Conv": OpRule(role=Role.COMPUTE, weight=1, weight_axis=_first_axis, bias=2, dynamic=True),
    "MatMul": OpRule(
        role=Role.COMPUTE,
        activations=(0, 1),
        weight=1,
        weight_axis=_matmul_axis,
        integer_output=False,
        dynamic=True,
    ),
    "Gemm": OpRule(
        role=Role.COMPUTE,
        activations=(0, 1),
        weight=1,
        weight_axis=_gemm_axis,
        bias=2,
        integer_output=False,
        dynamic=True,
    ),
}
_JOIN = {
    "Add": OpRule(role=Role.JOIN, activations=(0, 1)),
    "Mul": OpRule(role=Role.JOIN, activations=(0, 1)),
    "Concat": OpRule(role=Role.JOIN, activations=None),
    "AveragePool": OpRule(role=Role.JOIN, condition=average_pool_refused),
    "GlobalAveragePool": OpRule(role=Role.JOIN),
    "LeakyRelu": OpRule(role=Role.JOIN),
    "Sigmoid": OpRule(role=Role.JOIN, fixed_output=(0.0, 255.0 / 256.0)),
    "Softmax": OpRule(role=Role.JOIN, fixed_output=(0.0, 255.0 / 256.0)),
    "Where": OpRule(role=Role.JOIN, activations=(1, 2), condition=_masks),
}
_SHARE = {
    "MaxPool": OpRule(role=Role.SHARE, condition=_plain_max_pool, min_opset=12),
    "Reshape": OpRule(role=Role.SHARE),
    "Transpose": OpRule(role=Role.SHARE),
    "Squeeze": OpRule(role=Role.SHARE),
    "Unsqueeze": OpRule(role=Role.SHARE),
    "Flatten": OpRule(role=Role.SHARE),
    "Slice": OpRule(role=Role.SHARE),
    "Resize": OpRule(role=Role.SHARE, condition=_nearest, min_opset=11),
    "Gather": OpRule(role=Role.SHARE),
    "GatherElements": OpRule(role=Role.SHARE),
    "Split": OpRule(role=Role.SHARE, every_output=True),
    "DepthToSpace": OpRule(role=Role.SHARE),
    "Expand": OpRule(role=Role.SHARE),
    "Tile": OpRule(role=Role.SHARE),
    "Identity": OpRule(role=Role.SHARE),
    "ReduceMax": OpRule(role=Role.SHARE, min_opset=12),
    "ReduceMin": OpRule(role=Role.SHARE, min_opset=12),
}
_STORED = {
    "LSTM": OpRule(
        role=Role.STORED,
        activations=(),
        stored=(1, 2),
        stored_axes=_gates,
        condition=_time_major,
        dynamic=True,
    ),
    "GRU": OpRule(
        role=Role.STORED,
        activations=(),
        stored=(1, 2),
        stored_axes=_every_gate,
        condition=_time_major,
        dynamic=True,
        dynamic_data=False,
    ),
}
# What computes in float with a weight that is stored as integers, by the input that holds it.
_WEIGHT_ONLY = tuple(
    OpRule(
        role=Role.STORED,
        activations=(),
        stored=(index,),
        stored_axes=_every_channel,
        dynamic=True,
        dynamic_data=False,
    )
    for index in range(2)
)
# Rows of Gather on a constant of floats: embeddings.
TABLES = {
    "Gather": OpRule(
        role=Role.STORED,
        activations=(),
        stored=(0,),
        stored_axes=_table_scales,
        condition=_worthless_table,
        dynamic=True,
        dynamic_data=False,
    )
}
_CLAMP = {
    "Relu": OpRule(role=Role.CLAMP),
    "Clip": OpRule(role=Role.CLAMP, condition=_constant_bounds),
}

_PLAIN = OpRule(role=Role.FLOAT, activations=None)
_FIRST = OpRule(role=Role.FLOAT)
_NORM = OpRule(role=Role.FLOAT, weight=1, bias=2)
_NO_KERNEL = (
    "Abs ArgMax ArgMin Cos CumSum Div Einsum Elu Erf Exp Gelu GlobalMaxPool HardSigmoid "
    "HardSwish Log LogSoftmax LpNormalization Max Mean Min Mish Neg PRelu Reciprocal ReduceL2 "
    "ReduceMean ReduceSum Selu Sin Softplus SpaceToDepth Sqrt Sub Sum Tanh TopK"
)
_FLOAT = {
    **dict.fromkeys(_NO_KERNEL.split(), _PLAIN),
    # Their other inputs are constants that no rounding may move: an exponent of 2, a variance.
    "BatchNormalization": _FIRST,
    "Pad": _FIRST,
    "Pow": _FIRST,
    "InstanceNormalization": _NORM,
    "LayerNormalization": _NORM,
    "ConvTranspose": OpRule(
        role=Role.FLOAT, weight=1, weight_axis=_transposed_axis, bias=2, min_opset=10
    ),
}

RULES: dict[str, OpRule] = {**_COMPUTE, **_JOIN, **_SHARE, **_CLAMP, **_STORED, **_FLOAT}


def rule_of(node: ir.Node) -> OpRule | None:
    """Return the row of a node's operator; None where it has none."""
    table = TABLES.get(node.op_type)
    if table is not None and _is_table(node.inputs[0]):
        return table if node.domain in _DEFAULT else None
    return RULES.get(node.op_type) if node.domain in _DEFAULT else None


def weight_only(node: ir.Node) -> OpRule | None:
    """Return the row of a node that computes in float and has its weight stored as integers.

    None where there is nothing to store: no constant of 1 KiB or more that is multiplied.
    """
    rule = rule_of(node)
    if rule is None or rule.role is not Role.COMPUTE:
        return None
    for index, value in enumerate(node.inputs[:2]):
        array = constant(value)
        if _is_float(value) and array is not None and array.nbytes >= _LEAST_TABLE:
            return _WEIGHT_ONLY[index]
    return None
