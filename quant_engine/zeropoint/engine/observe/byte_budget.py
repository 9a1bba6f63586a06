"""A budget of bytes that several threads share."""

import threading


class ByteGate:
    """Lets work pass as long as what is under way fits into a budget.

    Work that is larger than the whole budget passes alone.
    """

    def __init__(self, budget: int) -> None:
        """Open with nothing under way."""
        self._budget = budget
        self._under_way = 0
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        """Wait until `size` bytes fit, and take them."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._under_way or self._under_way + size <= self._budget
            )
            self._under_way += size

    def leave(self, size: int) -> None:
        """Give `size` bytes back."""
        with self._changed:
            self._under_way -= size
            self._changed.notify_all()

    def wait_until_empty(self) -> None:
        """Wait until nothing is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)
