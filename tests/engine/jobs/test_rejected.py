"""Batches that are left out: which, how many, and why, in the report or in the error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engine import open_here, static
from support.graphs import Array, GraphBuilder, normal_batches, residual

from zeropoint.engine import (
    BatchError,
    CalibrationError,
    DynamicOptions,
    JobSettings,
    Options,
)
from zeropoint.engine.report import Report

IMAGES = normal_batches({"x": (2, 3, 16, 16)}, count=3)
NHWC = {"x": np.zeros((2, 16, 16, 3), np.float32)}
DOUBLE = {"x": np.zeros((2, 3, 16, 16))}
UNKNOWN = {"pixels": IMAGES[0]["x"]}


def report(
    folder: Path, batches: list[dict[str, Any]], options: Options, model: GraphBuilder | None = None
) -> Report:
    source = (model or residual()).save(folder)
    (folder / "work").mkdir()
    with open_here(source, options, JobSettings(workspace=folder / "work")) as job:
        for batch in batches:
            job.submit(batch)
        return job.finish().report


def indexed() -> GraphBuilder:
    """A table of four rows, looked up: x int64[N], and a product behind it."""
    b = GraphBuilder()
    b.input("x", ["N"], 7)
    b.node("Gather", [b.weight("table", 4, 8), "x"], "rows")
    b.node("MatMul", ["rows", b.weight("w", 8, 8)], "y")
    b.output("y", ["N", 8])
    return b


@pytest.mark.parametrize(
    ("batch", "reason", "words"),
    [
        (NHWC, "BATCH_SHAPE", ["'x'", "[2, 16, 16, 3]", "[N, 3, 16, 16]"]),
        (DOUBLE, "BATCH_ELEMENT_TYPE", ["'x'", "float64"]),
        (UNKNOWN, "BATCH_INPUT_UNKNOWN", ["'pixels'", "'x'"]),
        ({}, "BATCH_INPUT_MISSING", ["'x'"]),
    ],
)
def test_where_none_is_left_the_error_says_why(
    tmp_path: Path, batch: dict[str, Array], reason: str, words: list[str]
) -> None:
    with pytest.raises(CalibrationError) as caught:
        report(tmp_path, [batch] * 4, static())
    told, metadata = caught.value.message, caught.value.metadata
    assert caught.value.reason == "NO_BATCHES"
    assert "all 4 were rejected" in told
    assert "Batch 1" in told
    assert all(word in told for word in [reason, *words])
    assert (metadata["rejected"], metadata["sequence"]) == ("4", "1")
    assert metadata["rejectionReason"] == reason
    assert metadata["rejectionMessage"] in told


def test_where_none_can_be_run_the_error_says_why(tmp_path: Path) -> None:
    outside = {"x": np.array([7], np.int64)}
    with pytest.raises(CalibrationError, match="only one was rejected") as caught:
        report(tmp_path, [outside], static(), indexed())
    assert caught.value.metadata["rejectionReason"] == "BATCH_RUN_FAILED"
    assert "Gather" in caught.value.message


def test_the_first_of_several_reasons_is_told_with_the_counts(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError) as caught:
        report(tmp_path, [UNKNOWN, DOUBLE, DOUBLE], static())
    assert "BATCH_ELEMENT_TYPE for 2, BATCH_INPUT_UNKNOWN for 1" in caught.value.message
    assert caught.value.metadata["rejectionReason"] == "BATCH_INPUT_UNKNOWN"


@pytest.mark.parametrize("options", [static(), DynamicOptions()])
def test_where_some_are_left_the_report_says_why(tmp_path: Path, options: Options) -> None:
    found = report(tmp_path, [IMAGES[0], DOUBLE, NHWC, NHWC, *IMAGES[1:]], options)
    told = [(one.reason, one.batches, one.sequence) for one in found.rejected]
    assert told == [("BATCH_SHAPE", 2, 3), ("BATCH_ELEMENT_TYPE", 1, 2)]
    assert "[2, 16, 16, 3]" in found.rejected[0].message
    assert "float64" in found.rejected[1].message


def test_batches_that_could_not_be_read_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    settings = JobSettings(workspace=tmp_path / "work")
    with open_here(residual().save(tmp_path), static(), settings) as job:
        job.reject(BatchError("BATCH_CORRUPT", "It is damaged."), 7)
        with pytest.raises(CalibrationError, match="Batch 7, BATCH_CORRUPT: It is damaged"):
            job.finish()
