"""Telling of what ends in any order in the order in which it began."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

Settle = Callable[["Future[Any]"], None]
"""Told that something has ended; called in whatever thread ended it."""


class InOrder:
    """Calls back once for each future, in the order in which they were added, one at a time."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._waiting: deque[tuple[Future[Any], Settle]] = deque()
        self._busy = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def add(self, future: "Future[Any]", settle: Settle) -> None:
        """Have `settle` called with `future` when it and all before it have ended.

        Raises:
            BaseException: what an earlier `settle` raised.
        """
        with self._changed:
            self._raise()
            self._waiting.append((future, settle))
        future.add_done_callback(lambda _: self._advance())

    def drain(self) -> None:
        """Wait until everything has been told.

        Raises:
            BaseException: what a `settle` raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._busy))
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _advance(self) -> None:
        """Tell of everything at the front that has ended, unless another thread is at it."""
        while True:
            with self._changed:
                if self._busy or not self._waiting or not self._waiting[0][0].done():
                    return
                self._busy = True
                future, settle = self._waiting.popleft()
            try:
                settle(future)
            except BaseException as error:  # noqa: BLE001 - raised by the next call
                self._error = self._error or error
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
