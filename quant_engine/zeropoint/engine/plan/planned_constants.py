"""Which constants of a node become integers, and along which axes they have scales of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import constant, name_of
from zeropoint.engine.numbers import LEAST_DB, QParams, one_scale_db, weight_qparams
from zeropoint.engine.operators import OpRule
from zeropoint.engine.options import PostTrainingOptions, WeightOptions
from zeropoint.engine.plan.quant_plan import ConstantInput, ConstantRole
from zeropoint.engine.tensor_override import TensorQuantOverride

Overrides = Mapping[str, TensorQuantOverride]
"""What the user wants of single tensors, by name."""


def overrides_of(options: PostTrainingOptions) -> Overrides:
    """Return what options want of single tensors, by name."""
    return {override.tensor_name: override for override in options.tensor_quant_overrides}


@dataclass(frozen=True, slots=True)
class WantedConstants:
    """What is wanted of constants.

    Attributes:
        overrides: What the user wants of single ones.
        stored: Parameters of those that are integers already, by name.
        weights: What holds for the others.
        per_channel: Nodes whose weight has scales for channels nevertheless.
    """

    overrides: Overrides
    stored: Mapping[str, QParams]
    weights: WeightOptions
    per_channel: frozenset[str]

    def channels_of(self, node: ir.Node) -> bool | None:
        """Whether a weight without a wish of its own has scales for channels; None: by need."""
        asked = name_of(node) in self.per_channel and self.weights.symmetric is not False
        return True if asked else self.weights.per_channel


def planned_constants(
    node: ir.Node, rule: OpRule, want: WantedConstants
) -> Iterator[ConstantInput]:
    """Yield the weight of a node, where it has a constant one, and what is stored of it."""
    for index in (rule.weight, *rule.stored):
        value = node.inputs[index] if index is not None else None
        array = constant(value)
        if index is None or array is None:
            continue
        override = want.overrides.get(name_of(value))
        kept = want.stored.get(name_of(value))
        wanted = want.channels_of(node) if override is None else override.axis is not None
        if wanted is None:
            wanted = kept is None and _needs_channels(node, rule, array, want.weights)
        axes = rule.scale_axes(node, array.shape, per_channel=wanted)
        if kept is not None:
            axes = () if kept.axis is None else (kept.axis,)
        yield ConstantInput(
            role=ConstantRole.STORED if index in rule.stored else ConstantRole.WEIGHT,
            node=name_of(node),
            index=index,
            axis=axes[0] if axes else None,
            rows=len(axes) > 1,
            per_channel=wanted,
            override=override,
            kept=kept,
        )


def _needs_channels(
    node: ir.Node, rule: OpRule, array: NDArray[np.floating], weights: WeightOptions
) -> bool:
    """Whether one scale would lose the channels of a weight, which can have scales of their own."""
    axes = rule.scale_axes(node, array.shape, per_channel=True)
    alike = axes == rule.scale_axes(node, array.shape, per_channel=False)
    if alike or weights.symmetric is False or not array.size:
        return False
    scale = weight_qparams(array, weights, None).scale
    return one_scale_db(array, axes, float(scale)) < LEAST_DB
