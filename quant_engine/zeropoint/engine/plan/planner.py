"""Model and options -> what will be done with each node and tensor."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import onnx_ir as ir

from zeropoint.engine.graph import NodeName, constant, input_at, name_of, value_at
from zeropoint.engine.operators import OpRule, Role
from zeropoint.engine.options import (
    DynamicOptions,
    StaticOptions,
)
from zeropoint.engine.plan.already_quantized import existing_parameters
from zeropoint.engine.plan.barriers import Candidates, select
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.integer_flow import IntegerFlow, bias_add, integer_flow
from zeropoint.engine.plan.node_changes import NO_CHANGES, NodeChanges
from zeropoint.engine.plan.planned_constants import (
    WantedConstants,
    overrides_of,
    planned_constants,
)
from zeropoint.engine.plan.quant_plan import (
    ConstantInput,
    ConstantRole,
    Gated,
    NodeQuant,
    QuantPlan,
    TensorQuant,
)
from zeropoint.engine.prepare import PreparedModel
from zeropoint.engine.reasons import Kept, Reason
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.tensor_override import TensorQuantOverride


def make_plan(
    prepared: PreparedModel,
    options: StaticOptions,
    user_nodes: Sequence[NodeName],
    bodies: Bodies,
    changes: NodeChanges = NO_CHANGES,
) -> QuantPlan:
    """Decide for each node and tensor of a prepared model.

    Args:
        prepared: The model.
        options: The user's options.
        user_nodes: Name and operator type of each node of the user's own model.
        bodies: What can be observed in bodies of If, Loop and Scan.
        changes: What is otherwise for single nodes.

    Raises:
        OptionError: a name or operator type that the user's model does not have.
    """
    candidates = select(
        prepared, options.selection, user_nodes=user_nodes, bodies=bodies, changes=changes
    )
    flow = integer_flow(prepared.model, candidates)
    return _Planner(options, candidates, flow, changes).plan()


def make_dynamic_plan(
    prepared: PreparedModel,
    options: DynamicOptions,
    user_nodes: Sequence[NodeName],
    bodies: Bodies,
    changes: NodeChanges = NO_CHANGES,
) -> QuantPlan:
    """Decide like `make_plan` where activations are quantized as the model runs.

    Raises:
        OptionError: a name or operator type that the user's model does not have.
    """
    candidates = select(
        prepared,
        options.selection,
        user_nodes=user_nodes,
        bodies=bodies,
        dynamic=True,
        changes=changes,
    )
    wanted = WantedConstants(
        overrides_of(options), prepared.stored, options.weight, changes.per_channel
    )
    nodes: dict[str, NodeQuant] = {}
    tensors: dict[str, TensorQuant] = {}
    for node, rule in candidates.rules.items():
        name = name_of(node)
        constants = tuple(planned_constants(node, rule, wanted))
        computed = node.op_type == "MatMul" and not constants
        inputs = ((0, 1) if computed else (0,)) if rule.dynamic_data else ()
        read = tuple(name_of(node.inputs[index]) for index in inputs)
        nodes[name] = NodeQuant(node=name, inputs=inputs, tensors=read, constants=constants)
        for tensor in read:
            tensors[tensor] = TensorQuant(name=tensor, source=ParameterSource.DYNAMIC)
    return QuantPlan(
        nodes=nodes,
        tensors=tensors,
        absorbed={},
        kept=candidates.kept,
        weight_only=candidates.weight_only,
    )


_CHOSEN = (ParameterSource.CALIBRATED, ParameterSource.INHERITED)  # here, and not given

_NO_NEIGHBOUR = Kept(
    Reason.NO_INTEGER_NEIGHBOUR,
    "between float neighbours, where quantization would only add conversions",
)
_OUTPUT_EXCLUDED = Kept(
    Reason.NO_INTEGER_NEIGHBOUR,
    "its output is among OpTypesToExcludeOutputQuantization, and nothing is gained by quantizing "
    "its inputs alone",
)


class _Planner:
    """Collects the entries of a plan in one walk over the graph."""

    def __init__(
        self,
        options: StaticOptions,
        candidates: Candidates,
        flow: IntegerFlow,
        changes: NodeChanges,
    ) -> None:
        self._options = options
        self._candidates = candidates
        self._flow = flow
        self._nodes: dict[str, NodeQuant] = {}
        self._tensors: dict[str, TensorQuant] = {}
        self._absorbed: dict[str, str] = {}
        self._kept: dict[str, Kept] = dict(candidates.kept)
        self._overrides = overrides_of(options)
        self._want = WantedConstants(
            self._overrides, candidates.stored, options.weight, changes.per_channel
        )

    def plan(self) -> QuantPlan:
        for node, rule in self._candidates.rules.items():
            if node in self._flow.nodes and node.name not in self._absorbed:
                self._add(node, rule)
        for node in self._candidates.rules:
            name = name_of(node)
            if name not in self._nodes and name not in self._absorbed:
                excluded = node in self._candidates.float_outputs
                self._kept[name] = _OUTPUT_EXCLUDED if excluded else _NO_NEIGHBOUR
        self._note_gates()
        kept = {name: why for name, why in self._kept.items() if name not in self._absorbed}
        return QuantPlan(
            nodes=self._nodes,
            tensors=self._tensors,
            absorbed=self._absorbed,
            kept=kept,
            weight_only=self._candidates.weight_only,
        )

    def _add(self, node: ir.Node, rule: OpRule) -> None:
        name = name_of(node)
        constants = tuple(planned_constants(node, rule, self._want))
        if node in self._candidates.dynamic:
            read = (0,) if constants else (0, 1)
            self._nodes[name] = NodeQuant(
                node=name, inputs=(), tensors=(), dynamic=read, constants=constants
            )
            return
        weights = [where for where in constants if where.role is ConstantRole.WEIGHT]
        taken = {where.index for where in weights}
        inputs = tuple(i for i in rule.activation_inputs(node) if i not in taken)
        tensors = tuple(name_of(node.inputs[index]) for index in inputs)
        for index, tensor in zip(inputs, tensors, strict=True):
            if tensor not in self._tensors:
                value, computed = node.inputs[index], index == rule.weight
                self._tensors[tensor] = self._tensor(tensor, value, is_weight=computed)
        output, clamp = self._output(node, rule)
        computed = rule.weight in inputs and self._tensors[tensors[-1]].source in _CHOSEN
        layers: list[ConstantInput | None] = [*weights]
        if computed and not weights and rule.bias is not None:
            layers.append(None)
        biases = (bias for where in layers for bias in self._bias(node, rule, where))
        self._nodes[name] = NodeQuant(
            node=name,
            inputs=inputs,
            tensors=tensors,
            constants=(*constants, *biases),
            output=output,
            clamp=clamp,
            gate=rule.role is Role.GATE and node not in self._candidates.forced,
        )

    def _bias(
        self, node: ir.Node, rule: OpRule, weight: ConstantInput | None
    ) -> Iterator[ConstantInput]:
        if (found := self._bias_input(node, rule)) is not None:
            yield ConstantInput(
                role=ConstantRole.BIAS,
                node=name_of(found[0]),
                index=found[1],
                axis=None if weight is None or weight.axis is None else 0,
                stays_float=not self._options.pairs.quantize_bias,
            )

    def _bias_input(self, node: ir.Node, rule: OpRule) -> tuple[ir.Node, int] | None:
        if rule.bias is not None:
            bias = input_at(node, rule.bias)
            array = constant(bias)
            if bias is None or (rule.role is Role.FLOAT and (array is None or array.ndim > 1)):
                return None
            return node, rule.bias
        found = bias_add(node) if node.op_type == "MatMul" else None
        if found is not None and found[0] in self._candidates.rules:
            self._absorbed[name_of(found[0])] = name_of(node)
        return found

    def _tensor(self, name: str, value: ir.Value | None, *, is_weight: bool) -> TensorQuant:
        if (existing := existing_parameters(value)) is not None:
            return TensorQuant(name=name, source=ParameterSource.FIXED, fixed=existing.range)
        if constant(value) is not None:
            override = self._overrides.get(name)
            return TensorQuant(name=name, source=ParameterSource.WEIGHT, override=override)
        own = self._own_parameters(name)
        if own.override is None and is_weight and value is not None and len(value.uses()) == 1:
            weight = self._options.weight  # computed, and nothing else as well
            like_others = TensorQuantOverride(
                tensor_name=name, quant_type=weight.quant_type, symmetric=weight.is_symmetric
            )
            return replace(own, override=like_others)
        return own

    def _own_parameters(self, name: str, *, everywhere: bool = False) -> TensorQuant:
        """Return a tensor with parameters that no other has."""
        override = self._overrides.get(name)
        given = override is not None and override.settled
        return TensorQuant(
            name=name,
            source=ParameterSource.FIXED if given else ParameterSource.CALIBRATED,
            fixed=override.range if given and override is not None else None,
            override=override,
            everywhere=everywhere,
        )

    def _output(self, node: ir.Node, rule: OpRule) -> tuple[str | None, str | None]:
        points = self._flow.points.get(node)
        if not points:
            return None, None
        for value in points[1:]:
            self._inherit(node, value)
        point = points[0]
        producer = point.producer()
        behind = self._candidates.rules.get(producer) if producer is not None else None
        clamp = None
        if producer is not None and behind is not None and behind.role is Role.CLAMP:
            clamp = name_of(producer)
            self._absorbed[clamp] = name_of(node)
        name = name_of(point)
        if rule.role is Role.SHARE and clamp is None:
            self._inherit(node, point)
            return name, clamp
        self._tensors[name] = self._own_parameters(name, everywhere=True)
        return name, clamp

    def _note_gates(self) -> None:
        """Note of the tensors that gates read whether their ranges may follow these."""
        for node in self._candidates.rules:
            quant = self._nodes.get(name_of(node))
            if quant is None or not quant.gate:
                continue
            tensor = self._tensors[quant.tensors[0]]
            if tensor.source is not ParameterSource.CALIBRATED or tensor.override is not None:
                continue
            value = value_at(node, 0)
            readers = [self._nodes.get(name_of(use.node)) for use in value.uses()]
            alone = all(reader is not None and reader.gate for reader in readers)
            gated = Gated.ALONE if alone and not value.is_graph_output() else Gated.SHARED
            self._tensors[tensor.name] = replace(tensor, gated=gated)

    def _inherit(self, node: ir.Node, value: ir.Value) -> None:
        name = name_of(value)
        self._tensors[name] = TensorQuant(
            name=name,
            source=ParameterSource.INHERITED,
            inherited_from=name_of(node.inputs[0]),
            everywhere=True,
        )
