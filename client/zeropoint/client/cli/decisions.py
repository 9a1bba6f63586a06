"""What an earlier job decided, as a file on the command line."""

import json
from pathlib import Path

from zeropoint.client.errors import OptionError


def read_decisions(path: Path | None) -> str:
    """Return the decisions that a file holds.

    Args:
        path: A report as JSON, with or without what `--json` prints around it, or the text of
            `report.accuracy.decisions` alone; None: nothing was decided.

    Raises:
        OptionError: the file cannot be read, or is a report in which nothing was decided.
    """
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(f"The file {path} cannot be read: {error}.") from error
    try:
        values = json.loads(text)
    except ValueError:
        return text.strip()
    if not isinstance(values, dict):
        return text.strip()
    report = values.get("report", values)
    if not isinstance(report, dict) or "accuracy" not in report:
        return text.strip()
    found = (report["accuracy"] or {}).get("decisions", "")
    if not isinstance(found, str) or not found:
        raise _refused(f"In the report {path} nothing was decided: leave --decisions out.")
    return found


def _refused(message: str) -> OptionError:
    return OptionError("OPTION_INVALID", message, {"option": "decisions"})
