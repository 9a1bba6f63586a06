"""What is known about operators, by their names and by the constants that they read."""

from zeropoint.engine.operators.contrib import dynamic_op_types, known_rule, static_op_types
from zeropoint.engine.operators.pairs import (
    MOVERS,
    SHAPES,
    FakeQuant,
    fake_quants,
    fits_channels,
    is_stored,
    read_qparams,
    same_qparams,
)
from zeropoint.engine.operators.reasons import MASKED, Kept
from zeropoint.engine.operators.table import (
    MASK,
    RULES,
    OpRule,
    Role,
    average_pool_refused,
    clamp_bounds,
    rule_of,
    weight_only,
)
