"""Taking batches: several are under way at once, and each is settled in its turn."""

import time
from collections.abc import Callable
from concurrent.futures import Future

from zeropoint.engine.errors import BatchError
from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.in_order import InOrder
from zeropoint.engine.progress import Convergence, Phase, Progress
from zeropoint.engine.report import RejectedBatches, Signature
from zeropoint.engine.samples import RetainedBatches, check_batch, plain_batch
from zeropoint.engine.settings import Batch, Settled

Start = Callable[[Batch, int], "Future[None]"]
"""Begins to count a batch that fits the signature, given with its number."""


class Intake:
    """The batches of one job."""

    def __init__(
        self,
        signature: Signature,
        start: Start,
        retained: RetainedBatches,
        clock: Clock,
        convergence: Callable[[int, float], Convergence | None],
    ) -> None:
        """Start with none.

        Args:
            signature: What a batch must fit.
            start: Begins to count one.
            retained: Offered every batch that was counted.
            clock: Gets the time during which batches are under way, and is told of them.
            convergence: Returns how far the ranges still move, given how many batches were counted
                and in how many seconds.
        """
        self.batches = 0
        self._rejected: dict[str, RejectedBatches] = {}
        self._signature = signature
        self._start = start
        self._retained = retained
        self._clock = clock
        self._convergence = convergence
        self._order = InOrder()
        self._offered = self._settled = 0
        self._since = 0.0

    @property
    def rejected(self) -> tuple[RejectedBatches, ...]:
        """Those that were left out, by reason, the most frequent first."""
        return tuple(sorted(self._rejected.values(), key=lambda one: -one.batches))

    def submit(self, batch: Batch, sequence: int | None, settled: Settled) -> None:
        """Take a batch, as soon as there is room for it.

        Args:
            batch: Arrays by name; not to be changed before it is settled.
            sequence: Its number; None: one more than those offered.
            settled: Told of it when it and all before it are done.

        Raises:
            EngineError: an earlier batch has shown that the job cannot go on.
        """
        self._open()
        number = sequence or self._offered
        try:
            batch = plain_batch(batch)
            future = self._begin(batch, number)
        except BatchError as error:
            future = _refused(error)
        self._order.add(future, lambda done: self._settle(batch, number, done, settled))

    def reject(self, error: BatchError, sequence: int | None, settled: Settled) -> None:
        """Take note of a batch that could not be read; `settled` is told in its turn."""
        self._open()
        number = sequence or self._offered
        self._order.add(_refused(error), lambda done: self._settle({}, number, done, settled))

    def drain(self) -> None:
        """Wait until all batches are settled.

        Raises:
            EngineError: one of them has shown that the job cannot go on.
        """
        self._order.drain()

    def _begin(self, batch: Batch, sequence: int) -> "Future[None]":
        check_batch(self._signature, batch)
        return self._start(batch, sequence)

    def _open(self) -> None:
        self._offered += 1
        if self._offered == self._settled + 1:
            self._since = time.perf_counter()

    def _settle(self, batch: Batch, sequence: int, done: "Future[None]", settled: Settled) -> None:
        error = done.exception()
        if error is not None and not isinstance(error, BatchError):
            settled(error)
            raise error
        if error is None:
            self._retained.offer(batch, sequence)
            self.batches += 1
        else:
            self._note(sequence, error)
        self._settled += 1
        now = time.perf_counter()
        self._clock.add(Phase.CALIBRATE, now - self._since)
        self._since = now
        settled(error)
        if error is None:
            self._tell()

    def _note(self, sequence: int, error: BatchError) -> None:
        """Count a batch that is left out with those of the same reason."""
        known = self._rejected.get(error.reason)
        self._rejected[error.reason] = RejectedBatches(
            reason=error.reason,
            batches=known.batches + 1 if known else 1,
            sequence=known.sequence if known else sequence,
            message=known.message if known else error.message,
        )

    def _tell(self) -> None:
        seconds = self._clock.seconds(Phase.CALIBRATE)
        self._clock.tell(
            Progress(
                phase=Phase.CALIBRATE,
                done=self.batches,
                message=f"{self.batches} batches",
                convergence=self._convergence(self.batches, seconds),
            )
        )


def _refused(error: BatchError) -> "Future[None]":
    refused: Future[None] = Future()
    refused.set_exception(error)
    return refused
