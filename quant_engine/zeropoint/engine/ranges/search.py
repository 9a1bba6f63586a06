"""The least of many costs, without computing most of them."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Costs = Callable[[NDArray[np.intp]], NDArray[np.float64]]

_AT_ONCE: Final = 32


def least(costs: Costs, count: int, also: int | None = None) -> int:
    """Return the number of the least cost, from coarse to fine.

    Evenly spaced candidates are computed, then some between the neighbours of the best of them,
    and so on. That is the least of all where costs fall and rise once, and wherever there are no
    more than can be computed at once; else it is no more than any that was computed.

    Args:
        costs: Returns the costs of the candidates with the given numbers.
        count: How many candidates there are.
        also: Number of a candidate to compute in any case.
    """
    low, high = 0, count - 1
    while True:
        number = min(_AT_ONCE, high - low + 1)
        chosen = low + np.arange(number) * (high - low) // max(number - 1, 1)
        if also is not None:
            chosen = np.union1d(chosen, also)
        best = int(np.argmin(costs(chosen)))
        if number == high - low + 1:
            return int(chosen[best])
        low, high = int(chosen[max(best - 1, 0)]), int(chosen[min(best + 1, len(chosen) - 1)])
        also = None
