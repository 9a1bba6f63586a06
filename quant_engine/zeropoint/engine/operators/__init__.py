"""What is known about operators, by their names and by the constants that they read."""

from zeropoint.engine.operators.conditions import MASK, average_pool_refused, clamp_bounds
from zeropoint.engine.operators.pairs import (
    FakeQuant,
    dequantizer_of,
    fake_quants,
    fits_channels,
    is_quantized,
    is_stored,
    quantized_values,
    read_qparams,
    same_qparams,
)
from zeropoint.engine.operators.rule import Layout, OpRule, Role
from zeropoint.engine.operators.table import (
    KERNEL_OPERATORS,
    OPERATORS,
    SELF_QUANTIZING,
    dynamic_op_types,
    has,
    is_clamp,
    is_layer,
    layout_of,
    operator_of,
    output_channels,
    rule_of,
    static_op_types,
    summed_axes,
)
from zeropoint.engine.operators.traits import Trait
from zeropoint.engine.operators.weight_only import weight_only
from zeropoint.engine.operators.weights import is_unscaled
