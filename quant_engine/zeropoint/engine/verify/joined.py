"""Outputs that join parts of different kinds, such as boxes with scores: each counts alike.

By its values such an output is what its largest part is: boxes of some hundred pixels hide what
becomes of scores between 0 and 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.verify.saturating import Saturation, Values, distribution_axis, in_front


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """How an output is joined.

    Attributes:
        axis: Along which.
        sizes: Of each part along it; 0: what the others leave, of one at most.
        saturations: What each part is the result of.
    """

    axis: int
    sizes: tuple[int, ...]
    saturations: tuple[Saturation | None, ...]

    def fits(self, array: NDArray[Any]) -> bool:
        """Whether an array can be cut so."""
        if not -array.ndim <= self.axis < array.ndim:
            return False
        left = int(array.shape[self.axis]) - sum(self.sizes)
        return left > 0 if 0 in self.sizes else left == 0

    def cut(self, array: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Yield the parts of an array that it fits."""
        left = array.shape[self.axis] - sum(self.sizes)
        begin = 0
        for size in self.sizes:
            end = begin + (size or left)
            yield np.moveaxis(np.moveaxis(array, self.axis, 0)[begin:end], 0, self.axis)
            begin = end

    def in_front(
        self, original: NDArray[Any], result: NDArray[Any], dtype: np.dtype[Any], rows: int
    ) -> tuple[Values, Values]:
        """Return both sides in front of what saturates each part: float64 [rows, values].

        Every part has the same power.

        Args:
            original: Results of the original, or some of its samples, as float64.
            result: Those of the quantized model.
            dtype: Type of the output.
            rows: Samples along the first axis; 1: all is one.
        """
        sides: tuple[list[Values], list[Values]] = ([], [])
        parts = zip(self.cut(original), self.cut(result), self.saturations, strict=True)
        for one, other, saturation in parts:
            axis = distribution_axis(one, saturation)
            front, back = (in_front(side, saturation, axis, dtype) for side in (one, other))
            finite = front[np.isfinite(front)]
            # Scores are far below zero nearly everywhere, and that says nothing.
            middle = float(finite.mean()) if saturation is not None and finite.size else 0.0
            power = float(np.sqrt(np.mean((finite - middle) ** 2))) if finite.size else 0.0
            unit = (power or 1.0) * np.sqrt(one.size)
            for side, values in zip(sides, (front, back), strict=True):
                side.append(((values - middle) / unit).reshape(rows, -1))
        return np.concatenate(sides[0], 1), np.concatenate(sides[1], 1)
