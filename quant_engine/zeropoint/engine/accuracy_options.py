"""How good a result must be, how that is judged, and what may be done to get there."""

import math
from dataclasses import dataclass
from enum import StrEnum

from zeropoint.engine.errors import OptionError


class AccuracyMode(StrEnum):
    """What is done about a result that is not good enough.

    OFF: it is told. GUARD: what was asked for is tried as it is; where it falls below the floor,
    the nodes that cause it get the least costly remedy. AUTO: what was asked for are limits, within
    which the fastest or the smallest model is looked for that keeps the floor.
    """

    OFF = "off"
    GUARD = "guard"
    AUTO = "auto"


class Objective(StrEnum):
    """What counts in AUTO where the floor is kept."""

    LATENCY = "latency"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyOptions:
    """What may be done for a result that is good enough.

    Attributes:
        mode: What is done about one that is not.
        objective: What counts in AUTO.
        evaluate: Whether the caller answers what each candidate is worth by a figure of its own,
            of which more is better; it then counts instead of the floors of `VerifyOptions`.
        max_drop: By how much that figure may be less than the original's, in its own unit; None:
            by 1 % of the original's.
        sensitivity: Have the effect of each node measured and told, also where nothing is searched.
        decisions: What an earlier job's report says that it decided: that is done, and nothing is
            searched. Empty: nothing is known.
    """

    mode: AccuracyMode = AccuracyMode.GUARD
    objective: Objective = Objective.LATENCY
    evaluate: bool = False
    max_drop: float | None = None
    sensitivity: bool = False
    decisions: str = ""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            OptionError: `max_drop` is negative, no number, or without `evaluate`; or something is
                asked for that mode OFF does not do.
        """
        if self.max_drop is not None and not self.max_drop >= 0.0:
            raise OptionError(
                "OPTION_INVALID",
                f"max_drop={self.max_drop:g} must be a number that is not negative.",
                option="max_drop",
            )
        if self.max_drop is not None and not self.evaluate:
            raise OptionError(
                "OPTION_CONFLICT",
                "max_drop is of the figure that evaluate gives. Give evaluate, too.",
                option="max_drop",
            )
        if self.mode is not AccuracyMode.OFF:
            return
        for option, given in (("evaluate", self.evaluate), ("decisions", bool(self.decisions))):
            if given:
                raise OptionError(
                    "OPTION_CONFLICT",
                    f"{option} has no meaning with accuracy='off'. Leave one of both out.",
                    option=option,
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePair:
    """An output of a call that is an input of the next one."""

    output: str
    input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """How the result is judged.

    Attributes:
        min_sqnr_db: Floor, in dB, below which a result carries a warning.
        strict: Refuse a result below the floor instead.
        min_agreement: Least share of decisions that are the original's, where outputs make at
            least 100, 0..1.
        state: Outputs that feed inputs of the next call; none: those that names, types and shapes
            show. Where there are some, batches in their order are a sequence, and the result is
            verified with its own state.
    """

    min_sqnr_db: float = 12.0
    strict: bool = False
    min_agreement: float = 0.95
    state: tuple[StatePair, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a floor that is none.

        Raises:
            OptionError: `min_sqnr_db` is NaN, `min_agreement` is no share, or `state` feeds an
                input twice.
        """
        taken = [pair.input for pair in self.state]
        if len(set(taken)) < len(taken):
            raise OptionError(
                "OPTION_INVALID", "state feeds an input from two outputs.", option="state"
            )
        if math.isnan(self.min_sqnr_db):
            raise OptionError(
                "OPTION_INVALID", "min_sqnr_db must be a number of dB.", option="min_sqnr_db"
            )
        if not 0.0 <= self.min_agreement <= 1.0:
            raise OptionError(
                "OPTION_INVALID",
                f"min_agreement={self.min_agreement:g} must be a share from 0 to 1.",
                option="min_agreement",
            )
