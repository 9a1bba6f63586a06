"""The plot of what was tried: what a candidate costs against how close it is to the original."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from zeropoint.client.page.svg import (
    ACCENT,
    BAD,
    GOOD,
    LINE,
    MUTED,
    PAPER,
    figure,
    inline,
    margins,
    styled,
)
from zeropoint.client.page.words import trial_title

if TYPE_CHECKING:
    from markupsafe import Markup

    from zeropoint.client.accuracy_report import Accuracy, Trial

_MOST_DRAWN: Final = 100
_MOST_NUMBERED: Final = 24
_LEAST, _BEST = -20.0, 80.0  # dB; what is beyond is drawn there


class _Axis(NamedTuple):
    """A figure of trials, how it is called, and the least or most of it that is wanted."""

    figure: Callable[[Trial], float | None]
    label: str
    wanted: float | None = None


def search_plot(found: Accuracy, *, width: int, name: str) -> Markup | None:
    """Return the plot; None where fewer than two trials have what it shows."""
    across, up = _across(found), _up(found)
    pairs = [(trial, across.figure(trial), up.figure(trial)) for trial in found.trials]
    points = [(t, x, y) for t, x, y in pairs if x is not None and y is not None]
    if len(points) < 2:
        return None
    points = [p for place, p in enumerate(points) if place < _MOST_DRAWN or p[0].chosen]
    titles = {}
    with styled():
        drawn = figure(width, 300 if width > 600 else 260)
        axes = drawn.add_subplot()
        axes.plot([x for _, x, _ in points], [y for _, _, y in points], color=LINE, linewidth=1)
        for trial, x, y in points:
            colour = GOOD if trial.held else BAD
            face = colour if trial.held else PAPER
            [mark] = axes.plot([x], [y], "o", mec=colour, mfc=face, mew=1.6, markersize=7, zorder=3)
            mark.set_gid(f"t{trial.number}")
            titles[f"t{trial.number}"] = trial_title(trial)
            if trial.chosen:
                axes.plot([x], [y], "o", mfc="none", mec=ACCENT, mew=2.2, markersize=14, zorder=4)
            if trial.chosen or trial.number == 0 or len(points) <= _MOST_NUMBERED:
                text = f"{trial.number} chosen" if trial.chosen else str(trial.number)
                axes.annotate(
                    text, (x, y), xytext=(8, 6), textcoords="offset points", fontsize=10, zorder=5
                )
        if across.wanted is not None:
            axes.axvline(across.wanted, color=BAD, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel(across.label, color=MUTED)
        axes.set_ylabel(up.label)
        axes.margins(0.12)
        margins(drawn, left=58, bottom=42)
        label = f"{len(found.trials)} candidates: {up.label} against {across.label}; table below"
        return inline(drawn, name=name, label=label, titles=titles)


def _metric(trial: Trial) -> float | None:
    """Return the caller's own figure; None where a candidate could not be used."""
    value = trial.metric
    return value if value is not None and math.isfinite(value) else None


def _sqnr_db(trial: Trial) -> float | None:
    value = trial.sqnr_db
    return None if value is None else max(_LEAST, min(value, _BEST))


def _across(found: Accuracy) -> _Axis:
    if any(trial.metric is not None for trial in found.trials):
        return _Axis(_metric, "your own figure: more is better", found.floor.min_metric)
    floor_db = found.floor.min_sqnr_db
    return _Axis(
        lambda trial: trial.sqnr_db, "SQNR of the worst output in dB: more is better", floor_db
    )


def _up(found: Accuracy) -> _Axis:
    timed: Sequence[Trial] = [t for t in found.trials if t.latency_ratio is not None]
    if len(timed) > 1:
        return _Axis(
            lambda trial: trial.latency_ratio, "time beside the original's: less is better"
        )
    if any(trial.integer_share is not None for trial in found.trials):
        return _Axis(lambda trial: trial.integer_share, "share of arithmetic in integers")
    return _Axis(lambda trial: float(trial.float_nodes), "nodes that stay float")
