"""Connected components of a binary mask, from runs of pixels, in numpy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle in pixels; `right` and `bottom` are one past the last pixel."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class _Runs:
    """Maximal horizontal runs of set pixels in row-major order: int64 [runs] each."""

    row: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]


def component_boxes(mask: npt.NDArray[np.bool_]) -> list[Box]:
    """Return the box around each 8-connected component, in order of its first pixel.

    Args:
        mask: bool [height, width].
    """
    runs = _runs(mask)
    labels = _labels(len(runs.row), *_touching(runs, mask.shape[1]))
    roots, index = np.unique(labels, return_inverse=True)
    count = len(roots)
    left, top = np.full(count, mask.shape[1]), np.full(count, mask.shape[0])
    right, bottom = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.minimum.at(left, index, runs.start)
    np.minimum.at(top, index, runs.row)
    np.maximum.at(right, index, runs.stop)
    np.maximum.at(bottom, index, runs.row + 1)
    return [
        Box(int(x0), int(y0), int(x1), int(y1))
        for x0, y0, x1, y1 in zip(left, top, right, bottom, strict=True)
    ]


def _runs(mask: npt.NDArray[np.bool_]) -> _Runs:
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded, axis=1)
    row, start = np.nonzero(change == 1)
    _, stop = np.nonzero(change == -1)
    return _Runs(row, start, stop)


def _touching(runs: _Runs, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each run, the range [first, last) of runs in the row above that touch it."""
    pitch = width + 2
    above = (runs.row - 1) * pitch
    first = np.searchsorted(runs.row * pitch + runs.stop, above + runs.start, side="left")
    last = np.searchsorted(runs.row * pitch + runs.start, above + runs.stop, side="right")
    return first, last


def _labels(
    count: int, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Union-find over the runs; the label of a component is the index of its first run."""
    parent = list(range(count))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for run, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for other in range(begin, end):
            one, two = root(run), root(other)
            parent[max(one, two)] = min(one, two)
    return np.array([root(run) for run in range(count)], np.int64)
