"""Who verifies the result of a job: a process of its own, or this one."""

from typing import Protocol

from zeropoint.engine.verify.checks import Verified, VerifyRequest, verify
from zeropoint.engine.verify.original import Reference, ReferenceRequest, run_original
from zeropoint.engine.verify.process import take_spare, verify_contained
from zeropoint.engine.verify.trial_process import ContainedTrials
from zeropoint.engine.verify.trials import InProcessTrials, Trials


class Verifier(Protocol):
    """Verifies one result."""

    def begin(self, request: ReferenceRequest, /) -> None:
        """Run the original, before there is a result; may be left out."""

    def verify(self, request: VerifyRequest, timeout: float, /) -> Verified:
        """Load the result, run it and compare it with the original.

        Args:
            request: What is to be verified; its `reference` is what `begin` was given.
            timeout: Seconds that it may take.

        Raises:
            VerificationError: the result must not be returned.
        """

    def trials(self, request: ReferenceRequest, timeout: float, /) -> Trials:
        """Return what measures candidates on other samples; the caller closes it.

        Args:
            request: The original, and these samples.
            timeout: Seconds that one trial may take.
        """

    def close(self) -> None:
        """End whatever was started."""


class ContainedVerifier:
    """A process of its own, which can crash or hang without harm."""

    def __init__(self) -> None:
        """Take the spare process: it has its imports behind it."""
        self._process = take_spare()

    def begin(self, request: ReferenceRequest) -> None:
        """Have the process run the original."""
        self._process.begin(request)

    def verify(self, request: VerifyRequest, timeout: float) -> Verified:
        """See `verify_contained`."""
        return verify_contained(request, timeout, self._process)

    def trials(self, request: ReferenceRequest, timeout: float) -> Trials:
        """Have another process measure candidates."""
        return ContainedTrials(request, timeout)

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.close()


class InProcessVerifier:
    """This process: for callers who trust the model, and for tests, which run hundreds."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._reference: Reference | None = None

    def begin(self, request: ReferenceRequest) -> None:
        """Run the original."""
        self._reference = run_original(request)

    def verify(self, request: VerifyRequest, timeout: float) -> Verified:
        """See `verify`; nothing ends it after `timeout`."""
        del timeout
        reference, self._reference = self._reference, None  # its outputs are used up
        return verify(request, reference=reference)

    def trials(self, request: ReferenceRequest, timeout: float) -> Trials:
        """Measure candidates here; nothing ends a trial after `timeout`."""
        del timeout
        return InProcessTrials(request)

    def close(self) -> None:
        """There is nothing to end."""
