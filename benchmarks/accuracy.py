"""What models are still good for: task metrics of many, by this project and by others.

`python -m benchmarks accuracy` measures every task of `benchmarks.all_tasks` with every side of
`benchmarks.sides`, each in a process of its own: what crashes is a cell that says so. Figures are
kept in a file as they come, and are not measured again.
"""

import argparse
import json
import math
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.all_tasks import all_tasks
from benchmarks.child import run_child
from benchmarks.machine import OtherLoad, facts
from benchmarks.sides import SIDES
from benchmarks.table import write_between

Figures = Mapping[str, Any]

KEPT = 0.98
"""Of the float model's score, what counts as kept."""

_SAMPLES = 64
_LONGEST_SECONDS = 1800.0
_ERROR = "error"


def main(arguments: Sequence[str]) -> None:
    """Measure what is not known yet, and print the tables.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=__doc__)
    parser.add_argument("--tasks", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--sides", nargs="*", metavar="NAME", help=f"of {', '.join(SIDES)}")
    parser.add_argument("--samples", type=int, default=_SAMPLES, help="of a score")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--again", action="store_true", help="measure also what is known")
    parser.add_argument(
        "--file", type=Path, default=Path("/tmp/zeropoint-accuracy.json"), help="keeps figures"
    )
    given = parser.parse_args(arguments)
    tasks, sides = given.tasks or list(all_tasks()), given.sides or list(SIDES)
    if unknown := set(tasks).difference(all_tasks()) | set(sides).difference(SIDES):
        parser.error(f"no {', '.join(sorted(unknown))}")
    book = Book(given.file)
    others = OtherLoad()
    for task in tasks:
        for side in dict.fromkeys(["float", *sides]):
            if given.again or book.of(task, side) is None:
                book.note(task, side, _measured(task, side, given.samples))
                print(_line(task, side, book), flush=True)
    text = f"{facts(others.share)}\n{tables(book, tasks, sides)}"
    print(f"\n{text}", end="")
    if given.write:
        write_between("accuracy", text)


class Book:
    """Figures by task and side, in a file."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Args:
            path: The file; it may be missing.
        """
        self._path = path
        text = path.read_text(encoding="utf-8") if path.is_file() else "{}"
        self._figures: dict[str, dict[str, Figures]] = json.loads(text)

    def of(self, task: str, side: str) -> Figures | None:
        """Return what is known; None: nothing."""
        return self._figures.get(task, {}).get(side)

    def note(self, task: str, side: str, figures: Figures) -> None:
        """Keep figures."""
        self._figures.setdefault(task, {})[side] = figures
        fresh = self._path.with_suffix(".part")
        fresh.write_text(json.dumps(self._figures, indent=1), encoding="utf-8")
        fresh.replace(self._path)

    def kept(self, task: str, side: str) -> float | None:
        """Return what of the float model's score a side keeps; None where there is no score."""
        float_score = (self.of(task, "float") or {}).get("score")
        score = (self.of(task, side) or {}).get("score")
        if float_score is None or score is None:
            return None
        return float(score / float_score) if math.isfinite(score) else 0.0


def _measured(task: str, side: str, samples: int) -> Figures:
    try:
        run = run_child(
            "measured:measure",
            longest_seconds=_LONGEST_SECONDS,
            task=task,
            side=side,
            samples=samples,
        )
    except subprocess.TimeoutExpired:
        return {_ERROR: f"took more than {_LONGEST_SECONDS:.0f} s"}
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return {_ERROR: lines[-1][:300]}
    return run.values


def _line(task: str, side: str, book: Book) -> str:
    kept, found = book.kept(task, side), book.of(task, side) or {}
    share = "" if kept is None else f" keeps {kept:.3f}"
    return f"{task} | {side} |{share} {json.dumps(found)}"


def tables(book: Book, tasks: Iterable[str], sides: Iterable[str]) -> str:
    """Return what is known in Markdown: a summary by side, then a row for each task.

    Args:
        book: The figures.
        tasks: The rows.
        sides: The columns.
    """
    names, columns = list(tasks), [side for side in sides if side != "float"]
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for title, summary in _SUMMARIES.items():
        found = [summary(book, names, side) for side in columns]
        lines.append(f"| {title} | " + " | ".join(found) + " |")
    lines += ["", "| model | metric | float | " + " | ".join(columns) + " |"]
    lines.append("|---" * (len(columns) + 3) + "|")
    for task in names:
        score = (book.of(task, "float") or {}).get("score")
        cells = [task, all_tasks()[task].metric, "" if score is None else f"{score:.3f}"]
        cells += [_cell(book, task, side) for side in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(book: Book, task: str, side: str) -> str:
    """Return score, SQNR, size, time, share of integer arithmetic and seconds of one result."""
    found, kept = book.of(task, side), book.kept(task, side)
    if found is None:
        return ""
    if _ERROR in found:
        return f"fails: {found[_ERROR].split(':')[0][:40]}"
    bold = "**" if kept is not None and kept < KEPT else ""
    share = found.get("share")
    parts = [
        f"{bold}{found['score']:.3f}{bold}",
        f"{_decibels(found.get('sqnr_db'))} dB",
        f"{found['size']:.2f}×",
        f"{found['latency']:.2f}×",
        "" if share is None else f"{share:.0%}",
        f"{found['seconds']:.0f} s",
        "says so" if bold and found.get("held") is False else "",
    ]
    return ", ".join(part for part in parts if part)


def _decibels(value: float | None) -> str:
    return "?" if value is None else "∞" if value == math.inf else f"{value:.0f}"


def _known(book: Book, tasks: Sequence[str], side: str, name: str) -> Iterator[float]:
    for task in tasks:
        value = (book.of(task, side) or {}).get(name)
        if value is not None:
            yield value


def _at_least(share: float) -> Any:
    def count(book: Book, tasks: Sequence[str], side: str) -> str:
        known = [task for task in tasks if book.of(task, side) is not None]
        kept = [book.kept(task, side) for task in known]
        return f"{sum(each is not None and each >= share for each in kept)} of {len(known)}"

    return count


def _kept_or_told(book: Book, tasks: Sequence[str], side: str) -> str:
    known = [task for task in tasks if book.of(task, side) is not None]
    told = [(book.of(task, side) or {}).get("held") is False for task in known]
    kept = [(book.kept(task, side) or 0.0) >= KEPT for task in known]
    return f"{sum(map(max, kept, told))} of {len(known)}"


def _median_of(name: str, form: str) -> Any:
    def middle(book: Book, tasks: Sequence[str], side: str) -> str:
        values = list(_known(book, tasks, side, name))
        return format(median(values), form) if values else ""

    return middle


def _failures(book: Book, tasks: Sequence[str], side: str) -> str:
    return str(sum(_ERROR in (book.of(task, side) or {}) for task in tasks))


_SUMMARIES = {
    "scores kept within 2 %": _at_least(KEPT),
    "kept, or the report says that the floor is not": _kept_or_told,
    "within 10 %": _at_least(0.9),
    "failures": _failures,
    "size, median": _median_of("size", ".2f"),
    "latency, median": _median_of("latency", ".2f"),
    "integer arithmetic, median": _median_of("share", ".0%"),
    "seconds, median": _median_of("seconds", ".1f"),
}
