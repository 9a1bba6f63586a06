"""What a share says of the whole, given how many decisions it was counted on."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_Z: Final = 1.959964  # of the normal distribution, for 95 %
_LEAST_CORRELATION: Final = 0.05  # of the decisions of one sample: it counts as 20 at most


def interval(share: float, count: float) -> tuple[float, float]:
    """Return the interval of 95 % for a share (Wilson 1927).

    Args:
        share: What was found, 0..1.
        count: Of how many independent decisions; 0: nothing is known.
    """
    if count <= 0.0:
        return 0.0, 1.0
    square = _Z * _Z / count
    centre = (share + square / 2.0) / (1.0 + square)
    half = _Z / (1.0 + square) * math.sqrt(share * (1.0 - share) / count + square / count / 4.0)
    return max(0.0, centre - half), min(1.0, centre + half)


def independent(same: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Return how many independent decisions some are worth that come in samples.

    What one sample decides is alike, so its decisions tell less than as many of as many samples.
    By how much is seen from how the shares of samples scatter (variance of a ratio, Cochran,
    Sampling Techniques, 1977, section 6.3), and at least what a correlation of 0.05 within a sample
    makes of it: where next to nothing differs, little is seen.

    Args:
        same: Decisions of each sample that are the same, [n].
        counts: All decisions of each, [n].
    """
    same, counts = same[counts > 0], counts[counts > 0]
    total = float(counts.sum())
    if not total:
        return 0.0
    share, samples = float(same.sum()) / total, len(counts)
    mean = float((counts * counts).sum()) / total
    least = 1.0 + (mean - 1.0) * _LEAST_CORRELATION
    if samples < 2 or not 0.0 < share < 1.0:
        return total / max(1.0, least)
    scatter = float(((same - share * counts) ** 2).sum()) * samples / (samples - 1)
    seen = scatter / (total * share * (1.0 - share))
    return total / max(1.0, least, seen)
