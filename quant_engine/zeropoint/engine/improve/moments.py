"""What rounding and bias of a layer need to know of its data: sums over rows, in float64."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.improve.layer_form import LayerForm, spread

Array = NDArray[np.float64]

_LEAST_PARTS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Sums over rows of a layer's quantized data x and of the float model's result y.

    Attributes:
        second: Sum of x x^T, float64[groups, inputs, inputs].
        cross: Sum of y x^T, float64[groups, outputs, inputs].
        squares: Sum of y^2, float64[groups, outputs].
        rows: Rows of each part of the data, float64[parts].
        data: Sum of x of each part, float64[parts, groups, inputs].
        result: Sum of y of each part, float64[parts, groups, outputs].
    """

    second: Array
    cross: Array
    squares: Array
    rows: Array
    data: Array
    result: Array

    @property
    def count(self) -> float:
        """How many rows there are."""
        return float(self.rows.sum())

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

    def offsets(self, weight: Array, bias: Array) -> Array:
        """Return the mean of y - W x - b of each part, float64[parts, groups, outputs]."""
        computed = np.einsum("goi,pgi->pgo", weight, self.data)
        found: Array = (self.result - computed) / self.rows[:, np.newaxis, np.newaxis] - bias
        return found


def gather_moments(
    form: LayerForm, pairs: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]], rows: int
) -> Moments | None:
    """Sum up over samples.

    Args:
        form: How the layer multiplies.
        pairs: The layer's data in the quantized model and its result in the float model, a pair
            for each sample.
        rows: Rows looked at in all, about.

    Returns:
        None where there are no rows.
    """
    given = list(pairs)
    each = max(1, rows // max(1, len(given)))
    parts = -(-_LEAST_PARTS // max(1, len(given)))
    found: list[tuple[Array, ...]] = []
    second = cross = squares = None
    for data, result in given:
        at = spread(form.places(result.shape), each)
        for part in np.array_split(at, parts):
            if not part.size:
                continue
            x = form.rows(data, result.shape, part).astype(np.float64, order="C")
            y = form.outputs(result, part).astype(np.float64, order="C")
            second = _added(second, x.swapaxes(1, 2) @ x)
            cross = _added(cross, y.swapaxes(1, 2) @ x)
            squares = _added(squares, (y**2).sum(axis=1))
            found.append((np.array(float(part.size)), x.sum(axis=1), y.sum(axis=1)))
    if second is None or cross is None or squares is None:
        return None
    counts, sums, results = (np.stack(column) for column in zip(*found, strict=True))
    return Moments(
        second=second, cross=cross, squares=squares, rows=counts, data=sums, result=results
    )


def _added(total: Array | None, more: Array) -> Array:
    if total is None:
        return more
    total += more
    return total
