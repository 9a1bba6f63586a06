"""Plan and statistics -> the scale and zero point of every quantized tensor."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.errors import OptionError
from zeropoint.engine.graph import array_of
from zeropoint.engine.number_types import UINT8
from zeropoint.engine.numbers import (
    QParams,
    activation_qparams,
    bias_qparams,
    given_qparams,
    grow_weight_for_bias,
    on_bends,
    weight_qparams,
)
from zeropoint.engine.numbers.ranges import Range, choose_range
from zeropoint.engine.options import StaticOptions, WeightOptions
from zeropoint.engine.plan.activation_types import (
    told_of_types,
    told_of_unused_codes,
    unsigned_where_shared,
)
from zeropoint.engine.plan.already_quantized import existing_parameters
from zeropoint.engine.plan.quant_plan import (
    ConstantInput,
    ConstantRole,
    Gated,
    InputKey,
    QuantPlan,
    TensorQuant,
)
from zeropoint.engine.plan.sums import fit_layer
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import ParameterSource, Warning
from zeropoint.sketch import Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Scale and zero point of everything in a plan.

    Attributes:
        tensors: Of activation tensors, by tensor name.
        constants: Of constants, by the node that reads them and the input.
        ranges: The ranges behind `tensors`.
        warnings: What the user should know about them.
    """

    tensors: Mapping[str, QParams]
    constants: Mapping[InputKey, QParams]
    ranges: Mapping[str, Range]
    warnings: tuple[Warning, ...]


RangeChooser = Callable[[str, Sketch, StaticOptions], Range]
"""Chooses the range of a tensor, given its name, what was seen of it, and options."""


def range_as_asked(tensor: str, sketch: Sketch, options: StaticOptions) -> Range:
    """Choose a range as options say.

    Raises:
        CalibrationError: NO_FINITE_VALUES, the tensor had no finite value.
    """
    return choose_range(sketch, options, tensor=tensor)


def derive_parameters(
    graph: ir.Graph,
    plan: QuantPlan,
    sketches: Mapping[str, Sketch],
    options: StaticOptions,
    choose: RangeChooser = range_as_asked,
) -> Parameters:
    """Turn ranges of activations and values of weights into scales and zero points.

    Args:
        graph: The prepared graph.
        plan: What is quantized.
        sketches: There is one with elements of each tensor in `plan.observed`.
        options: The user's.
        choose: Chooses the ranges of these tensors.

    Raises:
        CalibrationError: NO_FINITE_VALUES, a tensor had elements but none that is finite.
        OptionError: OPTION_INVALID, two scales that meet in a node have no float32 product.
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
        chosen = (
            _range(tensor, value, sketches, own, choose) if given is None else Range(*given.range)
        )
        if tensor.gated is not None and _takes_any_zero_point(own):
            chosen = _on_bends(chosen, tensor.gated)
        ranges[tensor.name] = chosen
        tensors[tensor.name] = given or activation_qparams(
            chosen.low,
            chosen.high,
            own.activation_type,
            symmetric=own.activations_symmetric,
            restricted=own.activation_restricted_asymmetric,
            minimum_real_range=own.minimum_real_range,
        )
    constants = _constants(graph, plan, options.weight)
    _check_products(plan, tensors, constants)
    _grow_computed(graph, plan, tensors)
    grown = tuple(_add_biases(graph, plan, tensors, constants))
    told = Warning(
        code=WarningCode.WEIGHT_SCALE_GROWN,
        message="these biases are too large for int32 at the scale that input and weight give, so "
        "the weight's scale was made larger and its resolution is less",
        nodes=grown,
    )
    written = unsigned_where_shared(graph, plan, tensors, options)
    warnings = (
        *((told,) if grown else ()),
        *told_of_types(tensors, written),
        *told_of_unused_codes(plan, ranges, options),
    )
    return Parameters(tensors=written, constants=constants, ranges=ranges, warnings=warnings)


def derive_constants(
    graph: ir.Graph, plan: QuantPlan, options: WeightOptions
) -> dict[InputKey, QParams]:
    """Return scale and zero point of each weight and stored constant in a plan.

    Data are quantized as they come, and biases added as floats.
    """
    constants, nodes = _constants(graph, plan, options), {n.name: n for n in graph.all_nodes()}
    for quant in plan.nodes.values():
        if (where := quant.weight) is not None:
            array, node = read_constant(nodes, where), nodes[where.node]
            constants[where.key] = fit_layer(node, array, constants[where.key], where, None)
    return constants


def _constants(graph: ir.Graph, plan: QuantPlan, options: WeightOptions) -> dict[InputKey, QParams]:
    nodes = {node.name: node for node in graph.all_nodes()}
    return {
        where.key: where.kept
        or weight_qparams(
            read_constant(nodes, where),
            where.options(options),
            where.axis,
            name=where.node,
            override=where.override,
        )
        for quant in plan.nodes.values()
        for where in quant.constants
        if where.role is not ConstantRole.BIAS
    }


def _range(
    tensor: TensorQuant,
    value: ir.Value | None,
    sketches: Mapping[str, Sketch],
    options: StaticOptions,
    choose: RangeChooser,
) -> Range:
    if tensor.fixed is not None:
        return Range(*tensor.fixed)
    if tensor.source is ParameterSource.WEIGHT:
        array = array_of(value)
        found = Range(float(array.min()), float(array.max())) if array.size else Range(0.0, 0.0)
    else:
        found = choose(tensor.name, sketches[tensor.name], options)
    if tensor.override is None:
        return found
    low, high = tensor.override.narrowed(found.low, found.high)
    return replace(found, low=low, high=high)


def _takes_any_zero_point(options: StaticOptions) -> bool:
    """Whether activations are uint8 with ranges as they are."""
    tied = options.activations_symmetric or options.activation_restricted_asymmetric
    asked = options.calibration_range_symmetric or options.minimum_real_range
    return options.activation_type.number is UINT8 and not tied and not asked


def _on_bends(found: Range, gated: Gated) -> Range:
    low, high = on_bends(found.low, found.high, alone=gated is Gated.ALONE)
    return replace(found, low=low, high=high)


def _check_products(
    plan: QuantPlan, tensors: Mapping[str, QParams], constants: Mapping[InputKey, QParams]
) -> None:
    """Refuse scales whose product is no float32, in which integer kernels compute it.

    Only overrides give such scales: of values so large, the float model's products are infinite.
    """
    for name, quant in plan.nodes.items():
        if quant.weight is None or not quant.tensors or quant.tensors[0] not in tensors:
            continue
        activation = float(tensors[quant.tensors[0]].scale.max())
        weight = float(constants[quant.weight.key].scale.max())
        if activation * weight > float(np.finfo(np.float32).max):
            raise OptionError(
                "OPTION_INVALID",
                f"The scales of {name!r}, {activation:g} of its input and {weight:g} of its "
                "weight, have a product that is no float32. Give smaller ones in "
                "tensor_quant_overrides.",
                option="tensor_quant_overrides",
                node=name,
            )


def _grow_computed(graph: ir.Graph, plan: QuantPlan, tensors: dict[str, QParams]) -> None:
    """Grow the scales of computed weights for the biases beside them, as those of constants."""
    nodes = {node.name: node for node in graph.all_nodes()}
    for quant in plan.nodes.values():
        if quant.weight is not None or quant.bias is None:
            continue
        data, weight = (tensors[tensor] for tensor in quant.tensors[:2])
        bias = read_constant(nodes, quant.bias).reshape(-1)
        if (grown := grow_weight_for_bias(data, weight, bias)) is not weight:
            root = plan.root(plan.tensors[quant.tensors[1]])
            same = (t.name for t in plan.tensors.values() if plan.root(t) is root)
            tensors.update(dict.fromkeys(same, grown))


def _add_biases(
    graph: ir.Graph,
    plan: QuantPlan,
    tensors: Mapping[str, QParams],
    constants: dict[InputKey, QParams],
) -> Iterator[str]:
    """Add parameters of biases, and grow weight scales until sums with them fit into int32.

    Yields:
        The nodes whose one weight scale had to grow. With scales of their own only channels that
        hardly matter beside their bias grow.
    """
    nodes = {node.name: node for node in graph.all_nodes()}
    for name, quant in plan.nodes.items():
        if (where := quant.weight) is None:
            if quant.bias is not None and not quant.bias.stays_float:
                data, computed = (tensors[tensor] for tensor in quant.tensors[:2])
                constants[quant.bias.key] = bias_qparams(data, computed)
            continue
        activation = tensors[quant.tensors[0]] if quant.tensors else None
        fitted = weight = constants[where.key]
        bias = None if quant.bias is None else read_constant(nodes, quant.bias).reshape(-1)
        if activation is not None and bias is not None:
            fitted = grow_weight_for_bias(activation, weight, bias)
        array = read_constant(nodes, where)
        fitted = fit_layer(nodes[name], array, fitted, where, activation, bias)
        constants[where.key] = fitted
        if bias is not None and fitted is not weight and fitted.axis is None:
            yield name
        if activation is not None and quant.bias is not None and not quant.bias.stays_float:
            constants[quant.bias.key] = bias_qparams(activation, fitted)


def read_constant(nodes: Mapping[str | None, ir.Node], where: ConstantInput) -> NDArray[np.float32]:
    """Return the float values of a constant input, as a matrix where it is taken as one."""
    array = array_of(nodes[where.node].inputs[where.index])
    return array.reshape(-1, array.shape[-1]) if where.rows else array
