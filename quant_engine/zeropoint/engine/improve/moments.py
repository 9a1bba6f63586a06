"""What rounding and bias of a layer need to know of its data: sums over rows, in float64."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.improve.layer_form import LayerForm, spread

Array = NDArray[np.float64]
Pairs = Iterable[tuple[NDArray[Any], NDArray[Any]]]

_LEAST_PARTS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Means:
    """Sums over rows of a layer's quantized data x and of the float model's result y.

    Attributes:
        rows: Rows of each part of the data, float64[parts].
        data: Sum of x of each part, float64[parts, groups, inputs].
        result: Sum of y of each part, float64[parts, groups, outputs].
    """

    rows: Array
    data: Array
    result: Array

    @property
    def count(self) -> float:
        """How many rows there are."""
        return float(self.rows.sum())

    def offsets(self, weight: Array, bias: Array) -> Array:
        """Return the mean of y - W x - b of each part, float64[parts, groups, outputs]."""
        computed = np.einsum("goi,pgi->pgo", weight, self.data)
        found: Array = (self.result - computed) / self.rows[:, np.newaxis, np.newaxis] - bias
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments(Means):
    """The same with sums of products.

    Attributes:
        second: Sum of x x^T, float64[groups, inputs, inputs].
        cross: Sum of y x^T, float64[groups, outputs, inputs].
        squares: Sum of y^2, float64[groups, outputs].
    """

    second: Array
    cross: Array
    squares: Array

    @property
    def centred(self) -> Array:
        """Sum of (x - mean)(x - mean)^T."""
        total = self.data.sum(axis=0)
        product = total[..., :, np.newaxis] * total[..., np.newaxis, :]
        found: Array = self.second - product / max(self.count, 1.0)
        return found

    def error(self, weight: Array, bias: Array) -> Array:
        """Return sum (y - W x - b)^2 of each output, float64[groups, outputs].

        Args:
            weight: W, float64[groups, outputs, inputs].
            bias: b, float64[groups, outputs].
        """
        x, y = self.data.sum(axis=0), self.result.sum(axis=0)
        quadratic = np.einsum("goi,goi->go", weight @ self.second, weight)
        products = np.einsum("goi,goi->go", weight, self.cross)
        mixed = np.einsum("goi,gi->go", weight, x)
        found: Array = (
            self.squares - 2 * products + quadratic + bias * (2 * mixed - 2 * y + self.count * bias)
        )
        return found


def gather(form: LayerForm, pairs: Pairs, rows: int, *, products: bool) -> Means | None:
    """Sum up over samples.

    Args:
        form: How the layer multiplies.
        pairs: The layer's data in the quantized model and its result in the float model, a pair
            for each sample.
        rows: Rows looked at in all, about.
        products: Whether products are summed up, too, which takes most of the time.

    Returns:
        Moments where products are wanted; None where there are no rows.
    """
    sums: list[tuple[Array, ...]] = []
    totals: list[Array] = []
    for x, y in _parts(form, list(pairs), rows):
        sums.append((np.array(float(x.shape[1])), x.sum(axis=1), y.sum(axis=1)))
        if products:
            turned = x.swapaxes(1, 2)
            _add(totals, (turned @ x, y.swapaxes(1, 2) @ x, (y**2).sum(axis=1)))
    if not sums:
        return None
    counts, data, result = (np.stack(column) for column in zip(*sums, strict=True))
    if not products:
        return Means(rows=counts, data=data, result=result)
    second, cross, squares = totals
    return Moments(
        second=second, cross=cross, squares=squares, rows=counts, data=data, result=result
    )


def _parts(
    form: LayerForm, pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], rows: int
) -> Iterator[tuple[Array, Array]]:
    """Yield data and results of some places, sample by sample, in several parts at least."""
    each = max(1, rows // max(1, len(pairs)))
    parts = -(-_LEAST_PARTS // max(1, len(pairs)))
    for data, result in pairs:
        for at in np.array_split(spread(form.places(result.shape), each), parts):
            if at.size:
                yield (
                    form.rows(data, result.shape, at).astype(np.float64, order="C"),
                    form.outputs(result, at).astype(np.float64, order="C"),
                )


def _add(totals: list[Array], more: Iterable[Array]) -> None:
    if not totals:
        totals.extend(more)
        return
    for total, each in zip(totals, more, strict=True):
        total += each
