"""Several measurements of several sides in turns, so that what else happens meets all alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from benchmarks.table import Ratio

_Result = TypeVar("_Result")


def in_turns(sides: Mapping[str, Callable[[], _Result]], rounds: int) -> dict[str, list[_Result]]:
    """Let every side measure itself once a round, in alternating order.

    Args:
        sides: What measures, by name; each returns what it found.
        rounds: How many rounds.

    Returns:
        What each side found, round by round.
    """
    found: dict[str, list[_Result]] = {name: [] for name in sides}
    for index in range(rounds):
        order = list(sides.items())
        for name, measure in order if index % 2 == 0 else reversed(order):
            found[name].append(measure())
    return found


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Return the ratio of two sides, from the ratios of each round."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(median(each), min(each), max(each))


def seconds(action: Callable[[], object]) -> float:
    """Return how long something takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def own_seconds(action: Callable[[], object]) -> float:
    """Return how long this thread computes: for sessions of one thread, whatever else runs."""
    begin = time.thread_time()
    action()
    return time.thread_time() - begin


def milliseconds(times: Sequence[float], each: int = 1) -> str:
    """Return the median of times in seconds as text, divided among `each` parts."""
    return f"{median(times) * 1000 / each:.1f} ms"
