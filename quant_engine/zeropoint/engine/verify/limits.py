"""How many batches a result is verified with, where each takes long or gives much.

The first eight always. Beyond them 16, 32, 64, ... as time allows: in steps that far apart, so that
two runs on one machine hardly ever differ.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

_ALWAYS: Final = 8
_SECONDS: Final = 8.0
_BYTES: Final = 512 << 20


class Limits:
    """Ends a loop over what batches give.

    Attributes:
        stored: Bytes kept of what they gave; to be set as they come.
        passed: Batches until now.
    """

    def __init__(self, seconds: float = _SECONDS, nbytes: int = _BYTES) -> None:
        """Start; time is what passes from here on.

        Args:
            seconds: For all batches beyond the first eight; a doubling that would take longer is
                not begun.
            nbytes: For what is kept of them; likewise.
        """
        self.stored = 0
        self.passed = 0
        self._seconds = seconds
        self._nbytes = nbytes

    def enough(self, results: Iterable[T], batches: int) -> Iterator[T]:
        """Pass results on, until there are enough.

        Args:
            results: One for each batch.
            batches: How many there are in all.
        """
        begin, until = time.perf_counter(), _ALWAYS
        iterator = iter(results)
        while self.passed < batches:
            if self.passed == until:
                share = (min(2 * until, batches) - until) / until
                spent = time.perf_counter() - begin
                if share * spent > self._seconds or (1 + share) * self.stored > self._nbytes:
                    return
                until *= 2
            yield next(iterator)
            self.passed += 1

    def message(self, batches: int) -> str:
        """Return why not all batches were passed; empty where all were."""
        if self.passed >= batches:
            return ""
        return f"{self.passed} of {batches} batches were run: more would take long or much disk"
