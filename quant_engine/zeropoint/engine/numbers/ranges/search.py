"""The least of many costs, without computing most of them."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Costs = Callable[[NDArray[np.intp]], NDArray[np.float64]]

_AT_ONCE: Final = 32


def least(costs: Costs, count: int, also: Sequence[int] = ()) -> dict[int, float]:
    """Find the least cost from coarse to fine.

    Evenly spaced candidates are computed, then some between the neighbours of the best of them,
    and so on. That finds the least of all where costs fall and rise once, and wherever there are
    no more than can be computed at once; else it is no more than any that was computed.

    Args:
        costs: Returns the costs of the candidates with the given numbers.
        count: How many candidates there are.
        also: Numbers of candidates to compute in any case.

    Returns:
        The costs that were computed, by number.
    """
    low, high = 0, count - 1
    known: dict[int, float] = {}
    while True:
        few = min(_AT_ONCE, high - low + 1)
        numbers = low + np.arange(few) * (high - low) // max(few - 1, 1)
        if not known:
            numbers = np.union1d(numbers, np.array(also, dtype=np.intp))
        found = costs(numbers)
        known.update(zip(numbers.tolist(), found.tolist(), strict=True))
        if few == high - low + 1:
            return known
        best = int(np.argmin(found))
        low = int(numbers[max(best - 1, 0)])
        high = int(numbers[min(best + 1, len(numbers) - 1)])
