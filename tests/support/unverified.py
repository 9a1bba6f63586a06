"""Whole jobs without the process that verifies: for tests that run hundreds and compare themselves.

Everything else is done as always: the twins are built, the report is made.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from support.engine import Feeds, Quantized, quantize

from zeropoint.engine import Options
from zeropoint.engine.jobs import job as quantization
from zeropoint.engine.verify import Verified, not_run


@contextmanager
def unverified() -> Iterator[None]:
    """Let jobs end without running their result."""
    with (
        mock.patch.object(quantization, "take_verifier", mock.Mock),
        mock.patch.object(quantization, "verify_contained", _not_verified),
    ):
        yield


def quantize_unverified(
    source: Path, batches: Iterable[Feeds], options: Options, workspace: Path
) -> Quantized:
    """Run a job that does not run its result."""
    with unverified():
        return quantize(source, batches, options, workspace)


def _not_verified(*_arguments: object) -> Verified:
    return not_run("the test compares")
