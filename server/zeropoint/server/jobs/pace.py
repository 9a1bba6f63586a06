"""How often a client is told of progress."""

import time

_SECONDS = 0.2


class Pace:
    """Says when the next report is due: at once, then five times a second at most."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Return whether a report is due, and count it as made."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _SECONDS
        return True
