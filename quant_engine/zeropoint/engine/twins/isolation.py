"""A plan with its parameters -> what to fake-quantize in each node's twin."""

import onnx_ir as ir

from zeropoint.engine.graph import Path, iterations, observable_from, paths
from zeropoint.engine.numbers import QParams
from zeropoint.engine.plan import NodeQuant, Parameters, QuantPlan
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.twins.branches import InputKey, NodeTwin

# A twin costs ONNX Runtime as much to load as ten nodes.
_MOST_TWINS = 4096


def node_twins(model: ir.Model, plan: QuantPlan, parameters: Parameters) -> tuple[NodeTwin, ...]:
    """Return one twin for each quantized node, in graph order.

    Without those in bodies that no figure comes out of: those of Scan, and of a Loop that takes
    an unknown number of turns. Of very many, as many as can be had at even distances.

    Args:
        model: The prepared float model.
        plan: What is quantized.
        parameters: Scale and zero point of everything in it.
    """
    opset = model.opset_imports.get("", 0)
    within = {graph for graph, path in paths(model).items() if _is_open(path, opset)}
    by_name = {node.name or "": node for graph in within for node in graph}
    chosen = [name for name in plan.nodes if name in by_name]
    return tuple(
        _twin(by_name[name], plan.nodes[name], plan, parameters)
        for name in chosen[:: 1 + max(0, len(chosen) - 1) // _MOST_TWINS]
    )


def _is_open(path: Path, opset: int) -> bool:
    return iterations(path) is not None and observable_from(path) <= opset


def _twin(node: ir.Node, quant: NodeQuant, plan: QuantPlan, parameters: Parameters) -> NodeTwin:
    chain = [quant.node]
    inputs: dict[InputKey, QParams] = {}
    dynamic: set[InputKey] = set()
    for index, name in zip(quant.inputs, quant.tensors, strict=True):
        if plan.tensors[name].source is ParameterSource.DYNAMIC:
            dynamic.add((quant.node, index))
        else:
            inputs[quant.node, index] = parameters.tensors[name]
    dynamic.update((quant.node, index) for index in quant.dynamic)
    for where in quant.constants:
        if not where.stays_float:
            inputs[where.key] = parameters.constants[where.key]
        if where.node != quant.node:
            chain.append(where.node)
    if quant.clamp is not None:
        chain.append(quant.clamp)
    output = parameters.tensors[quant.output] if quant.output is not None else None
    table = inputs.get((quant.node, 0)) if node.op_type == "Gather" and quant.stored else None
    if table is not None and table.axis is None:
        # Picking commutes with rounding, and what is picked is less than the table.
        inputs, output = {}, table
    return NodeTwin(chain=tuple(chain), inputs=inputs, output=output, dynamic=frozenset(dynamic))
