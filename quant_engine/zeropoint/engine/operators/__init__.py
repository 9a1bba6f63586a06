"""What is known about operators, by their names and by the constants that they read."""

from zeropoint.engine.operators.conditions import MASK, average_pool_refused
from zeropoint.engine.operators.pairs import (
    MOVERS,
    SHAPES,
    FakeQuant,
    dequantizer_of,
    fake_quants,
    fits_channels,
    is_stored,
    read_qparams,
    same_qparams,
)
from zeropoint.engine.operators.rule import OpRule, Role
from zeropoint.engine.operators.table import (
    OPERATORS,
    clamp_bounds,
    dynamic_op_types,
    rule_of,
    static_op_types,
    weight_only,
)
