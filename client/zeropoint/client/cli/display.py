"""What the user sees: progress on standard error, answers on standard output, exit codes."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import rich.progress
import typer
from rich.console import Console

from zeropoint.client import errors
from zeropoint.client.printable import printable
from zeropoint.client.progress import Phase, Progress, ProgressCallback

EXIT_CODES: Mapping[type[errors.ZeropointError], int] = {
    errors.OptionError: 2,
    errors.OutputError: 2,
    errors.ModelError: 3,
    errors.DataError: 4,
    errors.EvaluationError: 4,
    errors.QualityError: 5,
    errors.LimitError: 6,
    errors.CancelledError: 130,
}
"""Exit codes of errors; 1 for all others."""

_LINE_SECONDS = 5.0
_BYTE_PHASES = (Phase.UPLOAD, Phase.DOWNLOAD)


def print_answer(text: str, values: Mapping[str, Any], json_output: bool) -> None:
    """Print an answer on standard output.

    Args:
        text: For people.
        values: The same as JSON values.
        json_output: Print those instead.
    """
    print(json.dumps(values, indent=2) if json_output else text)


@contextlib.contextmanager
def exit_codes(json_output: bool) -> Iterator[None]:
    """Turn expected errors into messages on standard error and exit codes.

    Args:
        json_output: Print the error as a JSON document on standard output too.

    Raises:
        typer.Exit: for an error of Zeropoint, and for Ctrl-C.
    """
    try:
        yield
    except errors.ZeropointError as error:
        notes = getattr(error, "__notes__", [])
        told = [f"error: {error}", *map(printable, notes)]
        print("\n".join(told), file=sys.stderr)
        if json_output:
            fields = ("reason", "message", "metadata", "retryable", "retry_delay", "job")
            values = {name: getattr(error, name) for name in fields} | {"notes": notes}
            print(json.dumps({"error": values}, indent=2))
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        print("cancelled", file=sys.stderr)
        raise typer.Exit(EXIT_CODES[errors.CancelledError]) from None


def exit_code(error: errors.ZeropointError) -> int:
    """Return the exit code of an error."""
    codes = (code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    return next(codes, 1)


@contextlib.contextmanager
def progress_display() -> Iterator[ProgressCallback]:
    """Give a callback that shows progress: bars on a terminal, else a line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        rich.progress.TextColumn("{task.description:>10}"),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.fields[count]}"),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with rich.progress.Progress(*columns, console=console) as bars:
        yield _Bars(bars)


class _Lines:
    """One line when a phase begins, and one every few seconds while it lasts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase: Phase | None = None
        self._printed = 0.0

    def __call__(self, progress: Progress, /) -> None:
        now = time.monotonic()
        if progress.phase is self._phase and now - self._printed < _LINE_SECONDS:
            return
        self._phase, self._printed = progress.phase, now
        parts = (progress.phase, _count(progress), _note(progress))
        line = " ".join(part for part in parts if part)
        self._console.print(line, markup=False, highlight=False)


class _Bars:
    """One bar for each phase."""

    def __init__(self, bars: rich.progress.Progress) -> None:
        self._bars = bars
        self._tasks: dict[Phase, rich.progress.TaskID] = {}
        self._current: Phase | None = None

    def __call__(self, progress: Progress, /) -> None:
        if progress.phase not in self._tasks:
            self._tasks[progress.phase] = self._bars.add_task(
                progress.phase, total=None, count="", note=""
            )
        if self._current not in (None, progress.phase):
            self._end(self._tasks[self._current])
        self._current = progress.phase
        self._bars.update(
            self._tasks[progress.phase],
            completed=progress.done,
            total=progress.total or None,
            count=_count(progress),
            note=_note(progress),
        )

    def _end(self, task: rich.progress.TaskID) -> None:
        self._bars.update(task, total=1, completed=1)


def _note(progress: Progress) -> str:
    """Return what is said behind the count."""
    message = printable(progress.message)
    if progress.total and message.startswith(f"{progress.done} batch"):
        message = ""  # the count has said it
    if progress.convergence is None:
        return message
    moving = f"ranges: {progress.convergence.moving_share * 100:.2g} % still move"
    return f"{message}, {moving}" if message else moving


def _count(progress: Progress) -> str:
    counts_bytes = progress.phase in _BYTE_PHASES
    if not (progress.done or progress.total) or (progress.total == 1 and not counts_bytes):
        return ""
    scale, unit = (1e6, " MB") if counts_bytes else (1, "")
    done, total = progress.done / scale, progress.total / scale
    return f"{done:.4g}/{total:.4g}{unit}" if total else f"{done:.4g}{unit}"
