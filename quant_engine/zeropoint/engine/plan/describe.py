"""A plan in the user's own terms: every node of the user's model, every quantized tensor."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.graph import name_of
from zeropoint.engine.load import LoadedModel
from zeropoint.engine.number_types import INT32, QuantType
from zeropoint.engine.numbers import QParams
from zeropoint.engine.options import Options, QatOptions, StaticOptions
from zeropoint.engine.plan.parameters import Parameters
from zeropoint.engine.plan.quant_plan import ConstantInput, ConstantRole, NodeQuant, QuantPlan
from zeropoint.engine.prepare import PreparedModel
from zeropoint.engine.reasons import Kept, Reason
from zeropoint.engine.report import NodePlan, NodeState, ParameterSource, PlanReport, TensorPlan

_NAMES = {
    ConstantRole.WEIGHT: ("weight",),
    ConstantRole.STORED: ("weight", "recurrence"),
    ConstantRole.BIAS: ("bias",),
}

_CONSTANT = "Constant"
_FOLDED = Kept(Reason.FOLDED, "computed once, or merged into another node, before quantization")


def describe_plan(
    loaded: LoadedModel,
    prepared: PreparedModel,
    plan: QuantPlan,
    options: Options,
    parameters: Parameters | None = None,
) -> PlanReport:
    """Return a plan as it is told to the user, with parameters where they are known."""
    return PlanReport(
        nodes=_nodes(loaded, prepared, plan),
        tensors=_tensors(plan, options, parameters),
        opset=prepared.opset,
        warnings=prepared.warnings,
        constants=sum(op_type == _CONSTANT for _, op_type in loaded.nodes),
    )


def _nodes(loaded: LoadedModel, prepared: PreparedModel, plan: QuantPlan) -> tuple[NodePlan, ...]:
    quantized: set[str] = set()
    kept: dict[str, Kept] = {}
    for node in prepared.model.graph.all_nodes():
        name = name_of(node)
        for origin in prepared.origins(node):
            if name in plan.nodes or name in plan.absorbed:
                quantized.add(origin)
                if name in plan.weight_only:
                    kept.setdefault(origin, plan.weight_only[name])
            elif name in plan.kept:
                kept.setdefault(origin, plan.kept[name])
    return tuple(
        _node(name, op_type, quantized, kept)
        for name, op_type in loaded.nodes
        if op_type != _CONSTANT
    )


def _node(name: str, op_type: str, quantized: set[str], kept: Mapping[str, Kept]) -> NodePlan:
    if name in quantized:
        return NodePlan(name=name, op_type=op_type, state=NodeState.QUANTIZED)
    state, why = NodeState.FOLDED, _FOLDED
    if name in kept:
        state, why = NodeState.FLOAT, kept[name]
    reason, message = why.reason, why.message
    return NodePlan(name=name, op_type=op_type, state=state, reason=reason, message=message)


def _tensors(
    plan: QuantPlan, options: Options, parameters: Parameters | None
) -> tuple[TensorPlan, ...]:
    entries = [_activation(name, plan, options, parameters) for name in plan.tensors]
    for node in plan.nodes.values():
        entries += _constants(node, options, parameters)
    return tuple(entries)


def _constants(
    node: NodeQuant, options: Options, parameters: Parameters | None
) -> Iterator[TensorPlan]:
    for role, names in _NAMES.items():
        for name, where in zip(names, node.of_role(role), strict=False):
            if not where.stays_float:
                qparams = parameters.constants.get(where.key) if parameters else None
                yield _constant_tensor(f"{node.node}:{name}", where, options, qparams)


def _activation(
    name: str, plan: QuantPlan, options: Options, parameters: Parameters | None
) -> TensorPlan:
    tensor = plan.tensors[name]
    found = parameters.ranges.get(name) if parameters else None
    qparams = parameters.tensors.get(name) if parameters else None
    static = options.of(plan.root(tensor).override) if isinstance(options, StaticOptions) else None
    kind = static.activation_type if static is not None else QuantType.QUINT8
    static_symmetric = static is not None and static.activations_symmetric
    calibrated = tensor.source is ParameterSource.CALIBRATED
    learned = tensor.source is ParameterSource.LEARNED
    return TensorPlan(
        name=name,
        element_type=qparams.number.element_type if qparams else kind.number.element_type,
        axis=qparams.axis if qparams else None,
        symmetric=_is_symmetric(qparams) if learned else static_symmetric,
        source=tensor.source,
        inherited_from=tensor.inherited_from,
        low=found.low if found else None,
        high=found.high if found else None,
        scale=_single(qparams.scale) if qparams else None,
        zero_point=_single(qparams.zero_point) if qparams else None,
        method=found.method if found and calibrated else None,
        percentile=found.percentile if found and calibrated else None,
        alternatives=found.alternatives if found and calibrated else (),
    )


def _constant_tensor(
    name: str, where: ConstantInput, options: Options, qparams: QParams | None
) -> TensorPlan:
    bias = where.role is ConstantRole.BIAS
    source = ParameterSource.BIAS if bias else ParameterSource.WEIGHT
    if isinstance(options, QatOptions) or where.kept is not None:
        source, symmetric = ParameterSource.LEARNED, _is_symmetric(qparams)
        integers = INT32.element_type if bias else 0
    else:
        weight = where.options(options.weight)
        symmetric = bias or weight.is_symmetric
        integers = (INT32 if bias else weight.stored).element_type
    return TensorPlan(
        name=name,
        element_type=qparams.number.element_type if qparams else integers,
        axis=where.axis,
        symmetric=symmetric,
        source=source,
        scale=_single(qparams.scale) if qparams else None,
        zero_point=_single(qparams.zero_point) if qparams else None,
    )


def _is_symmetric(qparams: QParams | None) -> bool:
    return qparams is not None and not qparams.zero_point.any() and qparams.number.signed


def _single(figures: NDArray[np.generic]) -> Any:
    """Return the one entry of a per-tensor parameter; None for channels."""
    return figures.item() if figures.ndim == 0 else None
