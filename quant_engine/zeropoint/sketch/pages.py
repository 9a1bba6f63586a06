"""A sparse table of counts: one page of 128 codes for each sign and exponent that occurs.

Activations use a few dozen of the 512 pages, so a tensor's table takes tens of kilobytes instead
of the 512 KiB of a dense one.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.sketch.grid import CODES

PAGE_CODES: Final = 128
PAGES: Final = CODES // PAGE_CODES
ABSENT: Final = -1
WAITING: Final = -2  # absent, and wanted


class Pages:
    """Counts by code.

    Attributes:
        index: int16[512], the row of each page, or ABSENT, or WAITING.
        rows: uint64[n, 128], the counts of the pages that exist.
    """

    __slots__ = ("index", "rows")

    def __init__(self) -> None:
        self.index: NDArray[np.int16] = np.full(PAGES, ABSENT, dtype=np.int16)
        self.rows: NDArray[np.uint64] = np.zeros((0, PAGE_CODES), dtype=np.uint64)

    def ensure(self, pages: NDArray[np.integer]) -> None:
        """Make sure that these pages exist.

        Args:
            pages: Numbers of pages, code >> 7, each at most once.
        """
        missing = pages[self.index[pages] < 0]
        if not len(missing):
            return
        used = len(self.rows)
        empty = np.zeros((len(missing), PAGE_CODES), dtype=np.uint64)
        self.rows = np.concatenate([self.rows, empty])
        self.index[missing] = np.arange(used, used + len(missing), dtype=np.int16)

    def add(self, codes: NDArray[np.integer], counts: NDArray[np.integer]) -> None:
        """Add counts.

        Args:
            codes: Ascending, each at most once.
            counts: As many.
        """
        pages = codes >> 7
        self.ensure(np.unique(pages))
        self.rows[self.index[pages], codes & 127] += counts.astype(np.uint64)

    def empty_copy(self) -> "Pages":
        """Return the same pages with nothing in them."""
        copied = Pages()
        copied.index = self.index.copy()
        copied.rows = np.zeros_like(self.rows)
        return copied

    def codes_and_counts(self) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
        """Return the codes whose count is not zero, ascending, and their counts."""
        pages = np.flatnonzero(self.index >= 0)
        counts = self.rows[self.index[pages]].reshape(-1)
        held = np.flatnonzero(counts)
        codes = pages[held // PAGE_CODES] * PAGE_CODES + held % PAGE_CODES
        return codes.astype(np.uint16), counts[held]

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        return self.index.nbytes + self.rows.nbytes
