"""What each quantized node does to the outputs by itself: measured once, to search and to tell."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from zeropoint.engine.numbers.quantile import histogram
from zeropoint.engine.numbers.ranges import Range
from zeropoint.engine.report import OutputEffect, Sensitivity
from zeropoint.engine.runtime import collector_paused
from zeropoint.engine.search import Attempt, Decided, Suspect
from zeropoint.engine.twins import build_alone, node_twins
from zeropoint.engine.verify import Effects, EffectsRequest, Trials
from zeropoint.sketch import Sketch

_MOST_NODES: Final = 96  # those with the worst results of their own


def measure(
    decided: Decided,
    folder: Path,
    trials: Trials,
    told: Callable[[str], None],
    seconds: float | None = None,
) -> Effects:
    """Measure what quantizing each node alone does to the outputs.

    Args:
        decided: What was asked for.
        folder: Where to write; it holds the external data of the prepared model.
        trials: Who measures.
        told: Told how far it is.
        seconds: How long it may take; None: as long as it takes.

    Raises:
        TrialFailed: the float model with twins does not load or run.
    """
    planned = decided.planned
    model, path = planned.prepared.model, folder / "alone.onnx"
    with collector_paused():
        twins = node_twins(model, planned.plan, decided.parameters)
        alone = build_alone(model, twins, path, planned.user_name)
    found = trials.effects(
        EffectsRequest(model=alone, most=_MOST_NODES, seconds=seconds),
        lambda done, total: told(f"effect of each node by itself, {done} of {total}"),
    )
    path.unlink()
    return found


def suspects(found: Effects) -> tuple[Suspect, ...]:
    """Return the nodes as the search takes them, the one to blame most first."""
    nodes = (Suspect(node=e.node, noise=e.noise, share=e.share or 0.0) for e in found.nodes)
    return tuple(sorted(nodes, key=lambda one: (-one.blame, one.node)))


def sensitivities(
    found: Effects, decided: Decided, attempts: Sequence[Attempt]
) -> tuple[Sensitivity, ...]:
    """Return the nodes as they are told, the one with the greatest effect first.

    Args:
        found: What was measured.
        decided: What was asked for.
        attempts: Candidates that were tried.
    """
    tried = _tried(attempts)
    return tuple(
        Sensitivity(
            name=effect.name,
            op_type=effect.op_type,
            effects=tuple(
                OutputEffect(output=output.name, sqnr_db=output.median_db)
                for output in effect.outputs
            ),
            share=effect.share,
            clipped_share=_clipped(decided, effect.node),
            weight_db=effect.weights_db,
            activation_db=effect.activations_db,
            tried=tried.get(effect.node, ()),
        )
        for effect in sorted(found.nodes, key=lambda effect: (-effect.noise, effect.node))
    )


def _tried(attempts: Sequence[Attempt]) -> Mapping[str, tuple[str, ...]]:
    """Return for each node what the first candidate that changed it was, and how that stood."""
    found: dict[str, tuple[str, ...]] = {}
    for attempt in attempts:
        for node in attempt.changes.nodes:
            result = attempt.failure or f"{attempt.margin_db:+.1f} dB from the floor"
            found.setdefault(node, (f"{attempt.description}: {result}",))
    return found


def _clipped(decided: Decided, node: str) -> float | None:
    """Return the share of a node's output that is outside of its range."""
    quant = decided.planned.plan.nodes.get(node)
    if quant is None or quant.output is None or decided.statistics is None:
        return None
    root = decided.planned.plan.root(decided.planned.plan.tensors[quant.output]).name
    seen, chosen = decided.statistics.tensors.get(root), decided.parameters.ranges.get(root)
    if seen is None or chosen is None or not seen.sketch.finite:
        return None
    return _outside(seen.sketch, chosen)


def _outside(sketch: Sketch, chosen: Range) -> float:
    """Return the share of values outside of a range, to the bin."""
    values = histogram(sketch)
    out = (np.asarray(values.high) < chosen.low) | (np.asarray(values.low) > chosen.high)
    return float(np.asarray(values.counts)[out].sum() / sketch.finite)
