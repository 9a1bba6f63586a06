"""What the verifying process tells its parent."""

from collections.abc import Mapping
from dataclasses import dataclass

from zeropoint.engine.verify.checks import Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A VerificationError, as plain data."""

    reason: str
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildMessage:
    """One line.

    Attributes:
        stage: The stage that begins; DONE is the last message.
        found: What has been found until then; None with a refusal.
        refusal: Why the result must not be returned.
    """

    stage: str
    found: Verified | None = None
    refusal: Refusal | None = None
