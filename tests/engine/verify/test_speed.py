"""How fast the result is beside the original: what is made of times, and that there are some."""

from pathlib import Path

import pytest
from support.engine import dynamic, quantize, static
from support.graphs import normal_batches, residual
from support.learned import fake_quantized

from zeropoint.engine import Options, QatOptions
from zeropoint.engine.runtime import Session
from zeropoint.engine.verify import one_after_the_other, speed_of


def test_figures_are_medians_and_their_ratio() -> None:
    found = speed_of([0.002, 0.002, 0.003, 0.002, 0.9], [0.004, 0.003, 0.004, 0.7, 0.004])
    assert (found.float_ms, found.result_ms, found.runs) == (2.0, 4.0, 5)
    assert found.ratio == pytest.approx(2.0)


def test_times_are_apart_where_most_of_one_are_above_most_of_the_other() -> None:
    fast, slow = [1.0, 1.1, 1.2, 1.3, 1.4], [1.6, 1.7, 1.8, 1.9, 9.0]
    assert speed_of(fast, slow).apart
    assert speed_of(slow, fast).apart
    assert not speed_of(fast, [1.15, 1.2, 1.3, 1.4, 1.5]).apart


@pytest.mark.parametrize(
    ("options", "samples"), [(static(), True), (dynamic(), False), (QatOptions(), True)]
)
def test_every_result_that_was_compared_was_timed(
    options: Options, samples: bool, folder: Path, workspace: Path
) -> None:
    trained = isinstance(options, QatOptions)
    source = (fake_quantized() if trained else residual()).save(folder)
    side = 8 if trained else 16
    batches = normal_batches({"x": (2, 3, side, side)}) if samples else []
    speed = quantize(source, batches, options, workspace).report.verification.speed
    assert speed is not None
    assert speed.ratio == pytest.approx(speed.result_ms / speed.float_ms)
    assert speed.runs >= 3


def test_models_of_which_no_two_fit_into_memory_are_timed_one_after_the_other(folder: Path) -> None:
    path = residual().save(folder)
    (batch,) = normal_batches({"x": (2, 3, 16, 16)}, count=1)
    open_now: list[str] = []

    class Counted(Session):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            assert not open_now
            open_now.append("one")

        def __del__(self) -> None:
            open_now.pop()

    (speed,) = one_after_the_other(lambda: Counted(path), [lambda: Counted(path)], batch)
    assert speed.runs >= 3
