"""What can be done otherwise with a node: that has an effect, and leaves it in integer kernels."""

import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.operators import Role, Trait, has, rule_of, weight_only
from zeropoint.engine.options import QatOptions, StaticOptions
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.prepare import NEWEST_QDQ

_DYNAMIC_OPSET = 11  # of DynamicQuantizeLinear


def can_have_channels(planned: PlannedModel, node: ir.Node) -> bool:
    """Whether the weight of a node has one scale and could have one for each output channel."""
    quant, rule = planned.plan.nodes.get(name_of(node)), rule_of(node)
    where = quant.weight if quant is not None else None
    if where is None or rule is None or isinstance(planned.options, QatOptions):
        return False
    if where.axis is not None or where.override is not None or where.kept is not None:
        return False
    array = constant(input_at(node, where.index))
    asymmetric = planned.options.weight.symmetric is False
    if array is None or asymmetric:
        return False
    axes = rule.scale_axes(node, array.shape, per_channel=True)
    return any(array.shape[axis] > 1 for axis in axes)


def can_store_weight(planned: PlannedModel, node: ir.Node) -> bool:
    """Whether a node of the plan could compute in float with its weight stored as integers."""
    quant = planned.plan.nodes.get(name_of(node))
    where = quant.weight if quant is not None else None
    return where is not None and where.kept is None and weight_only(node) is not None


def can_give_floats(planned: PlannedModel, node: ir.Node) -> bool:
    """Whether a node has an integer kernel that gives floats, and its output is quantized.

    Kernels of products do; what they give is quantized where a Relu or Clip follows. A node behind
    that reads codes quantizes it nevertheless, for itself.
    """
    quant, rule = planned.plan.nodes.get(name_of(node)), rule_of(node)
    if quant is None or quant.output is None or rule is None:
        return False
    return rule.role is Role.COMPUTE and not rule.integer_output


def gives_to_floats(planned: PlannedModel, node: ir.Node) -> bool:
    """Whether a node that can give floats gives them to one that reads floats, or to the user."""
    if not can_give_floats(planned, node):
        return False
    name = planned.plan.nodes[name_of(node)].output
    values = (value for each in planned.graph.all_nodes() for value in each.outputs)
    result = next(value for value in values if value.name == name)
    readers = (planned.plan.nodes.get(name_of(use.node)) for use in result.uses())
    return result.is_graph_output() or any(
        reader is None or name not in reader.tensors for reader in readers
    )


def can_run_dynamically(planned: PlannedModel, node: ir.Node) -> bool:
    """Whether what a product of a static plan reads can be quantized as the model runs.

    That is of use where floats are read: what an integer kernel gives has a fixed range already.
    """
    rule = rule_of(node)
    if not isinstance(planned.options, StaticOptions) or rule is None or not rule.dynamic:
        return False
    if rule.role is not Role.COMPUTE or has(node, Trait.CONVOLVES):
        return False
    weight = constant(input_at(node, 1))
    if constant(input_at(node, 0)) is not None:
        return False
    if weight is None and rule.needs_constant_weight(dynamic=True):
        return False
    return _DYNAMIC_OPSET <= planned.prepared.opset <= NEWEST_QDQ
