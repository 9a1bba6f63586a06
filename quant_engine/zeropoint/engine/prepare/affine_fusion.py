"""Folding what follows a Conv, ConvTranspose or Gemm, channel by channel, into its weights.

    f * (W x + b) + s  =  (f W) x + (f b + s)

for BatchNormalization, and for Mul, Div, Add and Sub with a constant for each channel, which is
how some exporters write a bias. Figures are computed in float64.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import (
    GraphEditor,
    add_origins,
    array_of,
    constant,
    input_at,
    merge_output,
    origins,
    remove_unused,
    set_input,
)
from zeropoint.engine.operators import Layout, layout_of, output_channels, rule_of

_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})
_FLOATS = frozenset({ir.DataType.DOUBLE, ir.DataType.FLOAT, ir.DataType.FLOAT16})
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """y = factor * x + shift, for each channel; both of shape [channels]."""

    factor: Array
    shift: Array

    def after(self, first: "Affine") -> "Affine":
        """Return both in one, `first` first."""
        return Affine(self.factor * first.factor, self.factor * first.shift + self.shift)


def fuse_affine(graph: ir.Graph, weights: WeightFile) -> None:
    """Fold affine functions of each channel into the node before them, in place, bodies too."""
    editor = GraphEditor(graph, weights=weights)
    for inner in (graph, *graph.subgraphs()):
        for node in inner:
            _fuse_followers(inner, node, editor)
    remove_unused(graph)


def take_affine(node: ir.Node, factor: float, shift: float, editor: GraphEditor) -> bool:
    """Let a layer give factor * y + shift, by its weights, in place; tell whether it could."""
    layer = _Layer.of(node)
    if layer is None:
        return False
    ones = np.ones(layer.channels)
    return layer.take(Affine(factor * ones, shift * ones), editor)


def _fuse_followers(graph: ir.Graph, node: ir.Node, editor: GraphEditor) -> None:
    layer = _Layer.of(node)
    if layer is None:
        return
    followers, affine = affine_followers(node, layer.channels, layer.rank)
    if not followers or not layer.take(affine, editor):
        return
    for follower in followers:
        merge_output(graph, follower, node.outputs[0], take_name=True)
        add_origins(node, origins(follower))


@dataclass(frozen=True, slots=True)
class _Layer:
    """A node with constant weights.

    Attributes:
        node: Conv, ConvTranspose or Gemm.
        weight: Its constant weight.
        layout: How it lies.
        rank: Rank of the output.
    """

    node: ir.Node
    weight: ir.Value
    layout: Layout
    rank: int

    @classmethod
    def of(cls, node: ir.Node) -> "_Layer | None":
        weight, rule = input_at(node, 1), rule_of(node)
        array = constant(weight)
        if weight is None or array is None or weight.dtype not in _FLOATS:
            return None
        layout = layout_of(node, array.ndim)
        if layout is None or rule is None or rule.bias is None:
            return None
        layer = cls(node, weight, layout, array.ndim)
        return layer if layer_bias(node, layer.channels) is not None else None

    @property
    def channels(self) -> int:
        """Output channels."""
        return output_channels(self.node, array_of(self.weight).shape)

    def take(self, affine: Affine, editor: GraphEditor) -> bool:
        """Take an affine function of the output into the weights, if they stay finite."""
        old, bias = array_of(self.weight), layer_bias(self.node, self.channels)
        assert bias is not None
        groups, axis = self.layout.output_groups, self.layout.outputs
        split = old.reshape(groups, -1, *old.shape[1:])
        factor_shape = [1] * split.ndim
        factor_shape[0], factor_shape[axis + 1] = groups, -1
        with np.errstate(over="ignore", invalid="ignore"):
            new = (split * affine.factor.reshape(factor_shape)).astype(old.dtype)
            new_bias = (affine.factor * bias + affine.shift).astype(old.dtype)
        if not (np.isfinite(new).all() and np.isfinite(new_bias).all()):
            return False
        self._set(1, new.reshape(old.shape), "weight", editor)
        self._set(2, new_bias, "bias", editor)
        if self.node.op_type == "Gemm":
            self.node.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
        return True

    def _set(self, index: int, array: NDArray[np.generic], role: str, editor: GraphEditor) -> None:
        """Set an input to a constant; the old one keeps its name if nothing else reads it."""
        node = self.node
        old = input_at(node, index)
        if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
            editor.set_array(old, array)
        else:
            set_input(node, index, editor.constant(f"{node.name}_{role}", array))


def layer_bias(node: ir.Node, channels: int) -> Array | None:
    """Return what is added to each channel; None where that is computed or not per channel."""
    value = input_at(node, 2)
    if value is None:
        return np.zeros(channels)
    array = constant(value)
    bias = None if array is None else _per_channel(array, channels, 1)
    beta = node.attributes.get_float("beta", 1.0) if node.op_type == "Gemm" else 1.0
    return None if bias is None else beta * bias


def affine_followers(node: ir.Node, channels: int, rank: int) -> tuple[list[ir.Node], Affine]:
    """Return the affine nodes that follow a node one after the other, and what they do together.

    Its output has `rank` axes, and its channels on axis 1.
    """
    followers: list[ir.Node] = []
    total = Affine(np.ones(channels), np.zeros(channels))
    value = node.outputs[0]
    while not value.is_graph_output() and len(value.uses()) == 1:
        ((follower, index),) = value.uses()
        if follower.graph is not node.graph or follower.domain:
            break
        affine = _affine(follower, index, channels, rank)
        if affine is None:
            break
        followers.append(follower)
        total = affine.after(total)
        value = follower.outputs[0]
    return followers, total


def _affine(node: ir.Node, index: int, channels: int, rank: int) -> Affine | None:
    """Return what a node does to each channel of its input `index`; None if not just that."""
    if node.op_type == "BatchNormalization":
        return _normalization(node, channels) if index == 0 else None
    if node.op_type not in _ARITHMETIC:
        return None
    operand = node.inputs[1 - index]
    array = constant(operand) if operand is not None else None
    other = None if array is None else _per_channel(array, channels, rank - 1)
    if other is None:
        return None
    one, zero = np.ones_like(other), np.zeros_like(other)
    match node.op_type, index:
        case "Add", _:
            return Affine(one, other)
        case "Mul", _:
            return Affine(other, zero)
        case "Sub", 0:
            return Affine(one, -other)
        case "Sub", 1:
            return Affine(-one, other)
        case "Div", 0 if other.all():
            return Affine(1.0 / other, zero)
    return None


def _normalization(node: ir.Node, channels: int) -> Affine | None:
    """Y = scale * (x - mean) / sqrt(variance + epsilon) + bias, with constant statistics."""
    trains = node.attributes.get_int("training_mode", 0) or not node.attributes.get_int(
        "spatial", 1
    )
    if trains or any(value.name for value in node.outputs[1:]):
        return None
    arrays = [constant(value) for value in node.inputs[1:5]]
    figures = [array.astype(np.float64) for array in arrays if array is not None]
    if [figure.shape for figure in figures] != [(channels,)] * 4:
        return None
    scale, bias, mean, variance = figures
    deviation = np.sqrt(np.maximum(variance + node.attributes.get_float("epsilon", 1e-5), 0.0))
    if not deviation.all():
        return None
    factor = scale / deviation
    return Affine(factor, bias - factor * mean)


def _per_channel(array: NDArray[np.generic], channels: int, axis_from_end: int) -> Array | None:
    """Return one figure for each channel; None where an array varies along another axis.

    The array is broadcast against an output with its channels on axis 1, which counted from the
    last one as 1 is `axis_from_end`.
    """
    if array.ndim > axis_from_end + 1:
        return None
    axis = array.ndim - axis_from_end
    varying = [index for index, size in enumerate(array.shape) if size != 1]
    if varying not in ([], [axis]) or array.size not in (1, channels):
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (channels,))
