"""How long a worker may take."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from zeropoint.server.failure import JobError

_T = TypeVar("_T")


class Watchdog:
    """Limits the time of each phase, and the time without a sign of progress inside it."""

    def __init__(self, silence_seconds: float) -> None:
        self._silence = silence_seconds
        self._phase = ""
        self._end: float | None = None
        self._left: float | None = None
        self._heard = 0.0
        self._timeout: asyncio.Timeout | None = None

    def expect(self, phase: str, seconds: float) -> None:
        """Give the worker `seconds` from now."""
        self._phase = phase
        self._left = None
        self._end = self._heard = asyncio.get_running_loop().time()
        self._end += seconds
        self._arm()

    def relax(self) -> None:
        """Let the worker be silent: it owes nothing."""
        self._end = self._left = None
        self._arm()

    def pause(self) -> None:
        """Stop the clock: the worker waits for somebody else."""
        if self._end is not None:
            self._left = self._end - asyncio.get_running_loop().time()
            self._end = None
            self._arm()

    def resume(self) -> None:
        """Let the clock go on where it was stopped."""
        if self._left is not None:
            self._end = self._heard = asyncio.get_running_loop().time()
            self._end += self._left
            self._left = None
            self._arm()

    async def hear(self, message: Awaitable[_T]) -> _T:
        """Await a message of the worker's.

        Raises:
            JobError: WORKER_TIMEOUT.
        """
        try:
            async with asyncio.timeout_at(self._deadline()) as self._timeout:
                heard = await message
        except TimeoutError:
            raise JobError(
                "WORKER_TIMEOUT",
                f"The server gave up on {self._phase}: it took too long, or made no progress.",
                phase=self._phase,
            ) from None
        finally:
            self._timeout = None
        self._heard = asyncio.get_running_loop().time()
        return heard

    def _deadline(self) -> float | None:
        return None if self._end is None else min(self._end, self._heard + self._silence)

    def _arm(self) -> None:
        if self._timeout is not None:
            self._timeout.reschedule(self._deadline())
