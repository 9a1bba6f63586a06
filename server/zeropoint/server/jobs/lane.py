"""Work on the bytes of one stream, in order, beside the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

_MOST_BEHIND = 8
"""Calls that may wait, of which each holds a chunk."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Lane:
    """One thread that digests and stores chunks while the next ones arrive."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="zeropoint-lane")
        self._behind: deque[Future[Any]] = deque()

    async def add(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have `call` done after all before it; wait only while too much waits already.

        Raises:
            Exception: whatever a call before has raised.
        """
        while self._behind and (self._behind[0].done() or len(self._behind) >= _MOST_BEHIND):
            await _outcome(self._behind[0])
            self._behind.popleft()
        future = self._thread.submit(call, *args, **kwargs)
        self._behind.append(future)
        return future

    async def finished(self) -> None:
        """Wait until everything is done.

        Raises:
            Exception: whatever a call has raised.
        """
        while self._behind:
            await _outcome(self._behind[0])
            self._behind.popleft()

    def close(self, last: Callable[[], object] | None = None) -> None:
        """Take no more; `last` is called behind what waits."""
        if last is not None:
            self._thread.submit(last)
        self._thread.shutdown(wait=False)


async def _outcome(future: Future[_T]) -> _T:
    """Return what a call returns, without a turn of the loop where it is there already."""
    return future.result() if future.done() else await asyncio.wrap_future(future)
