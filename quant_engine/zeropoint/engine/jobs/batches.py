"""Taking batches: several are under way at once, and each is settled in its turn."""

import time
from concurrent.futures import Future
from typing import NamedTuple

from zeropoint.engine.errors import BatchError
from zeropoint.engine.jobs.batch_axis import SampleCount
from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.held_out import VerificationBatches
from zeropoint.engine.jobs.in_order import InOrder
from zeropoint.engine.jobs.source import Source
from zeropoint.engine.progress import Phase, Progress
from zeropoint.engine.report import RejectedBatches, Signature
from zeropoint.engine.samples import check_batch, digested, plain_batch
from zeropoint.engine.settings import Batch, Settled

_Counted = Future[None]


class Intake:
    """The batches of one job."""

    def __init__(
        self,
        signature: Signature,
        source: Source,
        kept: VerificationBatches,
        clock: Clock,
    ) -> None:
        """Start with none.

        Args:
            signature: What a batch must fit.
            source: Counts them, and tells how far ranges still move.
            kept: Offered every batch that was counted.
            clock: Gets the time during which batches are under way, and is told of them.
        """
        self.batches = 0
        self._rejected: dict[str, RejectedBatches] = {}
        self._signature = signature
        self._samples = SampleCount(signature, source.samplewise)
        self._source = source
        self._kept = kept
        self._clock = clock
        self._order = InOrder()
        self._offered = self._settled = 0
        self._since = 0.0
        self._below = 0

    @property
    def rejected(self) -> tuple[RejectedBatches, ...]:
        """Those that were left out, by reason, the most frequent first."""
        return tuple(sorted(self._rejected.values(), key=lambda one: -one.batches))

    def submit(
        self, batch: Batch, sequence: int | None, settled: Settled, *, verify_only: bool
    ) -> None:
        """Take a batch, as soon as there is room for it.

        Args:
            batch: Arrays by name; not to be changed before it is settled.
            sequence: Its number; None: one more than those offered.
            settled: Told of it when it and all before it are done.
            verify_only: Whether it only serves to verify the result.

        Raises:
            EngineError: an earlier batch has shown that the job cannot go on.
        """
        self._open()
        number = sequence or self._offered
        try:
            batch = plain_batch(batch)
            check_batch(self._signature, batch)
            taken = _Taken(digested(batch), number, self._samples.of(batch), verify_only)
            future = self._start(taken)
        except BatchError as error:
            taken, future = _nothing(number), _refused(error)
        self._order.add(future, lambda done: self._settle(taken, done, settled))

    def reject(self, error: BatchError, sequence: int | None, settled: Settled) -> None:
        """Take note of a batch that could not be read; `settled` is told in its turn."""
        self._open()
        number = sequence or self._offered
        taken = _nothing(number)
        self._order.add(_refused(error), lambda done: self._settle(taken, done, settled))

    def drain(self) -> None:
        """Wait until all batches are settled.

        Raises:
            EngineError: one of them has shown that the job cannot go on.
        """
        self._order.drain()

    def _start(self, taken: "_Taken") -> _Counted:
        if taken.verify_only:
            done = _Counted()
            done.set_result(None)
            return done
        return self._source.start(
            taken.batch, taken.number, lambda: self._kept.band_of(taken.batch, taken.samples)
        )

    def _open(self) -> None:
        self._offered += 1
        if self._offered == self._settled + 1:
            self._since = time.perf_counter()

    def _settle(self, taken: "_Taken", done: _Counted, settled: Settled) -> None:
        error = done.exception()
        if error is not None and not isinstance(error, BatchError):
            settled(error)
            raise error
        if error is None:
            self._keep(taken)
        else:
            self._note(taken.number, error)
        self._settled += 1
        now = time.perf_counter()
        self._clock.add(Phase.CALIBRATE, now - self._since)
        self._since = now
        settled(error)
        if error is None:
            self._tell()

    def _keep(self, taken: "_Taken") -> None:
        if taken.verify_only:
            self._kept.give(taken.batch, taken.number, taken.samples)
            return
        self.batches += 1
        below = self._kept.offer(taken.batch, taken.number, taken.samples)
        if below > self._below:
            self._below = below
            self._source.release(below)

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
                message=f"{self.batches} batch{'' if self.batches == 1 else 'es'}",
                convergence=self._source.convergence(self.batches, seconds),
            )
        )


class _Taken(NamedTuple):
    batch: Batch
    number: int
    samples: int
    verify_only: bool


def _nothing(number: int) -> _Taken:
    return _Taken(digested({}), number, 0, verify_only=False)


def _refused(error: BatchError) -> _Counted:
    refused = _Counted()
    refused.set_exception(error)
    return refused
