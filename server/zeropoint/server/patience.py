"""How long a client may hold up its job."""

import asyncio
from collections.abc import Callable

from zeropoint.server.failure import JobError

_LEAST_BYTES = 64 << 10
"""What has to come within the limit, where it is only a part: 0.1 KB/s by default."""


class Patience:
    """Limits the time that a job waits for its client: for any sign of life, and for data.

    A heartbeat is a sign of life, and no more. A slow link is one, too: what counts of a model or
    a batch is its bytes.
    """

    def __init__(self, idle_seconds: float, progress_seconds: float) -> None:
        """Begin to wait."""
        self._idle = idle_seconds
        self._progress = progress_seconds
        self._busy: Callable[[], bool] = lambda: False
        self._begun = asyncio.get_running_loop().time()
        self._gathered = 0

    def begin(self, busy: Callable[[], bool] = lambda: False) -> None:
        """Wait for data from now on; while the job is `busy` with what it has, the client may."""
        self._busy = busy
        self.moved()

    def moved(self) -> None:
        """Take note that the job went on: data are complete, or were dealt with."""
        self._begun = asyncio.get_running_loop().time()
        self._gathered = 0

    def took(self, size: int) -> None:
        """Take note of bytes of a model or a batch."""
        self._gathered += size
        if self._gathered >= _LEAST_BYTES:
            self.moved()

    def left(self, silent_since: float) -> float:
        """Return how long may be waited for the next message.

        Args:
            silent_since: When the wait for it began.
        """
        if self._busy():
            self.moved()
        end = min(silent_since + self._idle, self._begun + self._progress)
        return max(0.0, end - asyncio.get_running_loop().time())

    def check(self, silent_since: float) -> None:
        """Find out whether it is over.

        Raises:
            JobError: CLIENT_IDLE or CLIENT_NO_PROGRESS.
        """
        now = asyncio.get_running_loop().time()
        if now >= silent_since + self._idle:
            raise JobError(
                "CLIENT_IDLE",
                f"Nothing came from the client for {self._idle:g} s, not even a heartbeat. Where "
                "the link is slow, send smaller chunks.",
                seconds=f"{self._idle:g}",
            )
        if now >= self._begun + self._progress and not self._busy():
            raise JobError(
                "CLIENT_NO_PROGRESS",
                f"The job waited {self._progress:g} s for data; {self._gathered} bytes came. "
                "Heartbeats alone do not keep it: start it when the data are there.",
                seconds=f"{self._progress:g}",
                bytes=self._gathered,
            )
