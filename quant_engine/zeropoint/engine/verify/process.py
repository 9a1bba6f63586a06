"""Verification in a process of its own, which can crash or hang without harm."""

import dataclasses
import queue
import time
from collections.abc import Callable
from typing import Self

from zeropoint.engine.errors import ResourceError, VerificationError
from zeropoint.engine.shortage import SHORTAGES
from zeropoint.engine.verify.checks import (
    CHECKS,
    COMPARE,
    DONE,
    KERNELS,
    LOAD,
    ORIGINAL,
    Verified,
    VerifyRequest,
    explain,
    not_run,
)
from zeropoint.engine.verify.child_process import ChildProcess
from zeropoint.engine.verify.json_values import NotPlain, from_json
from zeropoint.engine.verify.messages import ChildMessage
from zeropoint.engine.verify.original import ReferenceRequest

_START_SECONDS = 120.0

_BESIDE_TWINS = (LOAD, COMPARE, KERNELS)

OnStage = Callable[[str], None]
"""Told each stage of a verification as it begins."""


class _Ended(Exception):  # noqa: N818 - an outcome
    """The process ended, or was ended, before it had answered."""

    def __init__(self, stage: str, found: Verified, how: str, *, late: bool) -> None:
        super().__init__(how)
        self.stage = stage
        self.found = found
        self.how = how
        self.late = late


class VerifyProcess:
    """A process that verifies one request; started early, it has its imports behind it."""

    def __init__(self) -> None:
        """Start it."""
        self._process = ChildProcess("zeropoint.engine.verify.child")
        self._begun: ReferenceRequest | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.alive

    def begin(self, request: ReferenceRequest) -> None:
        """Have it run the original, before there is a result; to be called once.

        Args:
            request: That of the request that will follow.
        """
        self._begun = request
        self._process.send(request, request.scratch / "reference.json")

    def answer(
        self, request: VerifyRequest, timeout: float, on_stage: OnStage | None = None
    ) -> Verified:
        """Verify a request; to be called once.

        Args:
            request: What is to be verified.
            timeout: Seconds from now, or from when it takes up the request where that is later.
            on_stage: Told each stage as it begins.

        Raises:
            VerificationError: the result must not be returned.
        """
        if self._begun is None:
            self.begin(request.reference)
        assert self._begun == request.reference
        self._process.send(request, request.reference.scratch / "verify.json")
        stage, found = ORIGINAL, not_run("the original model was not run")
        deadline = None
        while True:
            wait = _START_SECONDS if deadline is None else deadline - time.monotonic()
            try:
                line = self._process.line(wait)
            except queue.Empty:
                raise _Ended(stage, found, f"took more than {timeout:g} s", late=True) from None
            deadline = deadline or time.monotonic() + timeout
            message = _parse(line)
            if message is None:
                raise _Ended(stage, found, self._process.death(), late=False)
            if message.refusal is not None:
                refusal = message.refusal
                kind = ResourceError if refusal.reason in SHORTAGES else VerificationError
                raise kind(refusal.reason, refusal.message, **refusal.metadata)
            stage, found = message.stage, message.found or found
            if on_stage is not None:
                on_stage(stage)
            if stage == DONE:
                return found

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


_spare: list[VerifyProcess] = []


def start_spare() -> None:
    """Start a process for the next job, which then does not wait for its imports."""
    if not _spare:
        _spare.append(VerifyProcess())


def take_spare() -> VerifyProcess:
    """Return the spare process, or a new one; the caller closes it."""
    return _spare.pop() if _spare else VerifyProcess()


def verify_contained(
    request: VerifyRequest,
    timeout: float,
    process: VerifyProcess | None = None,
    on_stage: OnStage | None = None,
) -> Verified:
    """Verify in a process that may crash or hang.

    Where ONNX Runtime crashes on the user's own model, or takes too long, the result is still
    loaded, in another process, and the answer is NOT_RUN with the reason. Where it crashes and that
    may be the doing of the twins beside the result, all is done again, one after the other.

    Args:
        request: What is to be verified.
        timeout: Seconds for one process.
        process: One that was started before; it is used up and closed.
        on_stage: Told each stage as it begins.

    Raises:
        VerificationError: RESULT_NOT_RUNNABLE, the result does not load, crashes ONNX Runtime, or
            does not run on a batch that the original runs on.
    """
    if process is not None and not process.alive:  # its death is none of the model's doing
        process.close()
        process = None
    try:
        with process or VerifyProcess() as running:
            return running.answer(request, timeout, on_stage)
    except _Ended as ended:
        reference = request.reference
        if reference.at_once and ended.stage in _BESIDE_TWINS and not ended.late:
            apart = dataclasses.replace(reference, at_once=False)
            request = dataclasses.replace(request, reference=apart)
            return verify_contained(request, timeout, on_stage=on_stage)
        if ended.stage != ORIGINAL:
            return _what_is_left(ended)
        how = ended.how
    try:
        nothing = dataclasses.replace(reference, original=None, batches=())
        only_loading = dataclasses.replace(request, reference=nothing, twins=None, proof=None)
        with VerifyProcess() as running:
            found = running.answer(only_loading, timeout, on_stage)
    except _Ended as ended:
        found = _what_is_left(ended)
    because = not_run(f"running the original model {how}").verification.message
    return dataclasses.replace(
        found, verification=dataclasses.replace(found.verification, message=because)
    )


def _what_is_left(ended: _Ended) -> Verified:
    """Return what had been found when the process ended, if that is enough."""
    for check in CHECKS:
        if check.stage == ended.stage:
            return explain(ended.found, f"{check.missing} missing: computing them {ended.how}")
    if ended.stage == COMPARE and ended.late:
        return not_run(f"the quantized model loads, but running it {ended.how}")
    doing = "loading" if ended.stage != COMPARE else "running"
    raise VerificationError(
        "RESULT_NOT_RUNNABLE", f"{doing} the quantized model in ONNX Runtime {ended.how}."
    )


def _parse(line: bytes) -> ChildMessage | None:
    try:
        return from_json(ChildMessage, line)
    except NotPlain:
        return None
