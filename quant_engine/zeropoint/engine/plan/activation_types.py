"""int8 activations: uint8 where ONNX Runtime would run floats, and what symmetric ranges cost."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir

from zeropoint.engine.number_types import INT8, UINT8
from zeropoint.engine.numbers import QParams
from zeropoint.engine.numbers.ranges import Range
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan.already_quantized import existing_parameters
from zeropoint.engine.plan.quant_plan import QuantPlan, TensorQuant
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import ParameterSource, Warning

_TYPE_IN_PAIRS = 21  # opset from which QuantizeLinear has the type as an attribute
_OFFSET = -INT8.limits.low
_ONE_SIDED = 1 / 8  # one end of a range to the other
_MOST_NAMES = 5


def unsigned_where_shared(
    graph: ir.Graph, plan: QuantPlan, tensors: Mapping[str, QParams], options: StaticOptions
) -> Mapping[str, QParams]:
    """Return parameters with int8 as uint8 where ONNX Runtime would not fuse nodes with the pairs.

    Codes and zero point are greater by 128, which is the same numbers. On x86 ONNX Runtime 1.32
    turns an int8 pair into a uint8 one by itself, and has kernels for that alone, but only where
    one node reads what the pair gives: if several do, all of them run in float. From opset 21 on it
    cannot load some models with int8 pairs at all. A kernel has one type for all that it reads and
    gives, so that whole regions change, as far as nodes that are quantized join their tensors.

    A region stays as it is that has a tensor whose type the user gave by an override, or one that
    the model quantizes already.
    """
    if options.keep_activation_type:
        return tensors
    values = {value.name: value for node in graph.all_nodes() for value in _values(node)}
    regions = _Regions(plan)
    shared, settled = set[str](), set[str]()
    clipped = {name for quant in plan.nodes.values() if quant.gate for name in quant.tensors}
    for name, tensor in plan.tensors.items():
        value = values.get(name)
        if tensors[name].number is not INT8:
            continue
        if name in clipped or _is_shared(value) or graph.opset_imports.get("", 0) >= _TYPE_IN_PAIRS:
            shared.add(regions.of(name))
        if _is_settled(tensor, value):
            settled.add(regions.of(name))
    moved: dict[QParams, QParams] = {}
    found = dict(tensors)
    for name, qparams in tensors.items():
        region = regions.of(name)
        if qparams.number is INT8 and region in shared and region not in settled:
            found[name] = moved.setdefault(qparams, _unsigned(qparams))
    return found


def told_of_types(before: Mapping[str, QParams], after: Mapping[str, QParams]) -> Iterator[Warning]:
    """Tell which int8 tensors are written as uint8."""
    names = [name for name, qparams in after.items() if qparams.number is not before[name].number]
    if names:
        yield Warning(
            code=WarningCode.WRITTEN_UNSIGNED,
            message=f"{len(names)} int8 tensors are written as uint8, with codes and zero point "
            f"greater by 128, which is the same numbers: {_first(names)}. Several nodes read such "
            "tensors, and ONNX Runtime would run these in float. For runtimes that want int8, set "
            "KeepActivationType.",
        )


def told_of_unused_codes(
    plan: QuantPlan, ranges: Mapping[str, Range], options: StaticOptions
) -> Iterator[Warning]:
    """Tell of ranges that are symmetric because of their type alone, and use half of its codes."""
    if options.activation_symmetric is not None:
        return
    names = []
    for tensor in plan.tensors.values():
        own, override = options.of(tensor.override), tensor.override
        if tensor.source is ParameterSource.INHERITED or not own.activations_symmetric:
            continue
        if override is not None and (override.symmetric or override.settled):
            continue
        less, more = sorted((-ranges[tensor.name].low, ranges[tensor.name].high))
        if more > 0 and less <= more * _ONE_SIDED:
            names.append(tensor.name)
    if names:
        yield Warning(
            code=WarningCode.CODES_UNUSED,
            message=f"{len(names)} tensors lie on one side of zero, as behind a Relu: "
            f"{_first(names)}. int8 ranges are symmetric by default, so that half of their codes "
            "are not used, which costs 6 dB there, and a Relu in front of them stays a float node. "
            "Set ActivationSymmetric to False, or activation_type to QUInt8.",
        )


class _Regions:
    """Tensors that nodes join, directly or over other tensors: each region has a name."""

    def __init__(self, plan: QuantPlan) -> None:
        self._parents = {name: name for name in plan.tensors}
        for quant in plan.nodes.values():
            joined = (*quant.tensors, *((quant.output,) if quant.output else ()))
            for name in joined[1:]:
                self._join(joined[0], name)
        for tensor in plan.tensors.values():
            if tensor.source is ParameterSource.INHERITED:
                self._join(tensor.inherited_from, tensor.name)

    def of(self, name: str) -> str:
        """Return the name of the region of a tensor."""
        while (parent := self._parents[name]) != name:
            self._parents[name] = self._parents[parent]
            name = parent
        return name

    def _join(self, one: str, other: str) -> None:
        self._parents[self.of(other)] = self.of(one)


def _values(node: ir.Node) -> Iterator[ir.Value]:
    yield from (value for value in node.inputs if value is not None)
    yield from node.outputs


def _is_shared(value: ir.Value | None) -> bool:
    """Whether several read what a pair on a tensor gives."""
    return value is not None and len(value.uses()) + value.is_graph_output() > 1


def _is_settled(tensor: TensorQuant, value: ir.Value | None) -> bool:
    override = tensor.override
    named = override is not None and (override.quant_type is not None or bool(override.scale))
    return named or existing_parameters(value) is not None


def _unsigned(qparams: QParams) -> QParams:
    zero_point = (qparams.zero_point.astype(np.int16) + _OFFSET).astype(UINT8.dtype)
    return dataclasses.replace(qparams, zero_point=zero_point)


def _first(names: list[str]) -> str:
    return ", ".join(map(repr, names[:_MOST_NAMES])) + (", …" if names[_MOST_NAMES:] else "")
