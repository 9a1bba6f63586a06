"""What each floor accepts and refuses of results whose task metric is known.

`floors.csv` has a line for each result: the score of its task beside the float model's, and the
figures of the worst output on 16 samples that took no part in anything. There are variants of
sixteen models, none of them searched for: other range methods, one scale or one for each channel,
symmetric ranges, and some of the layers in float, by chance (`ex30`: 30 %) or from one end
(`prefix3`). Agreement is empty where less than 100 decisions are made.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_POINTS: Final = Path(__file__).with_suffix(".csv")
_KEPT: Final = 0.98
_RUINED: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A result, and what became of its task."""

    task: str
    kept: float
    mean_db: float
    median_db: float
    tenth_db: float
    agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Least figures; what a result does not have is nothing against it."""

    name: str
    mean_db: float = -math.inf
    median_db: float = -math.inf
    tenth_db: float = -math.inf
    agreement: float = -math.inf

    def accepts(self, point: Point) -> bool:
        """Whether a result keeps all of them."""
        return (
            point.mean_db >= self.mean_db
            and point.median_db >= self.median_db
            and point.tenth_db >= self.tenth_db
            and point.agreement >= self.agreement
        )


def _together(median_db: int, tenth_db: int) -> Rule:
    return Rule(
        name=f"median ≥ {median_db} dB, tenth ≥ {tenth_db} dB, decisions ≥ 0.95",
        median_db=median_db,
        tenth_db=tenth_db,
        agreement=0.95,
    )


RULES: Final = (
    Rule(name="mean over all samples ≥ 10 dB", mean_db=10),
    Rule(name="mean ≥ 15 dB", mean_db=15),
    Rule(name="mean ≥ 25 dB", mean_db=25),
    Rule(name="median ≥ 10 dB", median_db=10),
    Rule(name="median ≥ 15 dB", median_db=15),
    Rule(name="tenth percentile ≥ 3 dB", tenth_db=3),
    Rule(name="tenth percentile ≥ 8 dB", tenth_db=8),
    Rule(name="tenth percentile ≥ 12 dB", tenth_db=12),
    _together(10, 3),
    _together(12, 8),
    _together(15, 8),
)


def points() -> Sequence[Point]:
    """Return all results."""
    with _POINTS.open(newline="") as file:
        return [
            Point(
                task=row["task"],
                kept=float(row["score"]) / float(row["float_score"]),
                mean_db=_number(row["mean_db"]),
                median_db=_number(row["median_db"]),
                tenth_db=_number(row["tenth_db"]),
                agreement=_number(row["agreement"]),
            )
            for row in csv.DictReader(file)
        ]


def table() -> Iterator[str]:
    """Yield the lines of the table, in Markdown, of which the last rows are of several figures."""
    found = points()
    heads = "accepted, and lost more than 2 %", "of these more than 10 %", "refused, and kept"
    yield f"| floor | {' | '.join(heads)} |"
    yield "| --- | --- | --- | --- |"
    for rule in RULES:
        lost = [one for one in found if rule.accepts(one) and one.kept < _KEPT]
        ruined = sum(one.kept < _RUINED for one in lost)
        refused = sum(not rule.accepts(one) and one.kept >= _KEPT for one in found)
        yield f"| {rule.name} | {len(lost)} | {ruined} | {refused} |"


def _number(text: str) -> float:
    return float(text) if text else math.inf


def main() -> None:
    """Print the table."""
    print("\n".join(table()))
