"""Whether the result decides as the original does: classes, masks, labels, sequences, selections.

Only what is a decision is counted: the largest along an axis of classes, where a Softmax, an ArgMax
or a classifier's head shows one; what is above 0.5 behind a Sigmoid, which has to cross that by 0.2
to be another decision; labels and other integers; what TopK, NonMaxSuppression or NonZero pick, as
a set. Where the most frequent class of frames in a row is the first or the last one, it is the
blank of a sequence, which is decoded and compared by what must be edited; likewise labels whose
number differs.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import DecisionKind, Decisions
from zeropoint.engine.verify.output_forms import OutputForm, Selection
from zeropoint.engine.verify.saturating import Saturation
from zeropoint.engine.verify.selections import BOX, common_boxes, common_rows
from zeropoint.engine.verify.sequences import decoded, edits
from zeropoint.engine.verify.similarity import is_float
from zeropoint.engine.verify.tally import ClassTally, decisions_of, shares_of

_SCORES: Final = (Saturation.SIGMOID, Saturation.HARD_SIGMOID)
_BOUNDARY: Final = 0.5
_UNSURE: Final = 0.2  # around it: what the noise of a good result moves a score by
_CLASS_AXES: Final = {2: 1, 3: 2, 4: 1}  # of logits, by rank
_LEAST_CLASSES_OF_MAPS: Final = 5  # with less it may be a picture
_LEAST_BLANK: Final = 0.25  # of all frames
_FRAMES_RANK: Final = 3

_Pair = tuple[NDArray[Any], NDArray[Any]]


class DecisionCount:
    """Counts the decisions of one output, and those that are the same.

    Attributes:
        saturation: What is decided by the results of; of parts that are joined, that of the first.
    """

    def __init__(self, form: OutputForm) -> None:
        """Start with none.

        Args:
            form: How the output ends.
        """
        joined = form.joined.saturations if form.joined is not None else ()
        form = replace(form, saturation=next(filter(None, joined), form.saturation))
        self.saturation = form.saturation
        self._form = form
        self._kind = DecisionKind.EQUAL
        self._tally = ClassTally()
        self._frames: list[_Pair] = []
        self._classes = 0
        self._sure = True  # that these are classes, whatever they decide
        self._spelled: list[tuple[float, float]] = []
        self._selected: list[tuple[float, float]] = []

    def add(
        self,
        original: NDArray[Any],
        result: NDArray[Any],
        axis: int | None = None,
        *,
        apart: bool = False,
    ) -> None:
        """Count those of one pair of arrays.

        Args:
            original: The original's.
            result: The result's, of the same rank.
            axis: Along which the original's are distributions; None: they are not.
            apart: Whether entries along the first axis are samples; else all is one.
        """
        if self._form.selection is not None and original.ndim == result.ndim:
            self._select(original, result, self._form.selection, apart=apart)
        elif original.shape == result.shape:
            self._decide(original, result, axis, apart=apart)
        elif original.ndim == result.ndim:
            self._spell(original, result, axis)

    @property
    def figures(self) -> Decisions | None:
        """How many are the same; None where nothing is decided."""
        if self._selected:
            found = decisions_of(DecisionKind.SELECTION, shares_of(self._selected))
            return found if found.count else None
        if self._frames:
            return self._of_frames()
        if self._spelled:
            every = self._tally.every
            return _spelled([*zip(every.same, every.counts, strict=True), *self._spelled])
        if not self._tally.every.count:
            return None
        return decisions_of(self._kind, self._tally.every, self._tally.minority)

    def _decide(
        self, original: NDArray[Any], result: NDArray[Any], axis: int | None, *, apart: bool
    ) -> None:
        found = self._class_axis(original, axis)
        if not is_float(original):
            self._kind, pair = DecisionKind.EQUAL, (original, result)
        elif found is not None:
            self._kind = DecisionKind.ARGMAX
            pair = original.argmax(found), result.argmax(found)
            apart = apart and found != 0
            if self._form.frames and original.ndim == _FRAMES_RANK:
                rows = _in_rows(pair, time_first=not apart and found == _FRAMES_RANK - 1)
                if rows is not None:
                    self._classes = original.shape[found]
                    self._frames += [
                        (one.astype(np.int32), other.astype(np.int32))
                        for one, other in zip(*rows, strict=True)
                    ]
                    return
            if not self._sure:
                return
        elif self._form.saturation in _SCORES:
            self._kind = DecisionKind.THRESHOLD
            pair = _crossed(original, result)
        else:
            return
        for one, other in _samples(pair, apart=apart):
            self._tally.add(one, other)

    def _class_axis(self, array: NDArray[Any], axis: int | None) -> int | None:
        """Return the axis of classes, from 0; None where there is none."""
        form, rank = self._form, array.ndim
        self._sure = True
        if axis is None and form.class_axis is not None:
            axis = form.class_axis
        if axis is None and (form.logits or (form.head and rank == 2)):
            axis = _CLASS_AXES.get(rank)
        if axis is None and form.map and rank == 4 and array.shape[1] >= _LEAST_CLASSES_OF_MAPS:
            axis = 1
        if axis is None and form.head and rank == _FRAMES_RANK:
            axis, self._sure = _FRAMES_RANK - 1, False
        if axis is None or not -rank <= axis < rank or array.shape[axis] < 2:
            return None
        return axis % rank

    def _select(
        self, original: NDArray[Any], result: NDArray[Any], selection: Selection, *, apart: bool
    ) -> None:
        for one, other in _samples((original, result), apart=apart):
            if selection is Selection.BOXES:
                if not is_float(one) or one.shape[-1:] != (BOX,) or other.shape[-1:] != (BOX,):
                    continue
                boxes = [side.reshape(-1, BOX) for side in (one, other)]
                boxes = [side[(side != 0).any(1)] for side in boxes]  # zeros fill up
                common, sizes = common_boxes(*boxes), [len(side) for side in boxes]
            elif selection is Selection.ALONG and one.shape == other.shape:
                rows = [side.reshape(-1, side.shape[-1]) for side in (one, other)]
                common = sum(common_rows(*row) for row in zip(*rows, strict=True))
                sizes = [one.size, other.size]
            else:
                common, sizes = common_rows(one, other), [len(one), len(other)]
            if common is not None:
                self._selected.append((common, sum(sizes) / 2.0))

    def _spell(self, original: NDArray[Any], result: NDArray[Any], axis: int | None) -> None:
        """Compare labels whose number differs."""
        if is_float(original):
            axis = self._class_axis(original, axis)
            if axis is None or original.shape[axis] != result.shape[axis]:
                return
            original, result = original.argmax(axis), result.argmax(axis)
        differ = [a for a in range(original.ndim) if original.shape[a] != result.shape[a]]
        if len(differ) != 1 or original.ndim > 2:
            return
        sides = [np.moveaxis(side, differ[0], -1) for side in (original, result)]
        rows = [side.reshape(-1, side.shape[-1]) for side in sides]
        self._spelled += [_edited(one, other) for one, other in zip(*rows, strict=True)]

    def _of_frames(self) -> Decisions | None:
        tally = ClassTally()
        for one, other in self._frames:
            tally.add(one, other)
        blank, frames = tally.most_frequent, tally.every.count
        blanks = sum(int(np.count_nonzero(one == blank)) for one, _ in self._frames)
        if blank in (0, self._classes - 1) and _LEAST_BLANK * frames <= blanks < frames:
            texts = ((decoded(a, blank), decoded(b, blank)) for a, b in self._frames)
            return _spelled([*(_edited(a, b) for a, b in texts), *self._spelled])
        if not self._sure:
            return None
        return decisions_of(DecisionKind.ARGMAX, tally.every, tally.minority)


def _crossed(original: NDArray[Any], result: NDArray[Any]) -> _Pair:
    """Return on which side scores are; one that hardly crosses the boundary stays where it was."""
    one = np.asarray(original > _BOUNDARY)
    other = np.where(one, result >= _BOUNDARY - _UNSURE, result > _BOUNDARY + _UNSURE)
    return one, other


def _spelled(pairs: list[tuple[float, float]]) -> Decisions:
    whole = sum(same == count for same, count in pairs) / len(pairs)
    return decisions_of(DecisionKind.SEQUENCE, shares_of(pairs), whole=whole)


def _edited(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """Return how many labels are the same, and how many there are in the longer one."""
    longer = max(len(one), len(other))
    return longer - edits(one, other), longer


def _in_rows(pair: _Pair, *, time_first: bool) -> _Pair | None:
    """Return frames [samples, t]; None where it is not known which axis is which."""
    if pair[0].shape[0] == 1 or not time_first:
        return pair
    return (pair[0].T, pair[1].T) if pair[0].shape[1] == 1 else None


def _samples(pair: _Pair, *, apart: bool) -> Iterator[_Pair]:
    """Return the parts of two arrays that belong to one sample each, of rank 1 at least."""
    one, other = map(np.atleast_1d, pair)
    if not apart or len(one) != len(other):
        yield one, other
        return
    for index in range(len(one)):
        part = index if one.ndim > 1 else slice(index, index + 1)
        yield one[part], other[part]
