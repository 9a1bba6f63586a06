"""What processes that run models tell their parent, and what those for trials are asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.engine.errors import EngineError
from zeropoint.engine.report import Speed
from zeropoint.engine.verify.checks import Verified
from zeropoint.engine.verify.effect_values import Effects, EffectsRequest
from zeropoint.engine.verify.original import Reference, ReferenceRequest
from zeropoint.engine.verify.trial_values import Measured, TrialRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error of the engine, as plain data."""

    reason: str
    message: str
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, error: EngineError) -> "Refusal":
        """Return it of an error."""
        return cls(reason=error.reason, message=error.message, metadata=dict(error.metadata))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What trials are made against.

    Attributes:
        request: The original and its batches.
        reference: What it gave, where an earlier process ran it.
    """

    request: ReferenceRequest
    reference: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialQuestion:
    """One request: one of these is there."""

    measure: TrialRequest | None = None
    effects: EffectsRequest | None = None
    speed: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAnswer:
    """One line: progress, or what was asked for.

    Attributes:
        done: What is done of `total`; progress.
        total: 0 in the answer itself.
        reference: What the original gave: the first answer.
        measured: Of a candidate.
        effects: Of the nodes.
        speeds: Of candidates.
        failure: Why there is no answer.
        refusal: What the machine has run out of.
    """

    done: int = 0
    total: int = 0
    reference: Reference | None = None
    measured: Measured | None = None
    effects: Effects | None = None
    speeds: tuple[Speed, ...] = ()
    failure: str | None = None
    refusal: Refusal | None = None
