"""Who may run a job: so many at once, the others in the order in which they came."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

Announce = Callable[[int, float], Awaitable[None]]
"""Told how many jobs wait before this one, and in how many seconds its turn may come."""

_FIRST_GUESS_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 300.0
_NEWEST = 0.3
"""How much the job that has ended last says about how long the next ones take."""


class Turns:
    """A queue before a fixed number of places.

    How long jobs take is learned from those that have ended and from those that run. Who is turned
    away is told when to come back: each a little later than the one before, as places in the queue
    become free one by one.
    """

    def __init__(self, places: int, most_waiting: int) -> None:
        """Start with all places free.

        Args:
            places: Jobs at once.
            most_waiting: Jobs that may wait.
        """
        self._places = places
        self._most_waiting = most_waiting
        self._waiting: deque[Turn] = deque()
        self._running: set[Turn] = set()
        self._typical = _FIRST_GUESS_SECONDS
        self._promised = 0.0

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether one more can neither run nor wait."""
        free = len(self._running) < self._places and not self._waiting
        return not free and len(self._waiting) >= self._most_waiting

    def turn(self) -> "Turn":
        """Return a turn; it begins to count with `come`, and ends with `leave`."""
        return Turn(self)

    def come_back(self) -> float:
        """Return the seconds after which one who is turned away now may find room."""
        now = asyncio.get_running_loop().time()
        soonest = min(max(self._promised, now), now + _LONGEST_DELAY_SECONDS)
        self._promised = soonest + self._pace()
        return self._promised - now

    def estimate(self, ahead: int) -> float:
        """Return the seconds after which the turn may come of one with so many before it."""
        return (ahead + 1) * self._pace()

    def _pace(self) -> float:
        """Return the seconds from the end of one job to that of the next."""
        now = asyncio.get_running_loop().time()
        lasting = [now - turn.begun for turn in self._running]
        so_far = sum(lasting) / len(lasting) if lasting else 0.0
        return max(self._typical, so_far) / self._places

    def _ahead_of(self, turn: "Turn") -> int:
        return self._waiting.index(turn)

    def _enter(self, turn: "Turn") -> None:
        self._waiting.append(turn)
        self._advance()

    def _leave(self, turn: "Turn") -> None:
        if turn in self._running:
            self._running.remove(turn)
            lasted = asyncio.get_running_loop().time() - turn.begun
            self._typical += _NEWEST * (lasted - self._typical)
        elif turn in self._waiting:
            self._waiting.remove(turn)
        self._advance()

    def _advance(self) -> None:
        """Let those in whose turn it is, and have the others see where they stand."""
        while self._waiting and len(self._running) < self._places:
            turn = self._waiting.popleft()
            turn.begun = asyncio.get_running_loop().time()
            self._running.add(turn)
            turn.news.set()
        for turn in self._waiting:
            turn.news.set()


class Turn:
    """One job's way through the queue.

    Attributes:
        begun: When it got its place.
        news: Set when it has moved.
    """

    def __init__(self, turns: Turns) -> None:
        self.begun = 0.0
        self.news = asyncio.Event()
        self._turns = turns

    async def come(self, announce: Announce) -> None:
        """Wait for a place; whatever comes of it, `leave` has to be called.

        Raises:
            Exception: whatever `announce` raises.
        """
        self._turns._enter(self)
        told = None
        while self in self._turns._waiting:
            self.news.clear()
            ahead = self._turns._ahead_of(self)
            if ahead != told:
                told = ahead
                await announce(ahead, self._turns.estimate(ahead))
            else:
                await self.news.wait()

    def leave(self) -> None:
        """Give the place to the next one, or cease to wait for it."""
        self._turns._leave(self)
