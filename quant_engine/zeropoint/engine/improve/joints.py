"""Places where factors can move: from what gives a tensor into the layers that read it, exactly.

    y = A x,  z = B f(y)     equals     y' = (A / s) x,  z = (B s) f(y')

for positive factors s of the channels of y, where f is positively homogeneous: f(c y) = c f(y).
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import constant, input_at, name_of, rank_of
from zeropoint.engine.improve.layer_form import Convolution, LayerForm, Product, form_of
from zeropoint.engine.improve.passes import passes_factors
from zeropoint.engine.plan import InputKey, bias_add, only_consumer

Array = NDArray[Any]

LAST, SECOND = -1, 1
"""Axis of the channels: of products, and of what slides over places."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scalable:
    """A constant that takes factors of channels.

    Attributes:
        key: Where it is read.
        array: Its values.
        spread: Gives factors, one for each channel, the shape in which they meet the values.
        peaks: Gives the largest magnitude of each channel, of values of that shape.
        apart: Whether each output of a weight reads one channel alone, as of depthwise Conv.
    """

    key: InputKey
    array: Array
    spread: Callable[[Array], Array]
    peaks: Callable[[Array], Array]
    apart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joint:
    """One place.

    Attributes:
        tensor: What the source gives.
        axis: Axis of its channels.
        channels: How many there are.
        layer: Whether the source is a layer; else a normalization, or a product with a constant.
        sources: What is divided by factors: the weight of a layer first.
        sinks: Weights that are multiplied with them.
        between: Tensors that are divided, with the axes of their channels.
        read: The tensor that the first sink reads, likewise.
    """

    tensor: str
    axis: int
    channels: int
    layer: bool
    sources: tuple[Scalable, ...]
    sinks: tuple[Scalable, ...]
    between: tuple[tuple[str, int], ...]
    read: tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    value: ir.Value
    axis: int
    channels: int
    constants: tuple[Scalable, ...]


def find_joints(graph: ir.Graph, fixed: Collection[str] = ()) -> Iterator[Joint]:
    """Yield the places of a graph, in its order.

    Args:
        graph: The main graph of a prepared model.
        fixed: Names of weights that must stay as they are.
    """
    for node in graph:
        layer = _layer_source(node, fixed)
        source = layer or _normalization(node) or _product(node)
        found = None if source is None else _follow(source, fixed)
        if source is None or found is None:
            continue
        own = dict.fromkeys((name_of(node.outputs[0]), name_of(source.value)))
        yield Joint(
            tensor=name_of(source.value),
            axis=source.axis,
            channels=source.channels,
            layer=layer is not None,
            sources=source.constants,
            sinks=found[0],
            between=(*((name, source.axis) for name in own), *found[1]),
            read=found[2],
        )


def _follow(
    source: _Source, fixed: Collection[str]
) -> tuple[tuple[Scalable, ...], tuple[tuple[str, int], ...], tuple[str, int]] | None:
    """Return the weights behind a source, the tensors on the way, and what the first one reads.

    None where anything else reads it.
    """
    sinks: list[Scalable] = []
    read = ("", 0)
    between: list[tuple[str, int]] = []
    pending = [(source.value, source.axis)]
    while pending:
        value, axis = pending.pop()
        if value.is_graph_output() or not value.uses():
            return None
        for reader, index in value.uses():
            if reader.graph is not value.graph or index != 0:
                return None
            sink = _sink(reader, axis, source.channels, fixed)
            further = None if sink else passes_factors(reader, axis, source.channels)
            if sink is not None:
                read = read if sinks else (name_of(value), axis)
                sinks.append(sink)
            elif further is not None:
                pending.append((reader.outputs[0], further))
                between.append((name_of(reader.outputs[0]), further))
            else:
                return None
    return tuple(sinks), tuple(between), read


def _weight(node: ir.Node, fixed: Collection[str]) -> tuple[Array, LayerForm] | None:
    """Return the weight of a layer that nothing else reads, and how it multiplies."""
    value = input_at(node, 1)
    if node.domain or value is None or len(value.uses()) > 1 or value.name in fixed:
        return None
    array = constant(value)
    if array is None or array.dtype != np.float32:
        return None
    form = form_of(node, array)
    return None if form is None else (array, form)


def _sink(node: ir.Node, axis: int, channels: int, fixed: Collection[str]) -> Scalable | None:
    found = _weight(node, fixed)
    if found is None:
        return None
    array, form = found
    key = (name_of(node), 1)
    if isinstance(form, Convolution):
        groups, size = form.groups, array.shape[1]
        if axis != SECOND or groups * size != channels:
            return None

        def spread(factors: Array) -> Array:
            rows = np.repeat(factors.reshape(groups, size), array.shape[0] // groups, axis=0)
            return rows.reshape(*array.shape[:2], *(1,) * (array.ndim - 2))

        def peaks(values: Array) -> Array:
            grouped = values.reshape(groups, array.shape[0] // groups, size, -1)
            return _peaks(grouped, 1, 3).reshape(-1)

        return Scalable(key=key, array=array, spread=spread, peaks=peaks, apart=size == 1)
    assert isinstance(form, Product)
    along = int(form.transposed)
    if axis != LAST or array.shape[along] != channels:
        return None
    return _along(key, array, along)


def _layer_source(node: ir.Node, fixed: Collection[str]) -> _Source | None:
    found = _weight(node, fixed)
    if found is None:
        return None
    array, form = found
    convolves = isinstance(form, Convolution)
    along = 0 if convolves or (isinstance(form, Product) and form.transposed) else 1
    channels, axis = array.shape[along], SECOND if convolves else LAST
    constants = [_along((name_of(node), 1), array, along)]
    value, bias = node.outputs[0], (node, 2)
    if node.op_type == "MatMul":
        added = bias_add(node)
        if added is None:
            return _Source(value=value, axis=axis, channels=channels, constants=(*constants,))
        value, bias = added[0].outputs[0], added
    if input_at(*bias) is not None:
        one = _figures(bias[0], bias[1], channels, LAST)
        if one is None:
            return None
        constants.append(one)
    return _Source(value=value, axis=axis, channels=channels, constants=(*constants,))


def _normalization(node: ir.Node) -> _Source | None:
    """Take LayerNormalization over the last axis."""
    value = node.outputs[0]
    rank = rank_of(value)
    if node.domain or node.op_type != "LayerNormalization" or rank is None:
        return None
    scale = constant(node.inputs[1])
    if node.attributes.get_int("axis", -1) % rank != rank - 1 or scale is None:
        return None
    found = [
        _figures(node, index, scale.size, LAST)
        for index in (1, 2)
        if input_at(node, index) is not None
    ]
    constants = tuple(one for one in found if one is not None)
    if len(constants) < len(found):
        return None
    return _Source(value=value, axis=LAST, channels=scale.size, constants=constants)


def _product(node: ir.Node) -> _Source | None:
    """Take a product with a constant for each channel, and a sum with another behind it."""
    if node.domain or node.op_type != "Mul":
        return None
    for index in (0, 1):
        array, rank = constant(node.inputs[index]), rank_of(node.inputs[1 - index])
        axis = None if array is None or rank is None else _axis_of(array, rank)
        if array is None or axis is None:
            continue
        factor = _figures(node, index, array.size, axis)
        value, constants = node.outputs[0], [factor]
        follower = only_consumer(value)
        if follower is not None and follower.op_type == "Add":
            other = next(i for i, each in enumerate(follower.inputs) if each is not value)
            constants.append(_figures(follower, other, array.size, axis))
            value = follower.outputs[0]
        if None in constants:
            return None
        return _Source(
            value=value,
            axis=axis,
            channels=array.size,
            constants=tuple(one for one in constants if one is not None),
        )
    return None


def _axis_of(array: Array, rank: int) -> int | None:
    """Return the axis along which a constant varies: the last, or the second of several."""
    if array.ndim > rank or array.size == 1:
        return None
    if array.shape[-1] == array.size:
        return LAST
    second = rank - array.ndim  # where the constant begins
    if second <= SECOND < rank - 1 and array.shape[SECOND - second] == array.size:
        return SECOND
    return None


def _figures(node: ir.Node, index: int, channels: int, axis: int) -> Scalable | None:
    """Return a constant with one figure for each channel, or one for all."""
    array = constant(input_at(node, index))
    if array is None or array.dtype != np.float32 or array.size not in (1, channels):
        return None
    if axis == LAST:
        if array.size == channels and array.shape[-1:] != (channels,):
            return None

        def spread(factors: Array) -> Array:
            return factors.reshape(*(1,) * (array.ndim - 1), -1)

    else:
        if array.size != channels:
            return None

        def spread(factors: Array) -> Array:
            return factors.reshape(array.shape)

    def peaks(values: Array) -> Array:
        return np.broadcast_to(np.abs(values).reshape(-1), (channels,))

    return Scalable(key=(name_of(node), index), array=array, spread=spread, peaks=peaks)


def _along(key: InputKey, array: Array, axis: int) -> Scalable:
    """Return a constant whose channels lie along one axis."""
    shape = [-1 if each == axis else 1 for each in range(array.ndim)]
    others = tuple(each for each in range(array.ndim) if each != axis)
    return Scalable(
        key=key,
        array=array,
        spread=lambda factors: factors.reshape(shape),
        peaks=lambda values: _peaks(values, *others),
    )


def _peaks(values: Array, *axes: int) -> Array:
    found: Array = np.abs(values).max(axis=axes, initial=0)
    return found
