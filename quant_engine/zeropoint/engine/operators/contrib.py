"""Operators of com.microsoft, which ONNX Runtime's optimizers make of whole blocks of nodes.

Attention                  weights of query, key and value as integers; in dynamic quantization
QAttention, which computes with them
EmbedLayerNormalization    tables of words and positions as integers
"""

import onnx_ir as ir

from zeropoint.engine.graph import constant
from zeropoint.engine.operators.table import RULES, TABLES, OpRule, Role, rule_of

_DOMAIN = "com.microsoft"
_BIAS, _LAST = 2, 4  # inputs of Attention that QAttention takes, too: up to the past
_QATTENTION = frozenset({"do_rotary", "mask_filter_value", "num_heads", "scale", "unidirectional"})


def _columns(_node: ir.Node, _shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """Weights of Attention are [inputs, query + key + value]."""
    return (1,) if per_channel else ()


def _rows(_node: ir.Node, _shape: tuple[int, ...], /, *, per_channel: bool) -> tuple[int, ...]:
    """Tables of embeddings are [rows, values]."""
    return (0,) if per_channel else ()


def _no_weight(node: ir.Node) -> str | None:
    array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return None if array is not None and array.ndim == 2 else "its weights are no constant matrix"


_STORED_ATTENTION = OpRule(
    role=Role.STORED,
    activations=(),
    stored=(1,),
    stored_axes=_columns,
    condition=_no_weight,
    dynamic=True,
    dynamic_data=False,
)
_ATTENTION = OpRule(
    role=Role.STORED,
    activations=(),
    stored=(1,),
    stored_axes=_columns,
    condition=_no_weight,
    dynamic=True,
)
CONTRIB = {
    "Attention": _ATTENTION,
    "EmbedLayerNormalization": OpRule(
        role=Role.STORED,
        activations=(),
        stored=(2, 3),
        stored_axes=_rows,
        dynamic=True,
        dynamic_data=False,
    ),
}


def known_rule(node: ir.Node) -> OpRule | None:
    """Return the row of a node's operator, those of com.microsoft included."""
    if node.domain != _DOMAIN:
        return rule_of(node)
    if node.op_type == "Attention" and not _has_integer_form(node):
        return _STORED_ATTENTION
    return CONTRIB.get(node.op_type)


def static_op_types() -> tuple[str, ...]:
    """Return the operator types that static quantization knows."""
    return tuple(sorted(RULES | TABLES | CONTRIB))


def dynamic_op_types() -> tuple[str, ...]:
    """Return the operator types that dynamic quantization knows."""
    rules = RULES | TABLES | CONTRIB
    return tuple(sorted(name for name, rule in rules.items() if rule.dynamic))


def _has_integer_form(node: ir.Node) -> bool:
    """Whether QAttention takes all that an Attention has."""
    bias = node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
    further = any(value is not None for value in node.inputs[_LAST + 1 :])
    return bias is not None and not further and set(node.attributes) <= _QATTENTION
