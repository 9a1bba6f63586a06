"""Sequences that a model spells: decoded greedily, compared by what must be edited."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def decoded(frames: NDArray[np.integer], blank: int) -> NDArray[np.integer]:
    """Return the labels of a sequence of frames: repeats are one label, and the blank is none.

    As in connectionist temporal classification (Graves et al. 2006, section 3.1).

    Args:
        frames: Class of each frame, [t].
        blank: The class of frames without a label.
    """
    labels = frames != blank
    labels[1:] &= frames[1:] != frames[:-1]
    return np.asarray(frames[labels])


def edits(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Return how many labels must be put in, taken out or replaced to make one of the other.

    The distance of Levenshtein (1966), a row at a time.

    Args:
        one: Labels, [n].
        other: Labels, [m].
    """
    places = np.arange(len(other) + 1)
    row = places.copy()
    for label in one:
        following = np.minimum(row[1:] + 1, row[:-1] + (other != label))
        row = np.concatenate([[row[0] + 1], following])
        row = np.minimum.accumulate(row - places) + places
    return int(row[-1])
