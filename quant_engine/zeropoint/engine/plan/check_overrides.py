"""Overrides of single tensors, held against the model and its plan before any data is taken."""

from collections.abc import Collection, Iterator

import onnx_ir as ir

from zeropoint.engine.errors import OptionError
from zeropoint.engine.graph import array_of, name_of
from zeropoint.engine.number_types import QuantType
from zeropoint.engine.operators import rule_of
from zeropoint.engine.options import PostTrainingOptions, StaticOptions
from zeropoint.engine.plan.choice import nearest
from zeropoint.engine.plan.quant_plan import ConstantInput, ConstantRole, QuantPlan, TensorQuant
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.tensor_override import TensorQuantOverride


def check_overrides(
    graph: ir.Graph, plan: QuantPlan, options: PostTrainingOptions, known: Collection[str]
) -> None:
    """Refuse overrides that the plan has no use for, and those that no integer kernel takes.

    All tensors of the user's model are `known`.

    Raises:
        OptionError: TENSOR_UNKNOWN, OPTION_INVALID or OPTION_CONFLICT, with the tensor's name.
    """
    if options.tensor_quant_overrides:
        check = _Check(graph, plan, options)
        for override in options.tensor_quant_overrides:
            check.one(override, known)
        check.types()


class _Check:
    def __init__(self, graph: ir.Graph, plan: QuantPlan, options: PostTrainingOptions) -> None:
        self._plan = plan
        self._options = options
        self._nodes = {name_of(node): node for node in graph.all_nodes()}
        self._constants: dict[str, list[ConstantInput]] = {}
        for where in (where for quant in plan.nodes.values() for where in quant.constants):
            name = name_of(self._nodes[where.node].inputs[where.index])
            self._constants.setdefault(name, []).append(where)
        values = (value for node in self._nodes.values() for value in (*node.inputs, *node.outputs))
        self._values = {name_of(value): value for value in values if value is not None}

    def one(self, override: TensorQuantOverride, known: Collection[str]) -> None:
        """Check one override."""
        name = override.tensor_name
        read = self._constants.get(name, [])
        tensor = self._plan.tensors.get(name)
        if constants := [c for c in read if c.role is not ConstantRole.BIAS]:
            for where in constants:
                self._constant(override, where)
        elif tensor is not None:
            self._tensor(override, tensor)
        elif read:
            raise override.error("it is a bias, whose scale follows from input and weight")
        elif name in known or name in self._values:
            raise override.error(
                "it is not quantized with these options, so that nothing is to be overridden"
                f"{self._instead(name)}"
            )
        else:
            raise OptionError(
                "TENSOR_UNKNOWN",
                f"tensor_quant_overrides: tensor {name!r} is not present in the model"
                f"{nearest(name, known) or '.'}",
                option="tensor_quant_overrides",
                tensor=name,
            )

    def types(self) -> None:
        """Refuse int8 activations with uint8 weights, for which there are no integer kernels."""
        if not isinstance(self._options, StaticOptions):
            return
        for quant in self._plan.nodes.values():
            if quant.weight is None or not quant.tensors:
                continue
            tensor = self._plan.root(self._plan.tensors[quant.tensors[0]])
            activation = self._options.of(tensor.override).activation_type
            weight = quant.weight.options(self._options.weight).stored
            blamed = quant.weight.override or tensor.override
            if blamed is not None and not activation.number.multiplies(weight):
                raise blamed.error(
                    f"node {quant.node!r} would have int8 activations with uint8 weights, for "
                    "which ONNX Runtime has no integer kernels",
                    "OPTION_CONFLICT",
                    node=quant.node,
                )

    def _tensor(self, override: TensorQuantOverride, tensor: TensorQuant) -> None:
        if tensor.source is ParameterSource.DYNAMIC:
            raise override.error("it is quantized as the model runs, with the range of each run")
        if tensor.source is ParameterSource.INHERITED:
            root = self._plan.root(tensor).name
            raise override.error(f"it has the parameters of {root!r}; override that one")
        if tensor.override is None:
            raise override.error("the model quantizes it already, and its parameters are kept")
        if override.axis is not None:
            raise override.error("only weights can have an axis")
        if override.reduce_range is not None:
            raise override.error("only weights can have a reduced range")
        assert isinstance(self._options, StaticOptions)
        _check_codes(override, self._options.of(override).activation_type)

    def _constant(self, override: TensorQuantOverride, where: ConstantInput) -> None:
        node = self._nodes[where.node]
        rule, array = rule_of(node), array_of(node.inputs[where.index])
        assert rule is not None, node.name
        if where.rows or (rule.stored and node.op_type != "Gather"):
            raise override.error(
                f"the kernels of {node.op_type} say how many scales it has; set weight_type or "
                "per_channel for all, or leave the node out"
            )
        _check_codes(override, self._options.weight.of(override).codes)
        if override.axis is None:
            return
        axis = override.axis + (array.ndim if override.axis < 0 else 0)
        allowed = next(iter(rule.scale_axes(node, array.shape, per_channel=True)), None)
        if axis != allowed:
            told = "there is none" if allowed is None else f"that is {allowed}"
            raise override.error(
                f"axis {override.axis} is not that of the channels which node {node.name!r} can "
                f"have scales for: {told}"
            )
        sizes = {len(figures) for figures in (override.scale, override.rmin) if figures}
        if sizes - {array.shape[axis]}:
            raise override.error(
                f"there are figures for {sizes.pop()} channels; axis {override.axis} has "
                f"{array.shape[axis]}"
            )

    def _instead(self, name: str) -> str:
        """Say where the values of a tensor are quantized, if that is right behind it."""
        for later in _followers(self._values.get(name)):
            if later in self._plan.tensors:
                return f"; its values are quantized as {later!r}"
        return ""


def _followers(value: ir.Value | None) -> Iterator[str]:
    """Return what casts, biases and clamps make of a tensor, in their order."""
    while value is not None:
        uses = [use.node for use in value.uses()]
        node = uses[0] if len(uses) == 1 else None
        if node is None or node.op_type not in ("Add", "Cast", "Clip", "Relu"):
            return
        value = node.outputs[0]
        yield name_of(value)


def _check_codes(override: TensorQuantOverride, quant_type: QuantType) -> None:
    low, high = quant_type.number.limits
    for zero_point in override.zero_point:
        if not low <= zero_point <= high:
            raise override.error(f"zero_point {zero_point} is no code of {quant_type}")
