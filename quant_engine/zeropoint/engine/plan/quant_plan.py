"""What will be done with each node and tensor of a model: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from zeropoint.engine.numbers import QParams
from zeropoint.engine.options import WeightOptions
from zeropoint.engine.reasons import Kept, Reason
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.tensor_override import TensorQuantOverride

# What is kept as the user's model has it, which ONNX Runtime may run on integers.
_AS_THEY_ARE = frozenset(
    {
        Reason.ALREADY_QUANTIZED,
        Reason.CONSTANT,
        Reason.INPUT_NOT_TRAINED,
        Reason.NOT_TRAINED,
        Reason.WEIGHT_NOT_TRAINED,
    }
)

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
        per_channel: Whether it has what options say of weights with scales for channels.
        override: What the user wants of it, where that is something of its own.
        kept: Parameters with which the user's model stores it already.
        stays_float: Whether it is a bias that is left to runtimes to quantize; the weight's scale
            is then still large enough for it.
    """

    role: ConstantRole
    node: str
    index: int
    axis: int | None = None
    rows: bool = False
    per_channel: bool = False
    override: TensorQuantOverride | None = None
    kept: QParams | None = None
    stays_float: bool = False

    @property
    def key(self) -> InputKey:
        """Where it is read."""
        return self.node, self.index

    def options(self, weights: WeightOptions) -> WeightOptions:
        """Return how it becomes integers, given how weights do."""
        return weights.of(self.override, per_channel=self.per_channel)


class Gated(StrEnum):
    """How hard-swish reads a tensor: ALONE, or together with other operators."""

    ALONE = "alone"
    SHARED = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeQuant:
    """How one node becomes an integer kernel.

    Attributes:
        node: Name in the prepared model.
        inputs: Indices of the inputs that are read through Q/DQ with a tensor's parameters.
        tensors: Names of these tensors, in the same order.
        dynamic: Indices of the inputs that are quantized as the model runs, whatever else is not.
        constants: Its weight, what it has stored, and its bias, in this order.
        output: The tensor at which the output is quantized; None where it stays float. Behind
            a clamp where one follows.
        clamp: Name of the Relu or Clip between the node and `output`.
        gate: Whether it is computed from codes by other operators: a HardSwish.
    """

    node: str
    inputs: tuple[int, ...]
    tensors: tuple[str, ...]
    dynamic: tuple[int, ...] = ()
    constants: tuple[ConstantInput, ...] = ()
    output: str | None = None
    clamp: str | None = None
    gate: bool = False

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

    @property
    def taken(self) -> tuple[str, ...]:
        """Names of the node and of those that disappear into it."""
        bias, clamp = self.bias, self.clamp
        return (self.node, *((bias.node,) if bias else ()), *((clamp,) if clamp else ()))

    @property
    def computes(self) -> bool:
        """Whether it computes on integers; else only its constants are stored as such."""
        return bool(self.tensors or self.weight or self.dynamic)

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
        gated: How gates read it, where its range may follow them.
    """

    name: str
    source: ParameterSource
    inherited_from: str = ""
    fixed: tuple[float, float] | None = None
    override: TensorQuantOverride | None = None
    everywhere: bool = False
    gated: Gated | None = None


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

    @property
    def floats(self) -> tuple[str, ...]:
        """Names of the nodes that compute with floats, whatever ONNX Runtime could make of them."""
        kept = (name for name, why in self.kept.items() if why.reason not in _AS_THEY_ARE)
        stored = (name for name, quant in self.nodes.items() if quant.stored and not quant.inputs)
        return (*kept, *stored)

    def root(self, tensor: TensorQuant) -> TensorQuant:
        """Return the tensor that one has its parameters from: itself, unless it inherits them."""
        while tensor.source is ParameterSource.INHERITED:
            tensor = self.tensors[tensor.inherited_from]
        return tensor
