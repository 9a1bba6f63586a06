"""Trials in a process of their own: what a candidate does to it ends one trial, and no more."""

import queue
import time
from collections.abc import Sequence
from pathlib import Path

from zeropoint.engine.errors import ResourceError
from zeropoint.engine.report import Speed
from zeropoint.engine.verify.child_process import ChildProcess
from zeropoint.engine.verify.effect_values import Effects, EffectsRequest
from zeropoint.engine.verify.effects import OnNode
from zeropoint.engine.verify.json_values import NotPlain, from_json
from zeropoint.engine.verify.messages import Original, TrialAnswer, TrialQuestion
from zeropoint.engine.verify.original import Reference, ReferenceRequest
from zeropoint.engine.verify.trial_values import Measured, TrialFailed, TrialRequest

_START_SECONDS = 120.0


class ContainedTrials:
    """A process that measures; where it dies, the next trial has another one."""

    def __init__(self, request: ReferenceRequest, seconds: float) -> None:
        """Start it, and have it run the original.

        Args:
            request: The original, and the batches that choose.
            seconds: How long one trial may take.
        """
        self._request = request
        self._seconds = seconds
        self._reference: Reference | None = None
        self._closed = False
        self._process: ChildProcess | None = None
        self._begin()

    @property
    def pid(self) -> int | None:
        """Process id of who measures now; None where the last one died."""
        return None if self._process is None else self._process.pid

    @property
    def reference(self) -> Reference:
        """See `Trials.reference`."""
        self._ready("running the original model")
        assert self._reference is not None
        return self._reference

    def measure(self, request: TrialRequest) -> Measured:
        """See `Trials.measure`."""
        question = TrialQuestion(measure=request)
        found = self._ask(question, f"measuring {request.shipped.name}").measured
        assert found is not None
        return found

    def effects(self, request: EffectsRequest, notify: OnNode | None = None) -> Effects:
        """See `Trials.effects`."""
        question = TrialQuestion(effects=request)
        found = self._ask(question, "quantizing nodes alone", notify).effects
        assert found is not None
        return found

    def speed(self, shipped: Sequence[Path]) -> tuple[Speed, ...]:
        """See `Trials.speed`."""
        return self._ask(TrialQuestion(speed=tuple(shipped)), "timing candidates").speeds

    def close(self) -> None:
        """End the process, whatever it does, and remove what the original gave."""
        self._closed = True
        self._end()
        for outputs in () if self._reference is None else self._reference.outputs:
            for stored in (array for arrays in outputs for array in arrays):
                stored.path.unlink(missing_ok=True)

    def _begin(self) -> ChildProcess:
        self._process = ChildProcess("zeropoint.engine.verify.trial_child")
        original = Original(request=self._request, reference=self._reference)
        self._process.send(original, self._request.scratch / "original.json")
        self._answered = False
        return self._process

    def _ready(self, doing: str) -> ChildProcess:
        """Return a process that has the reference."""
        if self._closed:
            raise TrialFailed(f"{doing}: the trials were ended", died=True)
        process = self._process or self._begin()
        if not self._answered:
            found = self._receive(process, "running the original model", _START_SECONDS)
            self._reference = found.reference
            self._answered = True
        return process

    def _ask(
        self, question: TrialQuestion, doing: str, notify: OnNode | None = None
    ) -> TrialAnswer:
        process = self._ready(doing)
        process.send(question, self._request.scratch / "trial.json")
        return self._receive(process, doing, 0.0, notify)

    def _receive(
        self, process: ChildProcess, doing: str, start: float, notify: OnNode | None = None
    ) -> TrialAnswer:
        """Return the next answer.

        Args:
            process: Who gives it.
            doing: What it does, for people.
            start: Seconds that it may take to begin.
            notify: Told how far it is.
        """
        deadline = time.monotonic() + start + self._seconds
        while True:
            try:
                answer = from_json(TrialAnswer, process.line(deadline - time.monotonic()))
            except queue.Empty:
                self._end()
                raise TrialFailed(
                    f"{doing} took more than {self._seconds:g} s", died=True
                ) from None
            except NotPlain:
                how = process.death()
                self._end()
                raise TrialFailed(f"{doing} {how}", died=True) from None
            if answer.refusal is not None:
                refusal = answer.refusal
                raise ResourceError(refusal.reason, refusal.message, **refusal.metadata)
            if answer.failure is not None:
                raise TrialFailed(answer.failure)
            if not answer.total:
                return answer
            if notify is not None:
                notify(answer.done, answer.total)

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
