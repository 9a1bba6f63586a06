"""A job's talk with its worker, of which the client hears what concerns it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from zeropoint.server.failure import JobError
from zeropoint.server.jobs.link import Link
from zeropoint.server.jobs.watchdog import Watchdog
from zeropoint.server.messages import (
    BatchSettled,
    CandidateMade,
    Passed,
    WorkerMessage,
)
from zeropoint.server.worker.process import Worker
from zeropoint.server.worker.protocol import VALUE, Kind

_Answer = TypeVar("_Answer", bound=WorkerMessage)


class Dialogue:
    """Questions to a worker and their answers; what is for the client goes there as it comes.

    Attributes:
        watchdog: What the worker owes.
    """

    def __init__(
        self, worker: Worker, link: Link, last: type[WorkerMessage], silence_seconds: float
    ) -> None:
        """Begin; that the worker ends is no crash behind a message of the type `last`."""
        self.watchdog = Watchdog(silence_seconds)
        self._worker = worker
        self._link = link
        self._last = last
        self._answer: asyncio.Future[WorkerMessage] | None = None
        self._on_settled: Callable[[BatchSettled], None] | None = None
        self._on_candidate: Callable[[CandidateMade], None] | None = None

    async def listen(self) -> None:
        """Hear the worker out; runs alongside everything else.

        Raises:
            JobError: the job has failed, the worker has died or takes too long.
        """
        while True:
            message = await self.watchdog.hear(self._worker.receive())
            match message:
                case Passed():
                    await self._link.send(message)
                case BatchSettled() if self._on_settled is not None:
                    self._on_settled(message)
                case CandidateMade() if self._on_candidate is not None:
                    self.watchdog.pause()
                    self._on_candidate(message)
                case _ if self._answer is not None and not self._answer.done():
                    self.watchdog.relax()
                    self._answer.set_result(message)
                    if isinstance(message, self._last):
                        return
                case _:
                    raise nonsense(message)

    async def tell(self, kind: Kind, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Send a frame that has no answer of its own."""
        await self._worker.send(kind, payload, descriptor)

    async def ask(
        self, kind: Kind, payload: bytes, answer: type[_Answer], *, phase: str, seconds: float
    ) -> _Answer:
        """Send a frame and return its answer; `listen` raises what goes wrong meanwhile."""
        self._answer = asyncio.get_running_loop().create_future()
        self.watchdog.expect(phase, seconds)
        await self._worker.send(kind, payload)
        message = await self._answer
        if not isinstance(message, answer):
            raise nonsense(message)
        return message

    def on_settled(self, tell: Callable[[BatchSettled], None]) -> None:
        """Have `tell` called for each batch that is counted or rejected."""
        self._on_settled = tell

    def on_candidate(self, tell: Callable[[CandidateMade], None]) -> None:
        """Have `tell` called for a model to be evaluated; the worker waits, and its clock stops."""
        self._on_candidate = tell

    async def evaluated(self, value: float) -> None:
        """Give the worker the answer that it waits for; its clock goes on."""
        self.watchdog.resume()
        await self._worker.send(Kind.EVALUATION, VALUE.pack(value))


def nonsense(message: WorkerMessage) -> JobError:
    """Return the failure of a worker that says what makes no sense."""
    return JobError(
        "WORKER_CRASHED",
        f"The process that ran the model has lost its way ({type(message).__name__}).",
        ended="nonsense",
    )
