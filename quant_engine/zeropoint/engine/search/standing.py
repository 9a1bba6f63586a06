"""How a candidate stands: figures of its outputs, held against the floor.

All kinds of figures are brought to one scale, the margin in dB: above 0 the floor is kept. What
disagreement is to the share that is allowed counts like noise to signal, so half of it is 3 dB;
so does what the caller's own figure lost.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from zeropoint.engine.options import Options
from zeropoint.engine.report import DecisionKind, Decisions, Floor, OutputFigures

LEAST_DECISIONS: Final = 100
"""Of fewer counts what they allow at best: each is more than a percent."""

TENTH_BELOW_DB: Final = 4.0
"""By how much one sample in ten may be worse than the median one."""

_TOLERANCE_DB: Final = 3.0
_TENTH_TOLERANCE_DB: Final = 2.0
_MORE_DISAGREEMENT: Final = 1.6
_MANY_SAMPLES: Final = 16  # with fewer, chance is more
_MOST_CHANCE: Final = 1.5
_MOST_DB: Final = 30.0  # beyond, nothing is better
_WORST_DB: Final = -60.0
_LEAST_DROP: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Figures of a candidate, each of the worst output.

    Attributes:
        sqnr_db: SQNR of the median sample, in dB; None where no output is compared by it.
        tenth_db: The same of the tenth percentile.
        agreement: Share of the decisions that are the original's; None where too few are made.
        metric: The caller's own figure.
    """

    sqnr_db: float | None = None
    tenth_db: float | None = None
    agreement: float | None = None
    metric: float | None = None

    def margin(self, floor: Floor) -> float:
        """Return by how many dB it is above the floor, in what it is worst at; below it negative.

        Nothing to compare is nothing against it.
        """
        if floor.min_metric is not None and floor.original_metric is not None:
            return _dropped(self.metric, floor.original_metric, floor.min_metric)
        margins = (
            _over(self.sqnr_db, floor.min_sqnr_db),
            _over(self.tenth_db, floor.min_tenth_db),
            _agreeing(self.agreement, floor.min_agreement),
        )
        return max(_WORST_DB, min(margins))

    def holds(self, floor: Floor) -> bool:
        """Whether it keeps the floor."""
        return self.margin(floor) >= 0.0


def floor_of(options: Options) -> Floor:
    """Return what a result must keep, whatever the caller's own figure."""
    verify = options.verify
    return Floor(
        min_sqnr_db=verify.min_sqnr_db,
        min_tenth_db=verify.min_sqnr_db - TENTH_BELOW_DB,
        min_agreement=verify.min_agreement,
    )


def tolerant(floor: Floor, samples: int) -> Floor:
    """Return what other samples than those of the choice must keep: chance has its part in them.

    Args:
        floor: What candidates must keep.
        samples: How many other samples there are.
    """
    chance = min(_MOST_CHANCE, max(1.0, math.sqrt(_MANY_SAMPLES / max(1, samples))))
    return replace(
        floor,
        min_sqnr_db=floor.min_sqnr_db - _TOLERANCE_DB * chance,
        min_tenth_db=floor.min_tenth_db - _TENTH_TOLERANCE_DB * chance,
        min_agreement=1.0 - _MORE_DISAGREEMENT * (1.0 - floor.min_agreement),
    )


def standing_of(outputs: Sequence[OutputFigures]) -> Standing:
    """Return how a candidate stands whose outputs were compared.

    Outputs that do not repeat say nothing. Those that are no floats are judged by their decisions,
    others by both. A sample whose output has another shape is one that decides otherwise.
    """
    telling = [output for output in outputs if output.repeat_db is None]
    by_sample = [o.by_sample for o in telling if o.by_sample is not None and not _is_code(o)]
    shares = [share for output in telling for share in _shares(output)]
    return Standing(
        sqnr_db=min((each.median_db for each in by_sample), default=None),
        tenth_db=min((each.tenth_db for each in by_sample), default=None),
        agreement=min(shares, default=None),
    )


def _is_code(output: OutputFigures) -> bool:
    """Whether the SQNR of an output says little: it is no float, or of things in another order."""
    selected = output.decisions is not None and output.decisions.kind is DecisionKind.SELECTION
    return selected or not output.is_float


def _shares(output: OutputFigures) -> Iterable[float]:
    if output.decisions is not None:
        few = output.decisions.count < LEAST_DECISIONS
        yield output.decisions.high if few else _agreement(output.decisions)
    if output.shape_changed and not _tells_of_lengths(output):
        same = output.by_sample.samples if output.by_sample is not None else 0
        yield same / (same + output.shape_changed)


def _tells_of_lengths(output: OutputFigures) -> bool:
    """Whether decisions say what has become of outputs whose shape follows from values."""
    kinds = (DecisionKind.SELECTION, DecisionKind.SEQUENCE)
    return output.decisions is not None and output.decisions.kind in kinds


def _agreement(decisions: Decisions) -> float:
    minority = decisions.minority_agreement
    return decisions.agreement if minority is None else minority


def _over(figure: float | None, least: float) -> float:
    return _MOST_DB if figure is None else min(_MOST_DB, figure - least)


def _dropped(metric: float | None, original: float, least: float) -> float:
    """Return the margin of a figure: what it lost is to what it may lose like noise to signal."""
    if metric is None or not math.isfinite(metric):
        return _WORST_DB
    lost, allowed = original - metric, original - least
    if lost <= 0.0:
        return _MOST_DB
    return max(_WORST_DB, 10.0 * math.log10(max(allowed, _LEAST_DROP * lost) / lost))


def _agreeing(share: float | None, least: float) -> float:
    if share is None or share >= 1.0:
        return _MOST_DB
    allowed = max(1e-6, 1.0 - least)
    return min(_MOST_DB, 10.0 * math.log10(allowed / (1.0 - share)))
