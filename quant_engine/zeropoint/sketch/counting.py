"""Chooses how to count: as compiled code where numba is installed, else with numpy alone."""

import functools
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch.pages import Pages
from zeropoint.sketch.tally import Tally


class Counter(Protocol):
    """Counts values into pages; every form gives the same results."""

    def __call__(self, values: NDArray[np.float32], pages: Pages) -> Tally:
        """Count 1-d contiguous values and return their figures."""


class Merger(Protocol):
    """Adds the counts of some pages to others; every form gives the same results."""

    def __call__(self, pages: Pages, other: Pages, *, leave: bool = True) -> None:
        """Add the counts of `other` to `pages`, and leave them there, too, or only the room."""


class Form(NamedTuple):
    """One way of counting.

    Attributes:
        counts: Counts values.
        merges: Adds up counts.
    """

    counts: Counter
    merges: Merger


@functools.cache
def form() -> Form:
    """Return the fastest form there is. numba is imported at the first call, not before."""
    try:
        from zeropoint.sketch import compiled
    except (ImportError, OSError):  # no numba, or its cache is full
        from zeropoint.sketch import plain

        return Form(plain.count, plain.merge)
    return Form(compiled.count, compiled.merge)


def warm() -> None:
    """Compile, or load from numba's cache, all that counting needs.

    The first compilation takes seconds. With NUMBA_CACHE_DIR set to a writable folder, later
    processes load the compiled code from there.
    """
    form()
