"""Every tensor that any plan for a model may want the range of, whatever the options."""

from collections.abc import Iterator

import onnx_ir as ir

from zeropoint.engine.bodies import Bodies
from zeropoint.engine.ops import Role, constant, rule_of


def observable_tensors(model: ir.Model, bodies: Bodies) -> tuple[str, ...]:
    """Return the names of the tensors to observe for options that are not known yet; graph order.

    Without those that only operators need which are never quantized unless the user names them.
    These are the computed float32 inputs and the outputs of every node whose operator has a row in
    the table. What one plan leaves out another needs: the tensor between a convolution and its
    Relu once the Relu is excluded; the output of a Reshape, which else inherits its range, once
    the Reshape is excluded and the next node is not.
    """
    values = (value for node in model.graph.all_nodes() for value in _values(node))
    seen = (value for value in values if _is_observable(value) and bodies.hides(value) is None)
    return tuple(dict.fromkeys(value.name or "" for value in seen))


def _values(node: ir.Node) -> Iterator[ir.Value]:
    rule = rule_of(node)
    if rule is None or rule.role in (Role.STORED, Role.FLOAT):
        return
    for index in rule.activation_inputs(node):
        value = node.inputs[index]
        if value is not None:
            yield value
    yield from rule.data_outputs(node)


def _is_observable(value: ir.Value) -> bool:
    # An input with a default value need not be among those of a batch.
    fed = not (value.is_graph_input() and value.is_initializer())
    return value.dtype is ir.DataType.FLOAT and constant(value) is None and fed
