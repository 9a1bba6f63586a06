"""A model with a state, run on batches in a row: what a call gives is fed to the next one.

So the result runs on its own state, as it will, and errors that no single call shows add up.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from zeropoint.engine.options import StatePair
from zeropoint.engine.report import RollOutFigures
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.samples import StoredBatch

_PARTS: Final = 3


def rolled_out(
    session: Session,
    batches: Sequence[StoredBatch],
    names: Sequence[str] | None,
    state: Sequence[StatePair],
) -> Iterator[list[Any] | RuntimeRefusal]:
    """Run batches one after the other; the first one feeds its own state.

    Args:
        session: The model.
        batches: In their order.
        names: Outputs wanted; None: all. Those of the state are among them.
        state: What is fed to the next call.

    Yields:
        The outputs for each batch, or why it does not run.
    """
    carried: dict[str, Any] = {}
    for batch in batches:
        try:
            outputs = session.run({**batch.load(), **carried}, names)
        except RuntimeRefusal as refusal:
            yield refusal
            continue
        given = dict(zip(session.outputs if names is None else names, outputs, strict=True))
        carried = {pair.input: given[pair.output] for pair in state}
        yield outputs


def by_position(name: str, decibels: Sequence[float]) -> RollOutFigures | None:
    """Return what becomes of an output on the way; None where nothing was compared.

    Args:
        name: Name of the output.
        decibels: SQNR at each position.
    """
    if not decibels:
        return None
    thirds = [part for part in np.array_split(np.asarray(decibels), _PARTS) if len(part)]
    medians = [float(np.percentile(part, 50.0, method="lower")) for part in thirds]
    first, middle, last = medians[0], medians[len(medians) // 2], medians[-1]
    return RollOutFigures(
        name=name,
        first_db=first,
        middle_db=middle,
        last_db=last,
        growth_db=0.0 if first == last else first - last,
    )
