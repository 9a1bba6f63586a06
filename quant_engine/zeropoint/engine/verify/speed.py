"""How fast results are beside the original: all run in turns, on one thread.

Time is what the processor spends on the thread that runs them: a model on one thread waits for
nobody, and whatever else the machine does then takes less of a share in the figure than in the time
on the wall. What is left of it meets both alike, since they take turns; but models of which no two
fit into memory are run one after the other.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Final

from zeropoint.engine.report import Speed
from zeropoint.engine.runtime import Session, give_back
from zeropoint.engine.settings import Batch

Opener = Callable[[], Session]

_SECONDS: Final = 0.2
_MOST_RUNS: Final = 60
_LEAST_RUNS: Final = 5
_LEAST_RUNS_OF_SLOW: Final = 3
_SLOW_SECONDS: Final = 0.5  # a turn of both


def in_turns(
    original: Session, results: Sequence[Session], batch: Batch, seconds: float = _SECONDS
) -> tuple[Speed, ...]:
    """Run models in turns on a batch, and return the figures of each result.

    Args:
        original: The user's model, open on one thread.
        results: Quantized ones, likewise.
        batch: Arrays by input name.
        seconds: How long the original and one result are run, about.

    Raises:
        RuntimeRefusal: one of them does not run.
    """
    sides = (original, *results)
    turn = sum(_seconds(session, batch) for session in sides)  # caches are filled
    times: list[list[float]] = [[] for _ in sides]
    order = list(range(len(sides)))
    for _ in range(_runs(2 * turn / len(sides), seconds)):
        order = [*order[1:], order[0]]
        for side in order:
            times[side].append(_seconds(sides[side], batch))
    return tuple(speed_of(times[0], result) for result in times[1:])


def one_after_the_other(
    original: Opener, results: Sequence[Opener], batch: Batch, seconds: float = _SECONDS
) -> tuple[Speed, ...]:
    """Do the same with models that cannot be open at once.

    Args:
        original: Opens the user's model on one thread.
        results: Each opens a quantized one, likewise.
        batch: Arrays by input name.
        seconds: How long the original and one result are run, about.

    Raises:
        RuntimeRefusal: one of them does not load or run.
    """
    times = []
    for opener in (original, *results):
        session = opener()
        runs = _runs(2 * _seconds(session, batch), seconds)
        times.append([_seconds(session, batch) for _ in range(runs)])
        del session
        give_back()
    return tuple(speed_of(times[0], result) for result in times[1:])


def speed_of(original: Sequence[float], result: Sequence[float]) -> Speed:
    """Return the figures of measured times.

    Args:
        original: Seconds of each run of the original, at least two.
        result: Seconds of each run of the result.
    """
    float_seconds, result_seconds = statistics.median(original), statistics.median(result)
    low, _, high = statistics.quantiles(original, n=4)
    result_low, _, result_high = statistics.quantiles(result, n=4)
    return Speed(
        float_ms=float_seconds * 1e3,
        result_ms=result_seconds * 1e3,
        ratio=result_seconds / max(float_seconds, 1e-9),
        runs=min(len(original), len(result)),
        apart=result_low > high or result_high < low,
    )


def _runs(turn: float, seconds: float) -> int:
    """Return how often both are run in so many seconds, given how long that takes once."""
    least = _LEAST_RUNS if turn < _SLOW_SECONDS else _LEAST_RUNS_OF_SLOW
    return min(_MOST_RUNS, max(least, int(seconds / max(turn, 1e-9))))


def _seconds(session: Session, batch: Batch) -> float:
    begin = time.thread_time()
    session.run(batch)
    return time.thread_time() - begin
