"""What the engine knows about operators: one row an operator, by domain and name.

A new operator is a new row. Every operator without a row, or without a rule in it, stays float.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from zeropoint.engine.graph import constant
from zeropoint.engine.operators import conditions, weights
from zeropoint.engine.operators.rule import (
    LEAST_STORED,
    Layout,
    Operator,
    OpRule,
    Role,
    Variant,
    stored_rule,
)
from zeropoint.engine.operators.traits import Trait


def operator_of(node: ir.Node) -> Operator:
    """Return what is known of a node's operator: nothing, where it has no row."""
    return OPERATORS.get((node.domain, node.op_type), _UNKNOWN)


def rule_of(node: ir.Node) -> OpRule | None:
    """Return how a node is quantized; None where there is no way."""
    return operator_of(node).rule_of(node)


def has(node: ir.Node, traits: Trait) -> bool:
    """Whether a node's operator has one of some traits."""
    return bool(operator_of(node).traits & traits)


def layout_of(node: ir.Node, rank: int) -> Layout | None:
    """Return how the weight of a layer lies, which has `rank` axes.

    None for other nodes, or where it has no channels.
    """
    rule = rule_of(node)
    return rule.layout(node, rank) if rule is not None and rule.layout is not None else None


def output_channels(node: ir.Node, weight: Sequence[int]) -> int:
    """Return how many output channels a layer has, by the shape of its weight."""
    layout = layout_of(node, len(weight))
    assert layout is not None, node.name
    return int(weight[layout.outputs]) * layout.output_groups


def summed_axes(node: ir.Node, rank: int) -> tuple[int, ...]:
    """Return the axes of a layer's weight along which products are summed up."""
    layout = layout_of(node, rank)
    if layout is None:  # a vector
        return (0,)
    if has(node, Trait.CONVOLVES):
        return tuple(axis for axis in range(rank) if axis != layout.outputs)
    return (layout.inputs,)


def is_layer(node: ir.Node) -> bool:
    """Whether a node multiplies with a weight: what quantization is for."""
    rule = rule_of(node)
    return rule is not None and rule.layout is not None


def is_clamp(node: ir.Node) -> bool:
    """Whether a node is a Relu or Clip."""
    rule = rule_of(node)
    return rule is not None and rule.role is Role.CLAMP


def static_op_types() -> tuple[str, ...]:
    """Return the operator types that static quantization knows."""
    return tuple(sorted(op_type for (_, op_type), row in OPERATORS.items() if row.rules))


def dynamic_op_types() -> tuple[str, ...]:
    """Return the operator types that dynamic quantization knows."""
    return tuple(
        sorted(
            op_type
            for (_, op_type), row in OPERATORS.items()
            if any(rule.dynamic for rule in row.rules)
        )
    )


def _worthless_table(node: ir.Node) -> str | None:
    table = node.inputs[0]
    array = constant(table)
    if table is None or array is None or array.nbytes < LEAST_STORED:
        return f"a table of less than {LEAST_STORED} bytes: there is nothing to save"
    others = [use.node for use in table.uses() if not _stores(use.node, use.idx)]
    if others or table.is_graph_output():
        reader = f"{others[0].op_type} {others[0].name!r}" if others else "the user"
        return f"the table {table.name} is needed as floats, too, by {reader}"
    return None


def _stores(node: ir.Node, index: int) -> bool:
    """Whether an input of a node is stored as integers where the node is quantized."""
    rule = rule_of(node)
    return rule is not None and (index == rule.weight or index in rule.stored)


_CONV = OpRule(
    role=Role.COMPUTE,
    activations=(0, 1),
    weight=1,
    layout=weights.conv,
    bias=2,
    computed_weight_dynamic=False,
    dynamic=True,
)
_MATMUL = OpRule(
    role=Role.COMPUTE,
    activations=(0, 1),
    weight=1,
    layout=weights.matmul,
    integer_output=False,
    dynamic=True,
)
_GEMM = replace(_MATMUL, layout=weights.gemm, bias=2, computed_weight_dynamic=False)
_JOIN = OpRule(role=Role.JOIN)
_BINARY = OpRule(role=Role.JOIN, activations=(0, 1), float_ends=True)
_GATE = OpRule(role=Role.GATE, min_opset=14)
_SHARE = OpRule(role=Role.SHARE)
_SHARE_12 = OpRule(role=Role.SHARE, min_opset=12)
_FLOAT = OpRule(role=Role.FLOAT, activations=None)
# Their other inputs are constants that no rounding may move: an exponent of 2, a variance.
_FLOAT_FIRST = OpRule(role=Role.FLOAT)
_NORMALIZATION = OpRule(role=Role.FLOAT, weight=1, bias=2)
_CONV_TRANSPOSE = replace(_NORMALIZATION, layout=weights.conv_transpose, min_opset=10)
_TABLE = Variant(
    conditions.is_table, stored_rule(0, axes=weights.picked, condition=_worthless_table)
)
_ATTENTION = stored_rule(1, axes=weights.columns, condition=conditions.constant_matrix)
_PAIR = Operator(Trait.CONVERTS | Trait.PAIR)
_ONE = 1.0 + 1e-6  # a sum of rounded exponentials may be less than the greatest of them

# Operators that are alike in all share a row.
_ONNX: Mapping[str, Operator] = {
    # Integer kernels compute.
    "Conv": Operator(Trait.SPATIAL | Trait.CONVOLVES | Trait.WEIGHTED | Trait.TRAINED, _CONV),
    "Gemm": Operator(Trait.WEIGHTED | Trait.TRAINED, _GEMM),
    "MatMul": Operator(Trait.WEIGHTED | Trait.TRAINED, _MATMUL),
    # They join what these give.
    "Add Mul": Operator(Trait.ELEMENTWISE | Trait.TRAINED, _BINARY),
    "AveragePool": Operator(
        Trait.MEANS | Trait.SPATIAL | Trait.TRAINED,
        replace(_JOIN, condition=conditions.average_pool_refused),
    ),
    "Concat": Operator(
        Trait.JOINS | Trait.ALONG_AXIS | Trait.TRAINED, replace(_BINARY, activations=None)
    ),
    "GlobalAveragePool": Operator(Trait.MEANS | Trait.SPATIAL | Trait.TRAINED, _JOIN),
    "LeakyRelu": Operator(Trait.ELEMENTWISE, _JOIN),
    "Sigmoid": Operator(Trait.ELEMENTWISE, _JOIN, bounds=(0.0, _ONE)),
    "Softmax": Operator(Trait.ALONG_AXIS, _JOIN, bounds=(0.0, _ONE), axis=-1),
    "Where": Operator(
        Trait.ELEMENTWISE, replace(_JOIN, activations=(1, 2), condition=conditions.masks)
    ),
    "HardSwish": Operator(Trait.ELEMENTWISE, _GATE),
    # They move or pick values, and keep the parameters.
    "DepthToSpace": Operator(Trait.PERMUTES | Trait.CODES | Trait.SPATIAL, _SHARE),
    "Expand Tile": Operator(Trait.REPEATS | Trait.CODES | Trait.SIZED, _SHARE),
    "Flatten": Operator(Trait.RESHAPES | Trait.CODES, _SHARE),
    "Gather": Operator(Trait.REPEATS | Trait.CODES, _SHARE, _TABLE),
    "GatherElements": Operator(Trait.REPEATS | Trait.CODES, _SHARE),
    "Identity": Operator(Trait.RESHAPES | Trait.CODES | Trait.ELEMENTWISE, _SHARE),
    "MaxPool": Operator(
        Trait.SELECTS | Trait.CODES | Trait.SPATIAL,
        replace(_SHARE_12, condition=conditions.plain_max_pool),
    ),
    "ReduceMax ReduceMin": Operator(Trait.SELECTS | Trait.CODES | Trait.ALONG_AXES, _SHARE_12),
    "Reshape": Operator(Trait.RESHAPES | Trait.CODES | Trait.SIZED, _SHARE),
    "Resize": Operator(
        Trait.SIZED, OpRule(role=Role.SHARE, condition=conditions.nearest, min_opset=11)
    ),
    "Slice": Operator(Trait.PICKS | Trait.CODES | Trait.ALONG_AXES, _SHARE),
    "Split": Operator(
        Trait.PICKS | Trait.CODES | Trait.ALONG_AXIS, replace(_SHARE, every_output=True), axis=0
    ),
    "Squeeze Unsqueeze": Operator(Trait.RESHAPES | Trait.CODES | Trait.ALONG_AXES, _SHARE),
    "Transpose": Operator(Trait.PERMUTES | Trait.CODES, _SHARE),
    # They are left out where the range of what is quantized implies them.
    "Clip": Operator(
        Trait.ELEMENTWISE, OpRule(role=Role.CLAMP, condition=conditions.constant_bounds)
    ),
    "Relu": Operator(Trait.ELEMENTWISE, OpRule(role=Role.CLAMP)),
    # Their weights are stored as integers.
    "GRU": Operator(
        Trait.WEIGHTED | Trait.TRAINED,
        stored_rule(1, 2, axes=weights.every_gate, condition=conditions.time_major),
    ),
    "LSTM": Operator(
        Trait.WEIGHTED | Trait.TRAINED,
        stored_rule(1, 2, axes=weights.gates, condition=conditions.time_major, dynamic_data=True),
    ),
    "RNN": Operator(
        Trait.WEIGHTED, stored_rule(1, 2, axes=weights.every_gate, condition=conditions.time_major)
    ),
    # ONNX Runtime has no integer kernels of these; other runtimes have.
    "Abs Cos Div Elu Erf Exp Gelu Log Max Mean Min Mish Neg PRelu Reciprocal Selu Sin "
    "Softplus Sqrt Sub Sum": Operator(Trait.ELEMENTWISE, _FLOAT),
    "ArgMax ArgMin": Operator(Trait.CHOOSES | Trait.ALONG_AXIS, _FLOAT, axis=0),
    "BatchNormalization": Operator(Trait.SPATIAL | Trait.WEIGHTED, _FLOAT_FIRST),
    "ConvTranspose": Operator(
        Trait.SPATIAL | Trait.CONVOLVES | Trait.WEIGHTED | Trait.TRAINED, _CONV_TRANSPOSE
    ),
    "CumSum Einsum LpNormalization": Operator(rule=_FLOAT),
    "GlobalMaxPool": Operator(Trait.SELECTS | Trait.SPATIAL, _FLOAT),
    "HardSigmoid": Operator(Trait.ELEMENTWISE, _FLOAT, bounds=(0.0, 1.0)),
    "InstanceNormalization": Operator(Trait.SPATIAL | Trait.WEIGHTED, _NORMALIZATION),
    "LayerNormalization": Operator(Trait.ALONG_AXIS | Trait.WEIGHTED, _NORMALIZATION, axis=-1),
    "LogSoftmax": Operator(Trait.ALONG_AXIS, _FLOAT, axis=-1),
    "Pad": Operator(Trait.SIZED, _FLOAT_FIRST),
    "Pow": Operator(Trait.ELEMENTWISE, _FLOAT_FIRST),
    "ReduceL2 ReduceSum": Operator(Trait.ALONG_AXES, _FLOAT),
    "ReduceMean": Operator(Trait.MEANS | Trait.ALONG_AXES, _FLOAT),
    "SpaceToDepth": Operator(Trait.PERMUTES | Trait.CODES | Trait.SPATIAL, _FLOAT),
    "TopK": Operator(Trait.CHOOSES | Trait.ALONG_AXIS, _FLOAT, axis=-1),
    "Tanh": Operator(Trait.ELEMENTWISE, _FLOAT, bounds=(-_ONE, _ONE)),
    # They are not quantized.
    "Acos Acosh And Asin Asinh Atan Atanh BitShift Cast CastLike Ceil Celu Cosh Dropout Equal "
    "Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Mod Not Or Round Shrink Sign Sinh "
    "Softsign Swish Tan ThresholdedRelu Xor": Operator(Trait.ELEMENTWISE),
    "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike": Operator(
        Trait.RANDOM
    ),
    "DequantizeLinear QuantizeLinear": _PAIR,
    "DynamicQuantizeLinear": Operator(Trait.CONVERTS),
    "GlobalLpPool LRN LpPool": Operator(Trait.SPATIAL),
    "GroupNormalization": Operator(Trait.SPATIAL | Trait.WEIGHTED),
    "Hardmax": Operator(Trait.CHOOSES | Trait.ALONG_AXIS, axis=-1),
    "RMSNormalization": Operator(Trait.ALONG_AXIS | Trait.WEIGHTED, axis=-1),
    "ReduceL1 ReduceLogSum ReduceLogSumExp ReduceProd ReduceSumSquare": Operator(Trait.ALONG_AXES),
    "Upsample": Operator(Trait.SIZED),
}
# Above all what ONNX Runtime's optimizers make of whole blocks of nodes.
_CONTRIB: Mapping[str, Operator] = {
    "Attention": Operator(
        Trait.WEIGHTED,
        replace(_ATTENTION, dynamic_data=True),
        Variant(conditions.is_no_qattention, _ATTENTION),
    ),
    "DequantizeLinear QuantizeLinear": _PAIR,
    "EmbedLayerNormalization": Operator(rule=stored_rule(2, 3, axes=weights.rows)),
}

_UNKNOWN = Operator()
OPERATORS: Mapping[tuple[str, str], Operator] = {
    (domain, op_type): row
    for domain, rows in (("", _ONNX), ("com.microsoft", _CONTRIB))
    for op_types, row in rows.items()
    for op_type in op_types.split()
}
"""The table: what is known of operators, by domain and operator type."""

KERNEL_OPERATORS = frozenset(
    key for key, row in OPERATORS.items() if any(rule.layout is not None for rule in row.rules)
)
"""Domain and type of the operators that have integer kernels for quantized data."""

SELF_QUANTIZING = frozenset(
    key
    for key, row in OPERATORS.items()
    if any(rule.role is Role.STORED and rule.dynamic_data for rule in row.rules)
)
"""Those of which integer kernels quantize their data themselves."""
