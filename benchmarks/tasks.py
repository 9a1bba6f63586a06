"""Models with what they are for: data for calibration, and a score on other data.

All are drawn or synthesized here with fixed seeds, or lie on every machine. A score against the
float model's own answers is 1 for that model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.observation import plain_session

Batch = Mapping[str, NDArray[Any]]

Run = Callable[[Batch], Sequence[NDArray[Any]]]
"""Runs a model on one batch and returns its outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A model and how well it does its work.

    Attributes:
        name: What the model is called in tables.
        metric: What `score` counts, in words.
        path: Fetches the model and returns its ONNX file.
        calibration: Returns as many batches as asked for.
        score: Returns how well a model does on as many other samples as asked for, given how to
            run it and how to run the float model: more is better, 1 is best where nothing else
            is said.
    """

    name: str
    metric: str
    path: Callable[[], Path]
    calibration: Callable[[int], Sequence[Batch]]
    score: Callable[[int, Run, Run], float]


def runner(path: Path) -> Run:
    """Open a model on one thread, and return how to run it."""
    session = plain_session(path, threads=1)
    return lambda batch: session.run(None, dict(batch))


def agreement(answers: Sequence[Any], expected: Sequence[Any]) -> float:
    """Return the share of answers that are as expected."""
    return sum(bool(a == b) for a, b in zip(answers, expected, strict=True)) / len(expected)


def f1(hits: int, found: int, wanted: int) -> float:
    """Return the harmonic mean of precision and recall; 1 where there is nothing to find."""
    return 2 * hits / (found + wanted) if found + wanted else 1.0


def rank_correlation(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Return Spearman's correlation of two rows of figures; 0 where one of them is constant."""
    one, other = (_ranks(np.asarray(figures)) for figures in (ours, theirs))
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(figures: NDArray[Any]) -> NDArray[np.float64]:
    """Return the rank of each; equal ones have the mean of theirs."""
    _, places, counts = np.unique(figures, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[places.ravel()]
    return ranks


def area_under_curve(scores: ArrayLike, wanted: ArrayLike) -> float:
    """Return the share of pairs of a wanted and an unwanted item whose scores are in order.

    Args:
        scores: float [N].
        wanted: bool [N]; both kinds are there.
    """
    values, flags = np.asarray(scores), np.asarray(wanted)
    order = values[flags][:, None] - values[~flags][None, :]
    return float((order > 0).mean() + (order == 0).mean() / 2)
