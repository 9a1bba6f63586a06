"""What a Loop carries along without changing it, read from around the Loop instead.

Exporters of recurrent layers carry the weights from turn to turn. Read as values of an outer graph
they are constants in the body, and are stored once.
"""

import onnx_ir as ir

from zeropoint.engine.graph import add_origins, graph_of, origins, remove_unused

_FIRST_STATE = 2  # behind the trip count and the condition; of outputs of the body, behind one


def free_invariants(model: ir.Model) -> None:
    """Take what does not change out of the states of every Loop, in place."""
    found = [node for node in model.graph.all_nodes() if node.op_type == "Loop" and not node.domain]
    changed = [_free(node) for node in found]
    if any(changed):
        remove_unused(model.graph)


def _free(node: ir.Node) -> bool:
    body = node.attributes["body"].as_graph()
    states = range(len(node.inputs) - _FIRST_STATE)
    free = [index for index in states if _is_invariant(node, body, index)]
    if not free:
        return False
    for index in reversed(free):
        outer = node.inputs[_FIRST_STATE + index]
        assert outer is not None, node.name
        body.outputs.pop(1 + index)
        body.inputs[_FIRST_STATE + index].replace_all_uses_with(outer)
        body.inputs.pop(_FIRST_STATE + index)
        node.outputs[index].replace_all_uses_with(outer)
    _rebuild(node, set(free))
    return True


def _is_invariant(node: ir.Node, body: ir.Graph, index: int) -> bool:
    value, source = body.outputs[1 + index], body.inputs[_FIRST_STATE + index]
    if node.inputs[_FIRST_STATE + index] is None or node.outputs[index].is_graph_output():
        return False
    given = [at for at, output in enumerate(body.outputs) if output is source]
    if given not in ([], [1 + index]):  # it stands for something else, too
        return False
    while value is not source:
        producer = value.producer()
        if producer is None or producer.op_type != "Identity" or producer.inputs[0] is None:
            return False
        if producer.graph is not body:
            return False
        value = producer.inputs[0]
    return True


def _rebuild(node: ir.Node, free: set[int]) -> None:
    """Replace a Loop by one without some of its states."""
    inputs = [v for i, v in enumerate(node.inputs) if i - _FIRST_STATE not in free]
    kept = [value for index, value in enumerate(node.outputs) if index not in free]
    attributes = list(node.attributes.values())
    new = ir.Node("", "Loop", inputs, attributes, num_outputs=len(kept), name=node.name)
    add_origins(new, origins(node))
    ir.convenience.replace_nodes_and_values(
        graph_of(node), node, (node,), (new,), kept, new.outputs
    )
