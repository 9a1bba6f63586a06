"""What all commands that run a job do around it: show progress, print the answer, write a page."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from zeropoint.client import page
from zeropoint.client.batches import BatchSource
from zeropoint.client.cli.data import SAMPLE_SUFFIXES, open_data
from zeropoint.client.cli.display import exit_codes, print_answer, progress_display
from zeropoint.client.client import QuantizationResult
from zeropoint.client.json_values import to_json_values
from zeropoint.client.printable import printable
from zeropoint.client.progress import ProgressCallback


@contextlib.contextmanager
def job(json_output: bool, report: Path | None) -> Iterator[ProgressCallback]:
    """Show progress and turn errors into exit codes.

    Args:
        json_output: Print errors as JSON, too.
        report: Where a page is to be written: whether that can be done is seen before the job.
    """
    with exit_codes(json_output), progress_display() as progress:
        if report is not None:
            page.check(report)
        yield progress


def verification(spec: str | None, batch_size: int | None) -> BatchSource:
    """Return the batches of `--verification-data`; `--batch-size` may be for `--data` alone."""
    if spec is None:
        return ()
    return open_data(spec, batch_size if Path(spec).suffix in SAMPLE_SUFFIXES else None)


def tell(result: QuantizationResult, json_output: bool, report: Path | None) -> None:
    """Print what came out of a job, and write the page about it where one is wanted."""
    with exit_codes(json_output):
        save_page(result, report)
    values = {
        "files": [str(path) for path in result.files],
        "job": result.job,
        "rejected": to_json_values(result.rejected),
        "report": result.report.to_dict(),
    }
    written = printable(str(result.model))
    print_answer(f"written     {written}\n{result.report}", values, json_output)


def save_page(result: QuantizationResult, report: Path | None) -> None:
    """Write the page about a result where one is wanted, and say so."""
    if report is not None:
        result.report.save_html(report)
        print(f"page        {printable(str(report))}", file=sys.stderr)
