"""A machine that has run out of something: told as that, wherever it strikes."""

import errno
import os
from pathlib import Path

import pytest
from support.full_disk import largest_file
from support.graphs import normal_batches, residual

from zeropoint.engine import (
    DynamicOptions,
    JobSettings,
    ModelError,
    Options,
    ResourceError,
    StaticOptions,
    open_job,
)
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.shortage import SHORTAGES, shortage_of, takes_more

IMAGES = normal_batches({"x": (2, 3, 16, 16)}, count=2)


@pytest.mark.parametrize(
    ("options", "keep"),
    [(StaticOptions(), False), (StaticOptions(), True), (DynamicOptions(), False)],
)
def test_a_full_disk_is_no_fault_of_the_model(tmp_path: Path, options: Options, keep: bool) -> None:
    """Whatever is written first, second, or last: the graph, weights, samples, statistics."""
    source, told = residual().save(tmp_path), []
    for step in range(16):
        workspace = tmp_path / f"work-{step}"
        workspace.mkdir()
        settings = JobSettings(workspace=workspace, keep_calibration=keep)
        with largest_file(0 if not step else int(500 * 1.6**step)):
            try:
                with open_job(source, options, settings) as job:
                    for batch in IMAGES:
                        job.observe(batch)
                    job.finish()
            except (OSError, ResourceError) as error:
                shortage = shortage_of(error)
                told.append(shortage.reason if shortage else repr(error))
            else:
                told.append("OK")
    refused = told.index("OK")
    assert refused > 1
    assert set(told[:refused]) == {"SCRATCH_FULL"}
    assert set(told[refused:]) == {"OK"}


def test_what_onnx_runtime_cannot_write_is_told_apart(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    with largest_file(1000), pytest.raises(ResourceError) as caught:
        Session(source, optimized=tmp_path / "optimized.onnx")
    assert caught.value.reason == "SCRATCH_FULL"
    assert takes_more(tmp_path / "optimized.onnx")  # there is room again
    (tmp_path / "folder").mkdir()
    with pytest.raises(RuntimeRefusal):
        Session(source, optimized=tmp_path / "folder")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "x"), "SCRATCH_FULL"),
        (OSError(errno.EDQUOT, "x"), "SCRATCH_FULL"),
        (RuntimeError(f"cannot write: {os.strerror(errno.ENOSPC)}"), "SCRATCH_FULL"),
        (RuntimeError("SystemError : 24"), "SERVER_EXHAUSTED"),
        (OSError(errno.EMFILE, "x"), "SERVER_EXHAUSTED"),
        (OSError(errno.ENOENT, "x"), None),
        (ValueError("SystemError : 2"), None),
    ],
)
def test_shortages(error: Exception, reason: str | None) -> None:
    assert reason is None or reason in SHORTAGES
    for told in (error, wrapped(error)):
        found = shortage_of(told)
        assert (found.reason if found else None) == reason


def wrapped(error: Exception) -> Exception:
    try:
        try:
            raise error
        except Exception as cause:
            raise ModelError("MODEL_INVALID", "the graph cannot be read") from cause
    except ModelError as found:
        return found
