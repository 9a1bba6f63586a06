"""How far ranges still move: measured by hand, told while data streams, and cheap."""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.engine import open_here, static
from support.graphs import normal_batches, residual

from zeropoint.engine import (
    CalibrationMethod,
    Convergence,
    JobSettings,
    Phase,
    Progress,
    StaticOptions,
)
from zeropoint.engine.observe import ConvergenceMeter
from zeropoint.sketch import Sketch

LONG = 1e6
"""Seconds in which any comparison is cheap."""


def ranges(**ends: float) -> dict[str, Sketch]:
    """Sketches of tensors that reach from 0 to these ends."""
    sketches = {}
    for name, end in ends.items():
        sketches[name] = Sketch()
        sketches[name].update(np.array([0, end], np.float32))
    return sketches


def test_a_range_moves_where_an_end_shifts_by_more_than_a_hundredth_of_its_width() -> None:
    meter = ConvergenceMeter(StaticOptions())
    assert meter.after(8, 1 * LONG, lambda: ranges(a=100, b=100, c=100, d=0)) is None
    later = ranges(a=100, b=100.9, c=102, d=0)
    assert meter.after(16, 2 * LONG, lambda: later) == Convergence(moving_share=0.25, batches=8)
    assert meter.after(26, 3 * LONG, lambda: later) == Convergence(moving_share=0.0, batches=10)


def test_a_tensor_that_was_not_seen_before_moves() -> None:
    meter = ConvergenceMeter(StaticOptions())
    meter.after(8, 1 * LONG, lambda: ranges(a=1) | {"b": Sketch()})
    seen = meter.after(16, 2 * LONG, lambda: ranges(a=1, b=1))
    assert seen == Convergence(moving_share=0.5, batches=8)


def test_it_compares_every_eight_batches_and_tells_the_latest_in_between() -> None:
    meter, asked = ConvergenceMeter(StaticOptions()), list[int]()

    def sketches(batches: int) -> Mapping[str, Sketch]:
        asked.append(batches)
        return ranges(a=float(batches))

    told = [meter.after(n, n * LONG, functools.partial(sketches, n)) for n in range(1, 30)]
    assert asked == [8, 16, 24]
    assert told[:15] == [None] * 15
    assert set(told[15:]) == {Convergence(moving_share=1.0, batches=8)}


def test_it_waits_where_a_comparison_takes_more_than_a_twentieth_of_the_time() -> None:
    meter, asked = ConvergenceMeter(StaticOptions()), list[int]()

    def slow() -> Mapping[str, Sketch]:
        asked.append(batches)
        Sketch().update(np.ones(1 << 22, np.float32))  # a millisecond and more
        return ranges(a=1)

    for batches in range(8, 200):
        meter.after(batches, batches * 1e-6, slow)
    assert asked == [8]
    batches = 200
    assert meter.after(batches, LONG, slow) == Convergence(moving_share=0.0, batches=192)


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_a_job_tells_it(tmp_path: Path, method: CalibrationMethod) -> None:
    """The same batch again and again: whatever the method, nothing moves any more."""
    told: list[Progress] = []
    (batch,) = normal_batches({"x": (2, 3, 16, 16)}, count=1)
    workspace = tmp_path / "job"
    workspace.mkdir()
    settings = JobSettings(workspace=workspace, progress=told.append)
    options = static(calibrate_method=method)
    with open_here(residual().save(tmp_path), options, settings) as job:
        # Comparisons wait until they are cheap beside the rest.
        while not told or told[-1].convergence is None:
            job.observe(batch)
    last = told[-1]
    assert last.phase is Phase.CALIBRATE
    assert last.convergence is not None
    # The half value in each level that Entropy assumes weighs less the more values there are.
    assert last.convergence.moving_share <= (0.15 if method is CalibrationMethod.ENTROPY else 0.0)
    assert last.convergence.batches >= 8
    assert all(progress.convergence is None for progress in told[:15])
