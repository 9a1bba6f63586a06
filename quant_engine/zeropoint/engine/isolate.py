"""A plan with its parameters -> what to fake-quantize in each node's twin."""

import onnx_ir as ir

from zeropoint.engine.parameters import Parameters
from zeropoint.engine.plan import NodeQuant, QuantPlan
from zeropoint.engine.qparams import QParams
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.twins import InputKey, NodeTwin


def node_twins(graph: ir.Graph, plan: QuantPlan, parameters: Parameters) -> tuple[NodeTwin, ...]:
    """Return one twin for each quantized node of the main graph, in graph order.

    Args:
        graph: The prepared float graph.
        plan: What is quantized.
        parameters: Scale and zero point of everything in it.
    """
    nodes = {node.name for node in graph}
    return tuple(
        _twin(quant, plan, parameters) for name, quant in plan.nodes.items() if name in nodes
    )


def _twin(quant: NodeQuant, plan: QuantPlan, parameters: Parameters) -> NodeTwin:
    chain = [quant.node]
    inputs: dict[InputKey, QParams] = {}
    dynamic: set[InputKey] = set()
    for index, name in zip(quant.inputs, quant.tensors, strict=True):
        if plan.tensors[name].source is ParameterSource.DYNAMIC:
            dynamic.add((quant.node, index))
        else:
            inputs[quant.node, index] = parameters.tensors[name]
    if quant.weight is not None:
        inputs[quant.node, quant.weight.index] = parameters.weights[quant.node]
    if quant.bias is not None:
        inputs[quant.bias.node, quant.bias.index] = parameters.biases[quant.node]
        if quant.bias.node != quant.node:
            chain.append(quant.bias.node)
    if quant.clamp is not None:
        chain.append(quant.clamp)
    output = parameters.tensors[quant.output] if quant.output is not None else None
    return NodeTwin(chain=tuple(chain), inputs=inputs, output=output, dynamic=frozenset(dynamic))
