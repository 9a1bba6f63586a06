"""QDQ -> other forms of the same: each node with the pairs around it becomes one operator.

    units           a float node, the DequantizeLinears that it reads, the QuantizeLinear behind it
    qoperator       operators that take and give codes: QLinearConv, QLinearMatMul, ...
    integer_ops     operators that take codes and give int32, rescaled to floats behind them

A node without such a form stays as it is.
"""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import GraphEditor
from zeropoint.engine.options import QuantFormat
from zeropoint.engine.rewrite.integer_ops import lower_integer_ops
from zeropoint.engine.rewrite.qoperator import lower_qoperator

_FORMS: Mapping[QuantFormat, Callable[[GraphEditor], tuple[str, ...]]] = {
    QuantFormat.QOPERATOR: lower_qoperator,
    QuantFormat.INTEGER_OPS: lower_integer_ops,
}


def lower(model: ir.Model, form: QuantFormat, weights: WeightFile | None) -> tuple[str, ...]:
    """Write a model with Q/DQ pairs in another form, in place; QDQ leaves it as it is.

    Returns:
        Names of the nodes that read codes and have no such form.
    """
    write = _FORMS.get(form)
    return write(GraphEditor(model.graph, weights=weights)) if write is not None else ()
