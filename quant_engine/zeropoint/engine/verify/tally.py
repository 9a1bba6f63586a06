"""Decisions of two models side by side, sample by sample: how many are the same, of which class."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.report import DecisionKind, Decisions
from zeropoint.engine.verify.interval import independent, interval

LEAST_DECISIONS: Final = 100
"""Of fewer, nothing is told of those that are not of the most frequent class."""

_Counts = NDArray[np.int64]
_MOST_CODES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Shares:
    """Decisions of some samples.

    Attributes:
        same: Those of each sample that are the same, [n].
        counts: All of each, [n].
    """

    same: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Share of all that are the same; 1 where there is none."""
        total = float(self.counts.sum())
        return float(self.same.sum()) / total if total else 1.0

    @property
    def count(self) -> int:
        """How many there are."""
        return round(float(self.counts.sum()))

    @property
    def interval(self) -> tuple[float, float]:
        """What the share may be of any samples like these, with 95 %."""
        return interval(self.share, independent(self.same, self.counts))


def shares_of(pairs: list[tuple[float, float]]) -> Shares:
    """Return the shares of samples, each given by how many are the same, and how many there are."""
    same, counts = np.asarray(pairs, np.float64).reshape(-1, 2).T
    return Shares(same, counts)


def decisions_of(
    kind: DecisionKind,
    every: Shares,
    minority: Shares | None = None,
    *,
    whole: float | None = None,
) -> Decisions:
    """Return what is told of some decisions; their interval is that of the minority, if it is told.

    Args:
        kind: What is decided.
        every: All decisions.
        minority: Those that are not of the most frequent class; None: there is no such class.
        whole: Share of the samples of which all decisions are the same, where that says something.
    """
    few = minority is None or minority.count < LEAST_DECISIONS
    telling = every if minority is None or few else minority
    low, high = telling.interval
    return Decisions(
        kind=kind,
        agreement=every.share,
        count=every.count,
        minority_agreement=None if minority is None or few else minority.share,
        minority_count=0 if minority is None else minority.count,
        low=low,
        high=high,
        whole=whole,
    )


class ClassTally:
    """Counts decisions for classes."""

    def __init__(self) -> None:
        """Start with none."""
        self._samples: list[tuple[NDArray[Any], _Counts, _Counts, _Counts]] = []

    def add(self, original: NDArray[Any], result: NDArray[Any]) -> None:
        """Take what both decide on one sample.

        Args:
            original: Classes: integers, bool or text, any shape.
            result: The same shape.
        """
        one, other = original.reshape(-1), result.reshape(-1)
        if not one.size:
            return
        self._samples.append(_counts(one, other))

    @property
    def every(self) -> Shares:
        """All decisions."""
        return shares_of([(same.sum(), ours.sum()) for _, ours, _, same in self._samples])

    @property
    def most_frequent(self) -> Any:
        """The class that the original decides for most often; None: there are no decisions."""
        if not self._samples:
            return None
        found, places = np.unique(
            np.concatenate([classes for classes, *_ in self._samples]), return_inverse=True
        )
        counts = np.concatenate([ours for _, ours, _, _ in self._samples])
        return found[np.bincount(places, counts).argmax()]

    @property
    def minority(self) -> Shares:
        """Decisions of either model for another class than the most frequent one.

        2 n / (a + b): n are the same, a the original's, b the result's (Dice 1945). So those that
        are missing and those that are too many count alike.
        """
        most = self.most_frequent
        pairs = []
        for classes, ours, theirs, same in self._samples:
            rest = classes != most
            pairs.append((same[rest].sum(), (ours[rest].sum() + theirs[rest].sum()) / 2.0))
        return shares_of(pairs)


def _counts(
    one: NDArray[Any], other: NDArray[Any]
) -> tuple[NDArray[Any], _Counts, _Counts, _Counts]:
    """Return the classes, and how often each is decided by one, by the other, and by both."""
    if one.dtype == np.bool_:
        one, other = one.astype(np.int64), other.astype(np.int64)
    small = one.dtype.kind in "iu" and all(
        side.min() >= 0 and side.max() < _MOST_CODES for side in (one, other)
    )
    if small:
        size = int(max(one.max(), other.max())) + 1
        classes, codes, others = np.arange(size), one, other
    else:
        classes, places = np.unique(np.concatenate([one, other]), return_inverse=True)
        size, (codes, others) = len(classes), np.split(places, 2)
    counts = [np.bincount(each, minlength=size) for each in (codes, others, codes[codes == others])]
    used = (counts[0] > 0) | (counts[1] > 0)
    return classes[used], counts[0][used], counts[1][used], counts[2][used]
