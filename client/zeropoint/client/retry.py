"""When what failed is tried again: what the server calls retryable, within the time allowed."""

import random
import time
from collections.abc import Callable

from zeropoint.client.errors import CancelledError, UnavailableError, ZeropointError
from zeropoint.client.link import CancelSignal

Tell = Callable[[str], None]

_FIRST_SECONDS, _LONGEST_SECONDS = 0.2, 5.0  # between attempts where the server names no delay
_JITTER = 0.25  # so that clients that were turned away together do not come back together
_UNREACHABLE_SECONDS = 10.0
"""Time in which a server is sought that does not answer, where no time was given."""
_REFUSED_SECONDS = 600.0
"""Time in which a server is asked again that refuses, where no time was given."""
_RESTARTS = 2
"""How often a job begins anew that had begun: what it does may be what ends the server."""
_LEAST_SECONDS = 0.5  # what is left of the time is not worth another attempt
_LAST_CHANCES = 0.6  # part of the time left that is waited, where the server's delay is longer
_POLL_SECONDS = 0.1


class Retry:
    """The attempts of one call, and the time that is left for them."""

    def __init__(
        self,
        timeout: float | None,
        cancel: CancelSignal | None = None,
        tell: Tell = lambda message: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Begin to count.

        Args:
            timeout: Seconds for all attempts; None: no limit for a job, but 10 s for a server that
                does not answer, and 10 minutes for one that refuses.
            cancel: Ends the waiting.
            tell: Told why there is a wait, and how long it is.
            clock: Seconds that pass.
            sleep: Waits for so many seconds.
            chance: A number from 0 to 1, different from client to client.
        """
        self._cancel = cancel
        self._tell = tell
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._end = None if timeout is None else clock() + timeout
        self._sought: float | None = None  # since when the server does not answer
        self._failed: float | None = None  # since when every attempt has failed
        self._failures = 0
        self._restarts = 0

    @property
    def left(self) -> float | None:
        """Seconds left for an attempt; None: no limit."""
        return None if self._end is None else max(self._end - self._clock(), 0.0)

    def wait(self, error: ZeropointError, *, begun: bool) -> None:
        """Wait until it is time to try again.

        Args:
            error: What the last attempt ended with.
            begun: Whether the server had begun with the job.

        Raises:
            ZeropointError: `error`, where another attempt makes no sense.
            CancelledError: the call was cancelled.
        """
        if not error.retryable:
            raise error
        if begun:
            self._restarts += 1
            self._sought, self._failed, self._failures = None, None, 0
            if self._restarts > _RESTARTS:
                error.add_note(f"The job was begun anew {_RESTARTS} times.")
                raise error
        self._failures += 1
        if self._failed is None:
            self._failed = self._clock()
        delay = self._fitting(self._delay(error), self._last(error))
        if delay is None:
            if self._failures > 1:
                error.add_note(self._given_up(self._clock() - self._failed))
            raise error
        self._tell(f"{error.message} Trying again in {delay:.1f} s.")
        self._pause(delay)

    def _delay(self, error: ZeropointError) -> float:
        """Return the seconds to wait: no less than the server asks for, and never in step."""
        if error.retry_delay is not None:
            return error.retry_delay * (1.0 + _JITTER * self._chance())
        longest = min(_FIRST_SECONDS * 2.0 ** (self._failures - 1), _LONGEST_SECONDS)
        return longest * (0.5 + 0.5 * self._chance())

    def _last(self, error: ZeropointError) -> float:
        """Return when there are no more attempts after an error."""
        if self._end is not None:
            return self._end
        now = self._clock()
        refused = (now if self._failed is None else self._failed) + _REFUSED_SECONDS
        if not isinstance(error, UnavailableError):
            self._sought = None
            return refused
        if self._sought is None:
            self._sought = now
        return min(self._sought + _UNREACHABLE_SECONDS, refused)

    def _given_up(self, seconds: float) -> str:
        tried = f"It was tried {self._failures} times in {seconds:.0f} s."
        return (
            tried
            if self._end is not None
            else f"{tried} Give a timeout to have it tried for longer."
        )

    def _fitting(self, delay: float, end: float) -> float | None:
        """Return `delay`, or less where the time ends before; None where none is left."""
        left = end - self._clock()
        if left < _LEAST_SECONDS:
            return None
        return delay if delay < left - _LEAST_SECONDS else min(delay, left * _LAST_CHANCES)

    def _pause(self, seconds: float) -> None:
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            if self._cancel is not None and self._cancel.is_set():
                raise CancelledError("CANCELLED", "The job was cancelled.")
            self._sleep(min(left, _POLL_SECONDS))
