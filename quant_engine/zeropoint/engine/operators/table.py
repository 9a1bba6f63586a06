"""What the engine knows about operators: one row an operator, by domain and name.

A new operator is a new row. Every operator without a row stays float.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from zeropoint.engine.graph import constant
from zeropoint.engine.operators import conditions, scales
from zeropoint.engine.operators.rule import (
    Condition,
    Operator,
    OpRule,
    Role,
    ScaleRule,
    Variant,
    is_float,
)

_LEAST_TABLE = 1024  # bytes; with smaller ones there is nothing to save


def rule_of(node: ir.Node) -> OpRule | None:
    """Return how a node is quantized; None where nothing is known of its operator."""
    row = OPERATORS.get((node.domain, node.op_type))
    return None if row is None else row.rule_of(node)


def static_op_types() -> tuple[str, ...]:
    """Return the operator types that static quantization knows."""
    return tuple(sorted({op_type for _, op_type in OPERATORS}))


def dynamic_op_types() -> tuple[str, ...]:
    """Return the operator types that dynamic quantization knows."""
    return tuple(
        sorted(
            op_type
            for (_, op_type), row in OPERATORS.items()
            if any(rule.dynamic for rule in row.rules)
        )
    )


def weight_only(node: ir.Node) -> OpRule | None:
    """Return the row of a node that computes in float and has its weight stored as integers.

    None where there is nothing to store: no constant of 1 KiB or more that is multiplied.
    """
    rule = rule_of(node)
    if rule is None or rule.role is not Role.COMPUTE:
        return None
    for index, value in enumerate(node.inputs[:2]):
        array = constant(value)
        if is_float(value) and array is not None and array.nbytes >= _LEAST_TABLE:
            return _WEIGHT_ONLY[index]
    return None


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
    rule = rule_of(node)
    return rule is not None and (index == rule.weight or index in rule.stored)


def _stored(
    *stored: int, axes: ScaleRule, condition: Condition | None = None, dynamic_data: bool = False
) -> OpRule:
    """Return the rule of an operator that computes with floats, with its constants as integers."""
    return OpRule(
        role=Role.STORED,
        activations=(),
        stored=stored,
        stored_axes=axes,
        condition=condition,
        dynamic=True,
        dynamic_data=dynamic_data,
    )


# What has integer kernels and a computed weight, by the input that can be stored nevertheless.
_WEIGHT_ONLY = tuple(_stored(index, axes=scales.every_channel) for index in range(2))

_COMPUTE = OpRule(
    role=Role.COMPUTE,
    weight=1,
    weight_axis=scales.first_axis,
    bias=2,
    computed_weight=False,
    computed_weight_dynamic=False,
    dynamic=True,
)
_PRODUCT = OpRule(
    role=Role.COMPUTE,
    activations=(0, 1),
    weight=1,
    weight_axis=scales.matmul_axis,
    integer_output=False,
    dynamic=True,
)
_JOIN = OpRule(role=Role.JOIN)
_BINARY = OpRule(role=Role.JOIN, activations=(0, 1))
_PROBABILITY = OpRule(role=Role.JOIN, fixed_output=(0.0, 255.0 / 256.0))
_SHARE = OpRule(role=Role.SHARE)
_SHARE_12 = OpRule(role=Role.SHARE, min_opset=12)
_FLOAT = OpRule(role=Role.FLOAT, activations=None)
# Their other inputs are constants that no rounding may move: an exponent of 2, a variance.
_FLOAT_FIRST = OpRule(role=Role.FLOAT)
_NORMALIZATION = OpRule(role=Role.FLOAT, weight=1, bias=2)

_ONNX: dict[str, Operator] = {
    "Add": Operator(_BINARY),
    "AveragePool": Operator(replace(_JOIN, condition=conditions.average_pool_refused)),
    "BatchNormalization": Operator(_FLOAT_FIRST),
    "Clip": Operator(OpRule(role=Role.CLAMP, condition=conditions.constant_bounds)),
    "Concat": Operator(replace(_JOIN, activations=None)),
    "Conv": Operator(_COMPUTE),
    "ConvTranspose": Operator(
        replace(_NORMALIZATION, weight_axis=scales.transposed_axis, min_opset=10)
    ),
    "DepthToSpace": Operator(_SHARE),
    "Expand": Operator(_SHARE),
    "Flatten": Operator(_SHARE),
    "GRU": Operator(_stored(1, 2, axes=scales.every_gate, condition=conditions.time_major)),
    "Gather": Operator(
        _SHARE,
        Variant(conditions.is_table, _stored(0, axes=scales.picked, condition=_worthless_table)),
    ),
    "GatherElements": Operator(_SHARE),
    "Gemm": Operator(
        replace(_PRODUCT, weight_axis=scales.gemm_axis, bias=2, computed_weight_dynamic=False)
    ),
    "GlobalAveragePool": Operator(_JOIN),
    "Identity": Operator(_SHARE),
    "InstanceNormalization": Operator(_NORMALIZATION),
    "LSTM": Operator(
        _stored(1, 2, axes=scales.gates, condition=conditions.time_major, dynamic_data=True)
    ),
    "LayerNormalization": Operator(_NORMALIZATION),
    "LeakyRelu": Operator(_JOIN),
    "MatMul": Operator(_PRODUCT),
    "MaxPool": Operator(replace(_SHARE_12, condition=conditions.plain_max_pool)),
    "Mul": Operator(_BINARY),
    "Pad": Operator(_FLOAT_FIRST),
    "Pow": Operator(_FLOAT_FIRST),
    "ReduceMax": Operator(_SHARE_12),
    "ReduceMin": Operator(_SHARE_12),
    "Relu": Operator(OpRule(role=Role.CLAMP)),
    "Reshape": Operator(_SHARE),
    "Resize": Operator(OpRule(role=Role.SHARE, condition=conditions.nearest, min_opset=11)),
    "Sigmoid": Operator(_PROBABILITY),
    "Slice": Operator(_SHARE),
    "Softmax": Operator(_PROBABILITY),
    "Split": Operator(replace(_SHARE, every_output=True)),
    "Squeeze": Operator(_SHARE),
    "Tile": Operator(_SHARE),
    "Transpose": Operator(_SHARE),
    "Unsqueeze": Operator(_SHARE),
    "Where": Operator(replace(_JOIN, activations=(1, 2), condition=conditions.masks)),
}
_NO_KERNEL = (
    "Abs ArgMax ArgMin Cos CumSum Div Einsum Elu Erf Exp Gelu GlobalMaxPool HardSigmoid "
    "HardSwish Log LogSoftmax LpNormalization Max Mean Min Mish Neg PRelu Reciprocal ReduceL2 "
    "ReduceMean ReduceSum Selu Sin Softplus SpaceToDepth Sqrt Sub Sum Tanh TopK"
)
# Of com.microsoft: what ONNX Runtime's optimizers make of whole blocks of nodes.
_CONTRIB: dict[str, Operator] = {
    "Attention": Operator(
        _stored(1, axes=scales.columns, condition=conditions.constant_matrix, dynamic_data=True),
        Variant(
            conditions.is_no_qattention,
            _stored(1, axes=scales.columns, condition=conditions.constant_matrix),
        ),
    ),
    "EmbedLayerNormalization": Operator(_stored(2, 3, axes=scales.rows)),
}

OPERATORS: Mapping[tuple[str, str], Operator] = {
    **{("", op_type): row for op_type, row in _ONNX.items()},
    **{("", op_type): Operator(_FLOAT) for op_type in _NO_KERNEL.split()},
    **{("com.microsoft", op_type): row for op_type, row in _CONTRIB.items()},
}
"""The table: what is known of operators, by domain and operator type."""
