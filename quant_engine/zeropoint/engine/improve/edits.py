"""What a remedy changes in a prepared model: constants, and parameters that must stay."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import GraphEditor, input_at, name_of, set_input
from zeropoint.engine.numbers import QParams, bias_qparams
from zeropoint.engine.plan import (
    ConstantInput,
    ConstantRole,
    InputKey,
    NodeQuant,
    Parameters,
    QuantPlan,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edits:
    """New constants of a prepared model, by the node that reads them and the input.

    Attributes:
        weights: Floats, of weights and other constants.
        kept: Parameters of those weights that are exactly what codes stand for: with these,
            rounding to the nearest gives the codes again.
        biases: Floats; also of inputs that were left out.
    """

    weights: Mapping[InputKey, NDArray[np.float32]] = field(default_factory=dict)
    kept: Mapping[InputKey, QParams] = field(default_factory=dict)
    biases: Mapping[InputKey, NDArray[np.float32]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.weights or self.biases)


def apply_edits(model: ir.Model, edits: Edits, weights: WeightFile | None = None) -> None:
    """Give nodes of a prepared model their new constants, in place.

    Each gets one of its own, so that others which read the old one stay as they are.

    Args:
        model: The model.
        edits: What changes.
        weights: Takes the constants, or they stay in memory.
    """
    editor = GraphEditor(model.graph, weights=weights)
    nodes = {name_of(node): node for node in model.graph.all_nodes()}
    for (name, index), array in (*edits.weights.items(), *edits.biases.items()):
        old = input_at(nodes[name], index)
        base = name_of(old) or f"{name}_bias"
        set_input(nodes[name], index, editor.constant(base, array))
    editor.remove_unused_constants()


def edited_plan(plan: QuantPlan, edits: Edits, *, quantize_bias: bool = True) -> QuantPlan:
    """Return a plan for the model with edits: chosen parameters stay, and new biases are biases.

    Args:
        plan: The plan.
        edits: What changes.
        quantize_bias: Whether new biases become integers, or are left to runtimes.
    """
    nodes = {name: _edited(quant, edits, quantize_bias) for name, quant in plan.nodes.items()}
    return replace(plan, nodes=nodes)


def edited_parameters(parameters: Parameters, plan: QuantPlan, edits: Edits) -> Parameters:
    """Return parameters for an edited plan: those that were there, and of new biases."""
    constants = {**parameters.constants, **edits.kept}
    for quant in plan.nodes.values():
        bias, weight = quant.bias, quant.weight
        if bias is None or weight is None or bias.stays_float or bias.key in constants:
            continue
        data = parameters.tensors[quant.tensors[0]]
        constants[bias.key] = bias_qparams(data, constants[weight.key])
    return replace(parameters, constants=constants)


def _edited(quant: NodeQuant, edits: Edits, quantize_bias: bool) -> NodeQuant:
    constants = [
        replace(where, kept=edits.kept.get(where.key, where.kept)) for where in quant.constants
    ]
    weight = quant.weight
    new = (quant.node, 2)
    if quant.bias is None and weight is not None and new in edits.biases:
        constants.append(
            ConstantInput(
                role=ConstantRole.BIAS,
                node=quant.node,
                index=new[1],
                axis=None if weight.axis is None else 0,
                stays_float=not quantize_bias,
            )
        )
    return replace(quant, constants=tuple(constants))
