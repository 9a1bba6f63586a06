"""Whether the result decides as the original does: classes, masks, labels.

Only what is a decision is counted: the largest along an axis of classes, where a Softmax, an ArgMax
or a classifier's head shows one; what is above 0.5 behind a Sigmoid; labels and other integers.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import DecisionKind, Decisions
from zeropoint.engine.verify.output_forms import OutputForm
from zeropoint.engine.verify.saturating import Saturation
from zeropoint.engine.verify.similarity import is_float

_SCORES: Final = (Saturation.SIGMOID, Saturation.HARD_SIGMOID)
_BOUNDARY: Final = 0.5
_HEAD_RANK: Final = 2


class DecisionCount:
    """Counts the decisions of one output, and those that are the same."""

    def __init__(self) -> None:
        """Start with none."""
        self._kind: DecisionKind | None = None
        self._same = 0
        self._count = 0

    def add(
        self, original: NDArray[Any], result: NDArray[Any], form: OutputForm, axis: int | None
    ) -> None:
        """Count those of one pair of arrays of equal shapes.

        Args:
            original: The original's.
            result: The result's.
            form: How the output ends.
            axis: Along which the original's are distributions; None: they are not.
        """
        if not is_float(original):
            self._take(DecisionKind.EQUAL, np.asarray(original == result))
            return
        axis = _class_axis(original, form, axis)
        if axis is not None and original.shape[axis] > 1:
            same = original.argmax(axis) == result.argmax(axis)
            self._take(DecisionKind.ARGMAX, np.asarray(same))
        elif form.saturation in _SCORES:
            same = (original > _BOUNDARY) == (result > _BOUNDARY)
            self._take(DecisionKind.THRESHOLD, np.asarray(same))

    @property
    def figures(self) -> Decisions | None:
        """How many are the same; None where nothing is decided."""
        if self._kind is None or not self._count:
            return None
        return Decisions(kind=self._kind, agreement=self._same / self._count, count=self._count)

    def _take(self, kind: DecisionKind, same: NDArray[np.bool_]) -> None:
        self._kind = kind
        self._same += int(np.count_nonzero(same))
        self._count += same.size


def _class_axis(array: NDArray[Any], form: OutputForm, axis: int | None) -> int | None:
    if axis is None and form.class_axis is not None:
        axis = form.class_axis
    if axis is None and form.head and array.ndim == _HEAD_RANK:
        axis = 1
    return axis if axis is not None and -array.ndim <= axis < array.ndim else None
