"""Coroutines whose clock jumps: nothing is waited for, and no machine is too slow."""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import ParamSpec

_P = ParamSpec("_P")


class _Jumping(selectors.DefaultSelector):
    """Moves the clock on where a loop would wait for the next timer.

    Attributes:
        now: Seconds since the loop was made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; nothing outside may be waited for."""
        assert timeout is not None, "nothing would ever happen"
        self.now += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """Its time is that of its selector."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds since it was made."""
        return self._jumping.now


def in_virtual_time(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Make a test of a coroutine that talks to nothing outside of it."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(main())

    return run
