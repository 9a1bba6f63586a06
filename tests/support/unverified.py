"""Whole jobs without the process that verifies: for tests that run hundreds and compare themselves.

Everything else is done as always: the twins are built, the report is made.
"""

from collections.abc import Iterable
from pathlib import Path

from support.engine import Feeds, Quantized, quantize

from zeropoint.engine import Options
from zeropoint.engine.verify import ReferenceRequest, Trials, Verified, VerifyRequest, not_run


class Unverified:
    """Lets jobs end without running their result."""

    def begin(self, request: ReferenceRequest) -> None:
        """Leave the original alone."""

    def verify(self, request: VerifyRequest, timeout: float) -> Verified:
        return not_run("the test compares")

    def trials(self, request: ReferenceRequest, timeout: float) -> Trials:
        raise AssertionError("what was not compared needs no search")

    def close(self) -> None:
        """End nothing."""


def quantize_unverified(
    source: Path, batches: Iterable[Feeds], options: Options, workspace: Path
) -> Quantized:
    """Run a job that does not run its result."""
    return quantize(source, batches, options, workspace, verifier=Unverified)
