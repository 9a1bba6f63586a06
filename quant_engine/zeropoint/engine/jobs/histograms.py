"""What calibration saw at the nodes that lose most, and which range each method makes of it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from zeropoint.engine.graph import name_of
from zeropoint.engine.jobs.source import Decided
from zeropoint.engine.numbers.quantile import histogram
from zeropoint.engine.numbers.ranges import choose_range
from zeropoint.engine.options import CalibrationMethod, StaticOptions
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Accuracy, Histogram, RangeAlternative, Verification
from zeropoint.sketch import Sketch

MOST_HISTOGRAMS: Final = 12
_BINS: Final = 64


def histograms(
    decided: Decided, accuracy: Accuracy, verification: Verification
) -> tuple[Histogram, ...]:
    """Return what was seen of the worst nodes that a range was chosen for, each tensor once.

    Args:
        decided: What was asked for; without statistics there is nothing to tell.
        accuracy: What is known of the nodes' effects, by which the worst come first.
        verification: How the result was verified; where effects were not measured, by its errors.
    """
    if decided.statistics is None:
        return ()
    seen, planned = decided.statistics.tensors, decided.planned
    tensors = _tensors(planned)
    found: dict[str, Histogram] = {}
    measured = [node.name for node in accuracy.sensitivities]
    for node in measured or [node.name for node in verification.nodes]:
        names = (
            name for name in tensors.get(node, ()) if name in seen and seen[name].sketch.finite
        )
        tensor = next(names, None)
        if tensor is not None and tensor not in found:
            sketch = seen[tensor].sketch
            ranges = tuple(_ranges(planned, tensor, sketch))
            found[tensor] = _histogram(node, tensor, sketch, ranges)
        if len(found) == MOST_HISTOGRAMS:
            break
    return tuple(found.values())


def _tensors(planned: PlannedModel) -> dict[str, tuple[str, ...]]:
    """Return what has the ranges of each node, by the user's name: of its output, then inputs."""
    plan, found = planned.plan, {}
    for node in planned.graph.all_nodes():
        quant = plan.nodes.get(name_of(node))
        if quant is not None:
            names = (*((quant.output,) if quant.output else ()), *quant.tensors)
            roots = (plan.root(plan.tensors[name]).name for name in names if name in plan.tensors)
            found[planned.user_name(node)] = tuple(roots)
    return found


def _ranges(planned: PlannedModel, tensor: str, sketch: Sketch) -> Iterator[RangeAlternative]:
    options = planned.options
    if isinstance(options, StaticOptions):
        own = options.of(planned.plan.tensors[tensor].override)
        every = replace(own, calibrate_method=CalibrationMethod.AUTO)
        yield from choose_range(sketch, every, tensor=tensor).alternatives


def _histogram(
    node: str, tensor: str, sketch: Sketch, ranges: tuple[RangeAlternative, ...]
) -> Histogram:
    """Return bins of equal width; the values of a sketch's bin are taken to be spread over it."""
    values = histogram(sketch)
    low, high = float(values.low[0]), float(values.high[-1])
    bins = _BINS if high > low else 1
    ends = np.stack([values.low, values.high], axis=1).ravel()
    before = values.ends - values.counts
    below = np.stack([before, values.ends], axis=1).ravel().astype(np.float64)
    edges = np.linspace(low, high, bins + 1)[1:-1]
    cumulated = np.rint([0.0, *np.interp(edges, ends, below), float(sketch.finite)])
    counts = np.diff(cumulated).astype(np.int64)
    return Histogram(
        node=node, tensor=tensor, low=low, high=high, counts=tuple(counts.tolist()), ranges=ranges
    )
