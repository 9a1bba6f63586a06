"""How a layer multiplies: its weight as matrices, and its data as the rows that meet them.

    y = W x, W [groups, outputs of a group, inputs of a group], x [groups, rows, inputs of a group]

A row is one place of the result: one pixel of a Conv, one token of a MatMul.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import rank_of
from zeropoint.engine.operators import is_unscaled

Array = NDArray[Any]

_MATRIX = 2  # dimensions
_GOLDEN = (math.sqrt(5) - 1) / 2


class LayerForm(Protocol):
    """How one layer multiplies."""

    @property
    def channels(self) -> int:
        """Axis of the output channels in the result."""

    def matrices(self, weight: Array) -> Array:
        """Return a weight, or what its elements have, as [groups, outputs, inputs]."""

    def weight(self, matrices: Array) -> Array:
        """Return what `matrices` was made of."""

    def places(self, result: Sequence[int]) -> int:
        """Return how many rows there are, given the shape of the result."""

    def rows(self, data: Array, result: Sequence[int], at: NDArray[np.intp]) -> Array:
        """Return the data that some places of the result are computed from.

        Args:
            data: The layer's input.
            result: Shape of its result.
            at: Numbers of the places.

        Returns:
            [groups, rows, inputs of a group], of the type of `data`.
        """

    def outputs(self, result: Array, at: NDArray[np.intp]) -> Array:
        """Return the result at some places, [groups, rows, outputs of a group]."""


@dataclass(frozen=True, slots=True)
class Product:
    """MatMul or Gemm with a matrix: data [..., inputs].

    Attributes:
        transposed: Whether the weight is [outputs, inputs].
    """

    transposed: bool

    @property
    def channels(self) -> int:  # noqa: D102 - see LayerForm
        return -1

    def matrices(self, weight: Array) -> Array:  # noqa: D102
        return (weight if self.transposed else weight.T)[np.newaxis]

    def weight(self, matrices: Array) -> Array:  # noqa: D102
        return np.ascontiguousarray(matrices[0] if self.transposed else matrices[0].T)

    def places(self, result: Sequence[int]) -> int:  # noqa: D102
        return math.prod(result[:-1])

    def rows(  # noqa: D102
        self, data: Array, result: Sequence[int], at: NDArray[np.intp]
    ) -> Array:
        del result
        return data.reshape(-1, data.shape[-1])[at][np.newaxis]

    def outputs(self, result: Array, at: NDArray[np.intp]) -> Array:  # noqa: D102
        return result.reshape(-1, result.shape[-1])[at][np.newaxis]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """Conv: data [batch, channels, ...], weight [outputs, channels of a group, ...].

    Attributes:
        shape: Of the weight.
        groups: Groups of channels.
        strides: Along each spatial axis.
        dilations: Likewise.
        pads: At the begin of each spatial axis, then at each end; None where `auto_pad` says it.
        auto_pad: As the attribute of Conv.
    """

    shape: tuple[int, ...]
    groups: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...] | None
    auto_pad: str

    @property
    def channels(self) -> int:  # noqa: D102
        return 1

    def matrices(self, weight: Array) -> Array:  # noqa: D102
        return weight.reshape(self.groups, self.shape[0] // self.groups, -1)

    def weight(self, matrices: Array) -> Array:  # noqa: D102
        return np.ascontiguousarray(matrices.reshape(self.shape))

    def places(self, result: Sequence[int]) -> int:  # noqa: D102
        return result[0] * math.prod(result[2:])

    def rows(  # noqa: D102
        self, data: Array, result: Sequence[int], at: NDArray[np.intp]
    ) -> Array:
        kernel = self.shape[2:]
        padded = np.pad(data, ((0, 0), (0, 0), *self._padding(data.shape[2:], result[2:])))
        where = np.unravel_index(at, (result[0], *result[2:]))
        index: list[Any] = [where[0].reshape(-1, *(1,) * len(kernel)), slice(None)]
        for axis, size in enumerate(kernel):
            first = (where[1 + axis] * self.strides[axis])[:, np.newaxis]
            taken = first + np.arange(size) * self.dilations[axis]
            index.append(taken.reshape(-1, *(size if i == axis else 1 for i in range(len(kernel)))))
        patches = padded[tuple(index)]  # [rows, *kernel, channels]: the indices stand apart
        rows = np.moveaxis(patches.reshape(len(at), -1, data.shape[1]), 1, 2)
        found: Array = rows.reshape(len(at), self.groups, -1).swapaxes(0, 1)
        return found

    def outputs(self, result: Array, at: NDArray[np.intp]) -> Array:  # noqa: D102
        where = np.unravel_index(at, (result.shape[0], *result.shape[2:]))
        taken = np.moveaxis(result, 1, -1)[where]
        return taken.reshape(len(at), self.groups, -1).swapaxes(0, 1)

    def _padding(self, sizes: Sequence[int], result: Sequence[int]) -> list[tuple[int, int]]:
        rank = len(sizes)
        if self.pads is not None:
            return [(self.pads[axis], self.pads[axis + rank]) for axis in range(rank)]
        found = []
        for axis, size in enumerate(sizes):
            reach = (self.shape[2 + axis] - 1) * self.dilations[axis] + 1
            total = max(0, (result[axis] - 1) * self.strides[axis] + reach - size)
            less, more = total // 2, total - total // 2
            found.append((more, less) if self.auto_pad == "SAME_LOWER" else (less, more))
        return found


def form_of(node: ir.Node, weight: Array) -> LayerForm | None:
    """Return how a layer multiplies with its weight; None where that is none of these forms."""
    match node.op_type:
        case "Conv":
            return _convolution(node, weight)
        case "MatMul" if weight.ndim == _MATRIX:
            return Product(transposed=False) if (rank_of(node.inputs[0]) or _MATRIX) > 1 else None
        case "Gemm" if is_unscaled(node) and not node.attributes.get_int("transA", 0):
            return Product(transposed=bool(node.attributes.get_int("transB", 0)))
    return None


def spread(places: int, count: int) -> NDArray[np.intp]:
    """Return numbers of at most `count` places, spread evenly whatever the length of lines is.

    The steps are those of the golden ratio, made prime to the number of places.
    """
    if places <= count:
        return np.arange(places)
    step = max(1, round(places * _GOLDEN))
    while math.gcd(step, places) > 1:
        step += 1
    return np.sort(np.arange(count) * step % places)


def _convolution(node: ir.Node, weight: Array) -> Convolution:
    rank = weight.ndim - 2
    ones, zeros = (1,) * rank, (0,) * (2 * rank)
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET")
    explicit = tuple(node.attributes.get_ints("pads", zeros))
    pads = {"NOTSET": explicit, "": explicit, "VALID": zeros}.get(auto_pad)
    return Convolution(
        shape=weight.shape,
        groups=node.attributes.get_int("group", 1),
        strides=tuple(node.attributes.get_ints("strides", ones)),
        dilations=tuple(node.attributes.get_ints("dilations", ones)),
        pads=pads,
        auto_pad=auto_pad,
    )
