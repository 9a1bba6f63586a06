"""What a model selects, compared as sets: positions, and boxes."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BOX: Final = 4  # numbers of one
_SAME_BOX: Final = 0.5  # of the union, as detectors are commonly judged
_MOST_BOXES: Final = 2000


def common_rows(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Return how many rows are in both, whatever their order.

    Args:
        one: [n, d] or [n], each row at most once.
        other: The same with another n.
    """
    if one.ndim == 1:
        return len(np.intersect1d(one, other))
    rows = set(map(tuple, one.tolist()))
    return len(rows.intersection(map(tuple, other.tolist())))


def common_boxes(one: NDArray[Any], other: NDArray[Any]) -> int | None:
    """Return how many boxes are in both: each the nearest of the other, half in common.

    Args:
        one: Corners (x, y, x, y) in any order of the axes, or centres with sizes; [n, 4].
        other: Likewise, [m, 4].

    Returns:
        None where there are too many.
    """
    if max(len(one), len(other)) > _MOST_BOXES:
        return None
    if not len(one) or not len(other):
        return 0
    corners = _are_corners(one)
    shares = _shares(_as_corners(one, corners), _as_corners(other, corners))
    nearest, back = shares.argmax(1), shares.argmax(0)
    rows = np.arange(len(one))
    found = (back[nearest] == rows) & (shares[rows, nearest] >= _SAME_BOX)
    return int(np.count_nonzero(found))


def _are_corners(boxes: NDArray[Any]) -> bool:
    return bool((boxes[:, 2:] >= boxes[:, :2]).all(1).mean() > 0.9)


def _as_corners(boxes: NDArray[Any], corners: bool) -> NDArray[np.float64]:
    values = boxes.astype(np.float64)
    if corners:
        return values
    centre, half = values[:, :2], values[:, 2:] / 2.0
    return np.concatenate([centre - half, centre + half], 1)


def _shares(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of both together each two boxes have in common, [n, m]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.maximum(high - low, 0.0).prod(2)
    areas = [np.maximum(side[:, 2:] - side[:, :2], 0.0).prod(1) for side in (one, other)]
    union = areas[0][:, None] + areas[1][None, :] - common
    same = np.abs(one[:, None] - other[None, :]).max(2) == 0.0  # also of those without an area
    return np.where(same, 1.0, common / np.maximum(union, np.finfo(np.float64).tiny))
