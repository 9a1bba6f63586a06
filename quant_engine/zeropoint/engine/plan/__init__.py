"""Model and options -> what is done with each node and tensor, and why not."""

from zeropoint.engine.plan.already_quantized import existing_parameters
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.choice import Choice, resolve_nodes, resolve_op_types
from zeropoint.engine.plan.integer_flow import bias_add, only_consumer
from zeropoint.engine.plan.node_changes import NO_CHANGES, NodeChanges
from zeropoint.engine.plan.parameters import (
    Parameters,
    RangeChooser,
    derive_constants,
    derive_parameters,
    range_as_asked,
)
from zeropoint.engine.plan.planned_model import PlannedModel, plan_model
from zeropoint.engine.plan.planner import make_plan
from zeropoint.engine.plan.quant_plan import (
    ConstantInput,
    ConstantRole,
    Gated,
    InputKey,
    NodeQuant,
    QuantPlan,
    TensorQuant,
)
from zeropoint.engine.plan.stored_weights import fold_weights, unfold_weights
from zeropoint.engine.plan.sums import stored_too_long
from zeropoint.engine.plan.unseen import (
    narrow_plan,
    spare_tensors,
    unseen_tensor,
    with_inherited,
)
