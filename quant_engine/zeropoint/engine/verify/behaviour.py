"""How the original behaves, tried on one batch: are samples apart, does it repeat its outputs?

The first half of the batch is run by itself. Outputs that are the first half of what the whole
batch gave have their samples along the first axis, and were the same twice. For others the whole
batch is run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.verify.comparison import OutputComparison
from zeropoint.engine.verify.output_forms import OutputForm
from zeropoint.engine.verify.parts import parts_of
from zeropoint.engine.verify.similarity import compare

_SAME_DB: Final = 50.0  # another batch size is another order of sums, in float16 worth 60 dB
_REPEATED_DB: Final = 80.0

Parts = Sequence[Sequence[NDArray[Any]]]
"""For each output its arrays."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What is known of one output.

    Attributes:
        apart: Whether entries along its first axis are samples, each computed by itself.
        repeat_db: SQNR of a second run against the first in dB, where they differ; else None.
    """

    apart: bool = False
    repeat_db: float | None = None


def observe_behaviour(
    session: Session, batch: Mapping[str, NDArray[Any]], whole: Parts, forms: Sequence[OutputForm]
) -> tuple[Behaviour, ...]:
    """Try a model on a batch once or twice more.

    Args:
        session: The model.
        batch: Arrays by input name.
        whole: What it gave for that batch.
        forms: How each output ends.
    """
    apart = _apart(session, batch, whole)
    if all(apart):
        return tuple(Behaviour(apart=True) for _ in apart)
    again = _run(session, batch) or whole
    return tuple(
        Behaviour(apart=each, repeat_db=None if each else _repeat_db(form, one, other))
        for each, form, one, other in zip(apart, forms, whole, again, strict=True)
    )


def _apart(session: Session, batch: Mapping[str, NDArray[Any]], whole: Parts) -> list[bool]:
    size = next((len(array) for array in batch.values() if array.ndim), 0)
    half = size // 2
    feeds = {
        name: array[:half] if array.ndim and len(array) == size else array
        for name, array in batch.items()
    }
    found = _run(session, feeds) if half else None
    if found is None:
        return [False] * len(whole)
    return [_is_head(parts, size, some, half) for parts, some in zip(whole, found, strict=True)]


def _is_head(
    whole: Sequence[NDArray[Any]], size: int, part: Sequence[NDArray[Any]], half: int
) -> bool:
    """Whether the output of the half batch is the first half of that of the whole."""
    if len(whole) != 1 or len(part) != 1:
        return False
    (one,), (other,) = whole, part
    if not (one.ndim and other.ndim) or (len(one), len(other)) != (size, half):
        return False
    return compare(one[:half], other).similarity.sqnr_db >= _SAME_DB


def _repeat_db(
    form: OutputForm, one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]
) -> float | None:
    comparison = OutputComparison("", form)
    comparison.add(one, other)
    found = comparison.figures.by_sample
    decibels = float("-inf") if found is None else found.median_db
    return None if decibels >= _REPEATED_DB or not one else decibels


def _run(session: Session, feeds: Mapping[str, NDArray[Any]]) -> Parts | None:
    try:
        return [list(parts_of(output)) for output in session.run(feeds)]
    except RuntimeRefusal:
        return None
