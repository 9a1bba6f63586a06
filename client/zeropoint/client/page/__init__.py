"""The report as a page: one file that opens without a network, to decide by whether to ship.

What only this needs, `zeropoint[report]`, is imported when a page is made.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.client.errors import OutputError
from zeropoint.client.page.errors import DependencyError

if TYPE_CHECKING:
    from zeropoint.client.report import Report

__all__ = ["check", "save"]

_NEEDED = ("jinja2", "matplotlib")


def check(path: str | os.PathLike[str]) -> None:
    """See to it that a page can be made, before a job that is to end with one.

    Raises:
        DependencyError: a package is missing.
        OutputError: its folder is not there, or cannot be written to.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyError(
            "DEPENDENCY_MISSING",
            f"The report as a page needs {' and '.join(missing)}: pip install 'zeropoint[report]'.",
            {"packages": ", ".join(missing)},
        )
    target = Path(path)
    taken = target.exists() and not target.is_file()
    if taken or not (target.parent.is_dir() and os.access(target.parent, os.W_OK)):
        raise _not_writable(target, "its folder must exist and be writable")


def save(report: Report, path: str | os.PathLike[str]) -> None:
    """Write the page of a report.

    Raises:
        DependencyError: a package is missing.
        OutputError: the file cannot be written.
    """
    check(path)
    from zeropoint.client.page.render import render

    text = render(report)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _not_writable(Path(path), error.strerror or str(error)) from error


def _not_writable(path: Path, why: str) -> OutputError:
    message = f"The page {path} cannot be written: {why}."
    return OutputError("OUTPUT_NOT_WRITABLE", message, {"path": str(path)})
