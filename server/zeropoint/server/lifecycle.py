"""Which jobs run, and how they end when the server does."""

import asyncio
import contextlib
from collections.abc import Iterator

from zeropoint.server.failure import shutting_down


class Lifecycle:
    """Counts running jobs and cuts them off when their time is over."""

    def __init__(self) -> None:
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._cut = asyncio.Event()

    @contextlib.contextmanager
    def job(self) -> Iterator[None]:
        """Count a job while the block runs."""
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def cut_off(self) -> None:
        """Wait until jobs must end; runs alongside each of them.

        Raises:
            JobError: SERVER_SHUTTING_DOWN.
        """
        await self._cut.wait()
        raise shutting_down()

    async def end(self, grace_seconds: float, refusal_seconds: float) -> None:
        """Give running jobs `grace_seconds`, then end them, and wait until they have told so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._idle.wait()
        self._cut.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(refusal_seconds):
                await self._idle.wait()
