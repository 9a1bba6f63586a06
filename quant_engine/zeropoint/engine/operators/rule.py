"""How an operator is quantized: the columns of a row."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import onnx_ir as ir

from zeropoint.engine.operators.traits import Trait

LEAST_STORED = 1024  # bytes
"""Size of a constant from which there is something to save."""


class Role(StrEnum):
    """What an operator means for quantization.

    COMPUTE nodes do the work on integer kernels and are what quantization is for. JOIN and SHARE
    nodes have integer forms that pay only where they keep integer kernels joined: JOIN nodes have
    output parameters of their own, SHARE nodes move or pick values and keep their input's. GATE
    nodes are joins without an integer kernel, which other operators compute from the codes. CLAMP
    nodes are absorbed where a quantized range already implies them. STORED nodes have constants
    that are stored as integers, and compute in float. FLOAT nodes run in float on ONNX Runtime
    and have Q/DQ pairs around them only where the user names them, for other runtimes.
    """

    COMPUTE = "compute"
    JOIN = "join"
    SHARE = "share"
    GATE = "gate"
    CLAMP = "clamp"
    STORED = "stored"
    FLOAT = "float"


class Layout(NamedTuple):
    """Where the channels of a weight lie.

    Attributes:
        outputs: Axis of the output channels.
        inputs: Axis of the input channels.
        output_groups: Groups of output channels that lie on that axis one over the other.
        input_groups: Likewise of input channels.
        single: Whether one axis tells all output channels apart, as kernels need for scales.
        data: Axis of the input channels in the data.
        transposed: Whether it is a matrix that is multiplied transposed.
    """

    outputs: int
    inputs: int
    output_groups: int = 1
    input_groups: int = 1
    single: bool = True
    data: int = 1
    transposed: bool = False


LayoutRule = Callable[[ir.Node, int], Layout | None]
"""Tells how the weight of a node lies, which has so many axes; None where it has no channels."""

Condition = Callable[[ir.Node], str | None]
"""Tells in words why a node of a known operator has no integer form; None where it has one."""


class ScaleRule(Protocol):
    """Tells along which axes a stored constant has scales of its own."""

    def __call__(
        self, node: ir.Node, shape: tuple[int, ...], /, *, per_channel: bool
    ) -> tuple[int, ...]:
        """Return the axes: none for one scale, one axis, or the first ones, taken as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRule:
    """How one operator is quantized.

    Attributes:
        role: What it means for quantization.
        activations: Inputs that carry data; None: all of them.
        weight: Input that may hold a constant weight.
        layout: Where its channels lie, for layers.
        bias: Input that holds the bias.
        computed_weight: Whether there is a form with a computed weight.
        computed_weight_dynamic: The same of dynamic quantization.
        stored: Inputs whose constants are stored as integers, for STORED.
        stored_axes: Axes of their scales.
        integer_output: Whether the integer kernel exists only with a quantized output.
        every_output: Whether it has several outputs, all of them data.
        float_ends: Whether the integer kernel is worth it where a part of its data is float.
        condition: Why a particular node has no integer form.
        dynamic: Whether there is a form for dynamic quantization.
        dynamic_data: Whether that form quantizes the first input as the model runs.
        min_opset: Opset from which the operator takes integers between Q/DQ pairs.
    """

    role: Role
    activations: tuple[int, ...] | None = (0,)
    weight: int | None = None
    layout: LayoutRule | None = None
    bias: int | None = None
    computed_weight: bool = True
    computed_weight_dynamic: bool = True
    stored: tuple[int, ...] = ()
    stored_axes: ScaleRule | None = None
    integer_output: bool = True
    every_output: bool = False
    float_ends: bool = False
    condition: Condition | None = None
    dynamic: bool = False
    dynamic_data: bool = True
    min_opset: int = 1

    def needs_constant_weight(self, *, dynamic: bool) -> bool:
        """Whether a node with a computed weight has no form."""
        return not (self.computed_weight_dynamic if dynamic else self.computed_weight)

    def channel_axis(self, node: ir.Node, rank: int) -> int | None:
        """Return the axis of a weight along which kernels take scales; None where there is none."""
        found = self.layout(node, rank) if self.layout is not None else None
        return found.outputs if found is not None and found.single else None

    def scale_axes(
        self, node: ir.Node, shape: tuple[int, ...], *, per_channel: bool
    ) -> tuple[int, ...]:
        """Return along which axes the weight, or what is stored, has scales; see `ScaleRule`."""
        if self.stored_axes is not None:
            return self.stored_axes(node, shape, per_channel=per_channel)
        axis = self.channel_axis(node, len(shape)) if per_channel else None
        return () if axis is None else (axis,)

    def data_outputs(self, node: ir.Node) -> tuple[ir.Value, ...]:
        """Return the outputs of `node` that carry data."""
        if self.role is Role.FLOAT:
            return tuple(v for v in node.outputs[:1] if v.dtype is ir.DataType.FLOAT)
        if not self.every_output:
            return (node.outputs[0],)
        return tuple(value for value in node.outputs if value.name)

    def activation_inputs(self, node: ir.Node) -> tuple[int, ...]:
        """Return the indices of the inputs of `node` that carry data."""
        present = len(node.inputs)
        if self.role is Role.FLOAT:  # axes and indices are among the inputs of some
            wanted = range(present) if self.activations is None else self.activations
            return tuple(i for i in wanted if i < present and is_float(node.inputs[i]))
        if self.activations is None:
            return tuple(i for i, value in enumerate(node.inputs) if value is not None)
        return tuple(i for i in self.activations if i < present and node.inputs[i] is not None)


def stored_rule(
    *stored: int, axes: ScaleRule, condition: Condition | None = None, dynamic_data: bool = False
) -> OpRule:
    """Return the rule of an operator that computes with floats, with its constants as integers."""
    return OpRule(
        role=Role.STORED,
        activations=(),
        stored=stored,
        stored_axes=axes,
        condition=condition,
        dynamic=True,
        dynamic_data=dynamic_data,
    )


class Variant(NamedTuple):
    """Another rule for some of the nodes of an operator."""

    applies: Callable[[ir.Node], bool]
    rule: OpRule


_NONE = Trait(0)


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of the table.

    Attributes:
        traits: What it does.
        rule: How its nodes are quantized; None where they stay float.
        variant: The nodes that are quantized otherwise, and how.
        bounds: Least and greatest value of its result, rounding included.
        axis: Default of the attribute `axis`; None where it has none.
    """

    traits: Trait = _NONE
    rule: OpRule | None = None
    variant: Variant | None = None
    bounds: tuple[float, float] | None = None
    axis: int | None = None

    @property
    def rules(self) -> tuple[OpRule, ...]:
        """All ways to quantize nodes of it."""
        found = (self.rule, self.variant.rule if self.variant is not None else None)
        return tuple(rule for rule in found if rule is not None)

    def rule_of(self, node: ir.Node) -> OpRule | None:
        """Return how one of its nodes is quantized."""
        variant = self.variant
        return variant.rule if variant is not None and variant.applies(node) else self.rule


def is_float(value: ir.Value | None) -> bool:
    """Whether a tensor is known to be FLOAT."""
    return value is not None and value.dtype is ir.DataType.FLOAT
