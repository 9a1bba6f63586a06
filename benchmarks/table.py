"""What a benchmark finds, and how it is shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_README = Path(__file__).with_name("README.md")

HEADINGS = ("benchmark", "case", "Zeropoint", "against", "ratio (lowest-highest)", "budget", "")


@dataclass(frozen=True, slots=True)
class Budget:
    """What a ratio should be.

    Attributes:
        limit: The ratio itself.
        at_least: It is a lower bound instead of an upper one.
    """

    limit: float
    at_least: bool = False

    def met_by(self, ratio: float) -> bool:
        """Return whether a ratio keeps to it."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:.2f}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio that was measured several times.

    Attributes:
        median: The one in the middle.
        low: The lowest.
        high: The highest.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One finding.

    Attributes:
        benchmark: Which benchmark.
        case: What exactly was measured.
        ours: Zeropoint's figure, with its unit.
        against: The other side's figure, with its unit and what that side is.
        ratio: Of the two; None for a figure that stands alone.
        budget: What the ratio should be; None where nothing is promised.
    """

    benchmark: str
    case: str
    ours: str
    against: str
    ratio: Ratio | None = None
    budget: Budget | None = None

    @property
    def verdict(self) -> str:
        """Whether the median keeps to the budget; empty where there is none."""
        if self.ratio is None or self.budget is None:
            return ""
        return "met" if self.budget.met_by(self.ratio.median) else "MISSED"

    @property
    def cells(self) -> tuple[str, ...]:
        """The text under each of `HEADINGS`."""
        ratio = "" if self.ratio is None else str(self.ratio)
        budget = "" if self.budget is None else str(self.budget)
        return (self.benchmark, self.case, self.ours, self.against, ratio, budget, self.verdict)


def markdown(rows: Iterable[Row]) -> str:
    """Return a table in Markdown, in columns that also line up as plain text."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    padded = [_line(line, widths) for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]]) + "\n"


def write_between(name: str, text: str) -> None:
    """Put text between two marks of the README of this package.

    Args:
        name: What the marks are of.
        text: What is to stand there.
    """
    begin, end = f"<!-- begin of {name} -->\n", f"<!-- end of {name} -->\n"
    head, _, rest = _README.read_text(encoding="utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    _README.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    filled = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(filled)} |"
