"""Plan and statistics -> the scale and zero point of every quantized tensor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import constant
from zeropoint.engine.numbers import (
    QParams,
    activation_qparams,
    bias_qparams,
    given_qparams,
    grow_weight_for_bias,
    weight_qparams,
)
from zeropoint.engine.numbers.ranges import Range, choose_range
from zeropoint.engine.options import StaticOptions, WeightOptions
from zeropoint.engine.plan.already_quantized import existing_parameters, existing_range
from zeropoint.engine.plan.quant_plan import ConstantInput, QuantPlan, TensorQuant
from zeropoint.engine.report import ParameterSource, Warning
from zeropoint.sketch import Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Scale and zero point of everything in a plan.

    Attributes:
        tensors: Of activation tensors, by tensor name.
        weights: Of weights, by node name.
        biases: Of int32 biases, by node name.
        stored: Of constants that are stored as integers, by node name and input.
        ranges: The ranges behind `tensors`.
        warnings: What the user should know about them.
    """

    tensors: Mapping[str, QParams]
    weights: Mapping[str, QParams]
    biases: Mapping[str, QParams]
    stored: Mapping[tuple[str, int], QParams]
    ranges: Mapping[str, Range]
    warnings: tuple[Warning, ...]


def derive_parameters(
    graph: ir.Graph, plan: QuantPlan, sketches: Mapping[str, Sketch], options: StaticOptions
) -> Parameters:
    """Turn ranges of activations and values of weights into scales and zero points.

    Args:
        graph: The prepared graph, for its constants.
        plan: What is quantized.
        sketches: Statistics of each tensor in `plan.observed`; all have elements.
        options: Types, symmetry and range method.

    Raises:
        CalibrationError: NO_FINITE_VALUES, a tensor had elements but none that is finite.
    """
    read = (value for node in graph.all_nodes() for value in node.inputs)
    values = {value.name: value for value in read if value is not None}
    ranges: dict[str, Range] = {}
    tensors: dict[str, QParams] = {}
    for tensor in plan.tensors.values():
        if tensor.source is ParameterSource.INHERITED:
            ranges[tensor.name] = ranges[tensor.inherited_from]
            tensors[tensor.name] = tensors[tensor.inherited_from]
            continue
        value, own = values.get(tensor.name), options.of(tensor.override)
        given = existing_parameters(value)
        if tensor.override is not None and tensor.override.scale:
            given = given_qparams(tensor.override, own.activation_type)
        chosen = _range(tensor, value, sketches, own) if given is None else _whole_range(given)
        ranges[tensor.name] = chosen
        tensors[tensor.name] = given or activation_qparams(
            chosen.low,
            chosen.high,
            own.activation_type,
            symmetric=own.activations_symmetric,
            restricted=own.activation_restricted_asymmetric,
            minimum_real_range=own.minimum_real_range,
        )
    weights, biases, grown = _constants(graph, plan, tensors, options.weight)
    warnings = _warnings(grown)
    return Parameters(
        tensors=tensors,
        weights=weights,
        biases=biases,
        stored=derive_stored(graph, plan, options.weight),
        ranges=ranges,
        warnings=warnings,
    )


def derive_weights(graph: ir.Graph, plan: QuantPlan, options: WeightOptions) -> dict[str, QParams]:
    """Return scale and zero point of each weight in a plan, by node name."""
    nodes = {node.name: node for node in graph.all_nodes()}
    return {
        name: _weight_qparams(nodes, quant.weight, options, name)
        for name, quant in plan.nodes.items()
        if quant.weight is not None
    }


def derive_stored(
    graph: ir.Graph, plan: QuantPlan, options: WeightOptions
) -> dict[tuple[str, int], QParams]:
    """Return scale and zero point of each stored constant, by node name and input."""
    nodes = {node.name: node for node in graph.all_nodes()}
    return {
        (name, where.index): _weight_qparams(nodes, where, options, name)
        for name, quant in plan.nodes.items()
        for where in quant.stored
    }


def _weight_qparams(
    nodes: Mapping[str | None, ir.Node], where: ConstantInput, options: WeightOptions, name: str
) -> QParams:
    return weight_qparams(
        read_constant(nodes, where),
        options.of(where.override),
        where.axis,
        name=name,
        override=where.override,
    )


def _whole_range(qparams: QParams) -> Range:
    return Range(*existing_range(qparams))


def _range(
    tensor: TensorQuant,
    value: ir.Value | None,
    sketches: Mapping[str, Sketch],
    options: StaticOptions,
) -> Range:
    if tensor.fixed is not None:
        return Range(*tensor.fixed)
    if tensor.source is ParameterSource.WEIGHT:
        array = constant(value)
        assert array is not None, tensor.name
        found = Range(float(array.min()), float(array.max())) if array.size else Range(0.0, 0.0)
    else:
        found = choose_range(sketches[tensor.name], options, tensor=tensor.name)
    if tensor.override is None:
        return found
    low, high = tensor.override.narrowed(found.low, found.high)
    return replace(found, low=low, high=high)


def _constants(
    graph: ir.Graph,
    plan: QuantPlan,
    tensors: Mapping[str, QParams],
    options: WeightOptions,
) -> tuple[dict[str, QParams], dict[str, QParams], list[str]]:
    """Return parameters of weights and biases, and the nodes whose weight scale had to grow."""
    nodes = {node.name: node for node in graph.all_nodes()}
    weights = derive_weights(graph, plan, options)
    biases: dict[str, QParams] = {}
    grown: list[str] = []
    for name, quant in plan.nodes.items():
        if quant.bias is None:
            continue
        activation = tensors[quant.tensors[0]]
        bias = read_constant(nodes, quant.bias).reshape(-1)
        fitted = grow_weight_for_bias(activation, weights[name], bias)
        if fitted is not weights[name] and fitted.axis is None:
            # With scales of their own only channels that hardly matter beside their bias grow.
            grown.append(name)
        weights[name] = fitted
        if not quant.bias.stays_float:
            biases[name] = bias_qparams(activation, fitted)
    return weights, biases, grown


def read_constant(nodes: Mapping[str | None, ir.Node], where: ConstantInput) -> NDArray[np.float32]:
    """Return the float values of a constant input, as a matrix where it is taken as one."""
    array = constant(nodes[where.node].inputs[where.index])
    assert array is not None, where
    return array.reshape(-1, array.shape[-1]) if where.rows else array


def _warnings(grown: list[str]) -> tuple[Warning, ...]:
    if not grown:
        return ()
    return (
        Warning(
            code="WEIGHT_SCALE_GROWN",
            message="these biases are too large for int32 at the scale that input and weight "
            "give, so the weight's scale was made larger and its resolution is less",
            nodes=tuple(grown),
        ),
    )
