"""Model and options -> what will be done with each node and tensor. A plan is plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

import onnx_ir as ir

from zeropoint.engine.graph import NodeName, constant, name_of, producer_of
from zeropoint.engine.operators import OpRule, Role, rule_of
from zeropoint.engine.options import DynamicOptions, PostTrainingOptions, StaticOptions
from zeropoint.engine.plan.already_quantized import existing_parameters, existing_range
from zeropoint.engine.plan.bodies import Bodies
from zeropoint.engine.plan.candidates import Candidates, select
from zeropoint.engine.plan.integer_flow import IntegerFlow, bias_add, integer_flow
from zeropoint.engine.prepare import PreparedModel
from zeropoint.engine.reasons import Kept, Reason
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.tensor_override import TensorQuantOverride

InputKey = tuple[str, int]
"""Name of a node and index of one of its inputs."""


class ConstantRole(StrEnum):
    """What becomes of a constant.

    A WEIGHT is multiplied by an integer kernel. A BIAS becomes int32 with the product of the scales
    of input and weight, or is left to runtimes. What is STORED as integers is computed with as
    floats, or by operators that take codes of their own kind.
    """

    WEIGHT = "weight"
    STORED = "stored"
    BIAS = "bias"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantInput:
    """A constant input of a node.

    Attributes:
        role: What becomes of it.
        node: Node that reads it; for the bias of a MatMul, the Add behind it.
        index: Which input of that node.
        axis: Axis of per-channel scales; None for one scale.
        rows: Whether the constant is taken as a matrix, all axes but the last as one: a scale for
            each gate of each direction.
        override: What the user wants of it, where that is something of its own.
        stays_float: Whether it is a bias that is left to runtimes to quantize; the weight's scale
            is then still large enough for it.
    """

    role: ConstantRole
    node: str
    index: int
    axis: int | None = None
    rows: bool = False
    override: TensorQuantOverride | None = None
    stays_float: bool = False

    @property
    def key(self) -> InputKey:
        """Where it is read."""
        return self.node, self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeQuant:
    """How one node becomes an integer kernel.

    Attributes:
        node: Name in the prepared model.
        inputs: Indices of the inputs that are read through Q/DQ with a tensor's parameters.
        tensors: Names of these tensors, in the same order.
        constants: Its weight, what it has stored, and its bias, in this order.
        output: The tensor at which the output is quantized; None where it stays float. Behind
            a clamp where one follows.
        clamp: Name of the Relu or Clip between the node and `output`.
    """

    node: str
    inputs: tuple[int, ...]
    tensors: tuple[str, ...]
    constants: tuple[ConstantInput, ...] = ()
    output: str | None = None
    clamp: str | None = None

    @property
    def weight(self) -> ConstantInput | None:
        """The weight of an integer kernel, where there is one."""
        return next(iter(self.of_role(ConstantRole.WEIGHT)), None)

    @property
    def bias(self) -> ConstantInput | None:
        """The constant bias, where there is one."""
        return next(iter(self.of_role(ConstantRole.BIAS)), None)

    @property
    def stored(self) -> tuple[ConstantInput, ...]:
        """What is stored as integers."""
        return self.of_role(ConstantRole.STORED)

    def of_role(self, role: ConstantRole) -> tuple[ConstantInput, ...]:
        """Return its constants of one role."""
        return tuple(where for where in self.constants if where.role is role)

    def without_bias(self) -> "NodeQuant":
        """Return the same with its bias left alone."""
        kept = (where for where in self.constants if where.role is not ConstantRole.BIAS)
        return replace(self, constants=tuple(kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorQuant:
    """How one activation tensor is quantized.

    Attributes:
        name: Name in the prepared model.
        source: CALIBRATED, INHERITED, FIXED, or WEIGHT for a constant operand.
        inherited_from: The tensor that has the parameters, for INHERITED.
        fixed: Range of the tensor, for FIXED; None where `override` has its scale.
        override: What the user wants of it, where that is something of its own.
        everywhere: Whether all consumers read the quantized values (its producer has no float
            output), or quantized nodes only.
    """

    name: str
    source: ParameterSource
    inherited_from: str = ""
    fixed: tuple[float, float] | None = None
    override: TensorQuantOverride | None = None
    everywhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantPlan:
    """What will be done.

    Attributes:
        nodes: Quantized nodes by name, in graph order.
        tensors: Quantized activation tensors by name; a tensor that inherits comes after the
            one that it inherits from.
        absorbed: Nodes that disappear into a quantized one (clamps, biases), with its name.
        kept: Why the other nodes stay float, by name.
        weight_only: Why nodes that have integer kernels compute in float with a weight that is
            stored as integers, by name.
    """

    nodes: Mapping[str, NodeQuant]
    tensors: Mapping[str, TensorQuant]
    absorbed: Mapping[str, str]
    kept: Mapping[str, Kept]
    weight_only: Mapping[str, Kept]

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the tensors whose ranges come from data."""
        return tuple(
            tensor.name
            for tensor in self.tensors.values()
            if tensor.source is ParameterSource.CALIBRATED
        )

    def root(self, tensor: TensorQuant) -> TensorQuant:
        """Return the tensor that one has its parameters from: itself, unless it inherits them."""
        while tensor.source is ParameterSource.INHERITED:
            tensor = self.tensors[tensor.inherited_from]
        return tensor


def make_plan(
    prepared: PreparedModel,
    options: StaticOptions,
    user_nodes: Sequence[NodeName],
    bodies: Bodies,
    shown: Mapping[str, Kept] = MappingProxyType({}),
) -> QuantPlan:
    """Decide for each node and tensor of a prepared model.

    Args:
        prepared: The model.
        options: The user's options.
        user_nodes: Name and operator type of each node of the user's own model.
        bodies: What can be observed in bodies of If, Loop and Scan.
        shown: Why further nodes stay float, as batches showed, by name.

    Raises:
        OptionError: a name or operator type that the user's model does not have.
    """
    candidates = select(
        prepared, options.selection, user_nodes=user_nodes, bodies=bodies, shown=shown
    )
    return _Planner(options, candidates, integer_flow(prepared.model, candidates)).plan()


def make_dynamic_plan(
    prepared: PreparedModel,
    options: DynamicOptions,
    user_nodes: Sequence[NodeName],
    bodies: Bodies,
) -> QuantPlan:
    """Decide for each node where activations are quantized as the model runs.

    Args:
        prepared: The model.
        options: The user's options.
        user_nodes: Name and operator type of each node of the user's own model.
        bodies: What can be quantized in bodies of If, Loop and Scan.

    Raises:
        OptionError: a name or operator type that the user's model does not have.
    """
    candidates = select(
        prepared, options.selection, user_nodes=user_nodes, bodies=bodies, dynamic=True
    )
    nodes: dict[str, NodeQuant] = {}
    tensors: dict[str, TensorQuant] = {}
    overrides = overrides_by_name(options)
    for node, rule in candidates.rules.items():
        name = name_of(node)
        weight = constant_weight(node, rule, overrides, per_channel=options.weight.per_channel)
        stored = stored_constants(node, rule, overrides, per_channel=options.weight.per_channel)
        inputs: tuple[int, ...] = ()
        if rule.dynamic_data:
            inputs = (0, 1) if node.op_type == "MatMul" and not weight else (0,)
        read = tuple(name_of(node.inputs[index]) for index in inputs)
        constants = (*weight, *stored)
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


Overrides = Mapping[str, TensorQuantOverride]
"""What the user wants of single tensors, by name."""


def overrides_by_name(options: PostTrainingOptions) -> Overrides:
    """Return the overrides of the options."""
    return {override.tensor_name: override for override in options.tensor_quant_overrides}


def constant_weight(
    node: ir.Node, rule: OpRule, overrides: Overrides, *, per_channel: bool
) -> tuple[ConstantInput, ...]:
    """Return the weight of a node, with its axis, where the node has a constant one."""
    value = node.inputs[rule.weight] if rule.weight is not None else None
    if rule.weight is None or value is None or constant(value) is None:
        return ()
    axis, override = None, overrides.get(name_of(value))
    wanted = per_channel if override is None else override.axis is not None
    if wanted and value.shape is not None:
        axis = rule.channel_axis(node, len(value.shape))
    where = ConstantInput(
        role=ConstantRole.WEIGHT,
        node=name_of(node),
        index=rule.weight,
        axis=axis,
        override=override,
    )
    return (where,)


def stored_constants(
    node: ir.Node, rule: OpRule, overrides: Overrides, *, per_channel: bool
) -> tuple[ConstantInput, ...]:
    """Return the constants of a node that are stored as integers, with their axes."""
    found = []
    for index in rule.stored:
        array = constant(node.inputs[index])
        assert array is not None, node.name
        assert rule.stored_axes is not None, node.op_type
        override = overrides.get(name_of(node.inputs[index]))
        wanted = per_channel if override is None else override.axis is not None
        axes = rule.stored_axes(node, array.shape, per_channel=wanted)
        found.append(
            ConstantInput(
                role=ConstantRole.STORED,
                node=name_of(node),
                index=index,
                axis=axes[0] if axes else None,
                rows=len(axes) > 1,
                override=override,
            )
        )
    return tuple(found)


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

    def __init__(self, options: StaticOptions, candidates: Candidates, flow: IntegerFlow) -> None:
        self._options = options
        self._candidates = candidates
        self._flow = flow
        self._nodes: dict[str, NodeQuant] = {}
        self._tensors: dict[str, TensorQuant] = {}
        self._absorbed: dict[str, str] = {}
        self._kept: dict[str, Kept] = dict(candidates.kept)
        self._overrides = overrides_by_name(options)

    def plan(self) -> QuantPlan:
        for node, rule in self._candidates.rules.items():
            if node in self._flow.nodes and node.name not in self._absorbed:
                self._add(node, rule)
        for node in self._candidates.rules:
            name = name_of(node)
            if name not in self._nodes and name not in self._absorbed:
                excluded = node.op_type in self._candidates.float_outputs
                self._kept[name] = _OUTPUT_EXCLUDED if excluded else _NO_NEIGHBOUR
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
        per_channel = self._options.weight.per_channel
        weight = constant_weight(node, rule, self._overrides, per_channel=per_channel)
        inputs = tuple(
            index
            for index in rule.activation_inputs(node)
            if not any(index == where.index for where in weight)
        )
        tensors = tuple(self._read(node.inputs[index]) for index in inputs)
        output, clamp = self._output(node, rule)
        self._nodes[name] = NodeQuant(
            node=name,
            inputs=inputs,
            tensors=tensors,
            constants=(
                *weight,
                *stored_constants(node, rule, self._overrides, per_channel=per_channel),
                *(bias for where in weight for bias in self._bias(node, rule, where)),
            ),
            output=output,
            clamp=clamp,
        )

    def _bias(
        self, node: ir.Node, rule: OpRule, weight: ConstantInput
    ) -> tuple[ConstantInput, ...]:
        found = self._bias_input(node, rule)
        if found is None:
            return ()
        where = ConstantInput(
            role=ConstantRole.BIAS,
            node=name_of(found[0]),
            index=found[1],
            axis=None if weight.axis is None else 0,
            stays_float=not self._options.pairs.quantize_bias,
        )
        return (where,)

    def _bias_input(self, node: ir.Node, rule: OpRule) -> tuple[ir.Node, int] | None:
        if rule.bias is not None:
            bias = node.inputs[rule.bias] if len(node.inputs) > rule.bias else None
            if bias is None:
                return None
            array = constant(bias)
            if rule.role is Role.FLOAT and (array is None or array.ndim > 1):
                return None
            return node, rule.bias
        found = bias_add(node) if node.op_type == "MatMul" else None
        if found is not None and found[0] in self._candidates.rules:
            self._absorbed[name_of(found[0])] = name_of(node)
        return found

    def _read(self, value: ir.Value | None) -> str:
        name = name_of(value)
        if name not in self._tensors:
            if (existing := existing_parameters(value)) is not None:
                self._tensors[name] = TensorQuant(
                    name=name, source=ParameterSource.FIXED, fixed=existing_range(existing)
                )
            elif constant(value) is not None:
                self._tensors[name] = TensorQuant(
                    name=name,
                    source=ParameterSource.WEIGHT,
                    override=self._overrides.get(name),
                )
            else:
                self._tensors[name] = self._own_parameters(name, self._unseen_range(value))
        return name

    def _own_parameters(
        self, name: str, fixed: tuple[float, float] | None = None, *, everywhere: bool = False
    ) -> TensorQuant:
        """Return a tensor with parameters that no other has, by the range that its node fixes."""
        override = self._overrides.get(name)
        if override is not None and override.settled:
            fixed = override.range
        given = fixed is not None or (override is not None and override.settled)
        return TensorQuant(
            name=name,
            source=ParameterSource.FIXED if given else ParameterSource.CALIBRATED,
            fixed=fixed,
            override=override,
            everywhere=everywhere,
        )

    def _unseen_range(self, value: ir.Value | None) -> tuple[float, float] | None:
        """Return the range of what a node gives that was to be quantized until data was seen.

        So a fixed range was not observed; that of others was.
        """
        producer = producer_of(value)
        kept = self._kept.get(name_of(producer)) if producer is not None else None
        if producer is None or kept is None or kept.reason is not Reason.MASKED:
            return None
        rule = rule_of(producer)
        return rule.fixed_output if rule is not None else None

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
            clamp = producer.name
        if clamp is not None:
            self._absorbed[clamp] = name_of(node)
        name = name_of(point)
        if rule.role is Role.SHARE and clamp is None:
            self._inherit(node, point)
            return name, clamp
        fixed = rule.fixed_output if clamp is None else None
        self._tensors[name] = self._own_parameters(name, fixed, everywhere=True)
        return name, clamp

    def _inherit(self, node: ir.Node, value: ir.Value) -> None:
        name = name_of(value)
        self._tensors[name] = TensorQuant(
            name=name,
            source=ParameterSource.INHERITED,
            inherited_from=name_of(node.inputs[0]),
            everywhere=True,
        )
