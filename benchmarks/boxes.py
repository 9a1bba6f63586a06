"""Boxes that detectors find: decoding, suppression and matching."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks import f1

_LEAST_OVERLAP = 0.5  # of two boxes that are the same: intersection over union


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes of one picture.

    Attributes:
        corners: Left, top, right, bottom: float [N, 4].
        labels: Class of each: int [N].
    """

    corners: NDArray[np.floating]
    labels: NDArray[np.integer]


def strongest(
    corners: NDArray[np.floating],
    scores: NDArray[np.floating],
    least_score: float,
    most_overlap: float,
) -> Found:
    """Keep boxes above a score that no better one of their class overlaps.

    Args:
        corners: float [N, 4].
        scores: By class: float [N, C].
        least_score: Those below are dropped.
        most_overlap: Intersection over union from which two boxes are one.
    """
    labels, best = scores.argmax(1), scores.max(1)
    order = [index for index in np.argsort(-best, kind="stable") if best[index] > least_score]
    kept: list[int] = []
    for index in order:
        same = [other for other in kept if labels[other] == labels[index]]
        if not len(same) or overlap(corners[index], corners[same]).max() <= most_overlap:
            kept.append(int(index))
    return Found(corners[kept], labels[kept])


def centred(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return corners of boxes given by centre and size: float [N, 4]."""
    middle, size = values[:, :2], values[:, 2:4]
    return np.concatenate([middle - size / 2, middle + size / 2], 1)


def overlap(one: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return intersection over union of one box with each of others: float [N]."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (one[2:] - one[:2]).prod()
    shared: NDArray[np.floating] = common / np.maximum(areas - common, 1e-9)
    return shared


def f1_of_boxes(found: Sequence[Found], wanted: Sequence[Found]) -> float:
    """Return F1 of boxes of the right class that overlap the wanted one by half, over pictures."""
    hits = 0
    for ours, theirs in zip(found, wanted, strict=True):
        free = list(range(len(theirs.labels)))
        for corners, label in zip(ours.corners, ours.labels, strict=True):
            same = [index for index in free if theirs.labels[index] == label]
            shared = overlap(corners, theirs.corners[same])
            if len(same) and shared.max() >= _LEAST_OVERLAP:
                free.remove(same[int(shared.argmax())])
                hits += 1
    counts = (sum(len(each.labels) for each in side) for side in (found, wanted))
    return f1(hits, *counts)
