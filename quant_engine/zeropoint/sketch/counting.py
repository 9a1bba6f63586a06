"""Chooses how to count: as compiled code where numba is installed, else with numpy alone."""

import functools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch.pages import Pages
from zeropoint.sketch.tally import Tally


class Counter(Protocol):
    """Counts values into pages; every form gives the same results."""

    def __call__(self, values: NDArray[np.float32], pages: Pages) -> Tally:
        """Count 1-d contiguous values and return their figures."""


@functools.cache
def counter() -> Counter:
    """Return the fastest form there is. numba is imported at the first call, not before."""
    try:
        from zeropoint.sketch import compiled
    except (ImportError, OSError):  # no numba, or its cache is full
        from zeropoint.sketch import plain

        return plain.count
    return compiled.count


def warm() -> None:
    """Compile, or load from numba's cache, all that counting needs.

    The first compilation takes seconds. With NUMBA_CACHE_DIR set to a writable folder, later
    processes load the compiled code from there.
    """
    counter()
