"""SmoothQuant (Xiao et al. 2022): what is large in data moves into the weights that meet them.

A few channels of what transformers normalize are many times as large as the rest, and one scale for
all of them leaves the rest few codes. Their factors move from the normalization, or the product
with a constant, into the weights of the products behind it, which have less to lose.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from zeropoint.engine.improve.joints import LAST, find_joints
from zeropoint.engine.improve.rescaling import Array, Movement, Rescaling, within_reason
from zeropoint.engine.improve.runs import Feeds, Run, exposing

_STRENGTH = 0.5


def smooth(
    graph: ir.Graph,
    maxima: Mapping[str, Array],
    fixed: Collection[str] = (),
    *,
    strength: float = _STRENGTH,
) -> Rescaling:
    """Return the rewrite of a float graph with which data and weights share what is large.

    The factors are s = max|X|^a / max|W|^(1 - a) for each channel (equation 4 there).

    Args:
        graph: The main graph of a prepared model; it is not changed.
        maxima: Largest magnitudes of the channels of each tensor in `smoothable`.
        fixed: Names of weights that must stay as they are.
        strength: a, from 0 to 1: how much of what is large moves into weights.
    """
    movement = Movement()
    for joint in find_joints(graph, fixed):
        if joint.layer or joint.axis != LAST or joint.tensor not in maxima:
            continue
        weights = np.max([movement.peaks(each) for each in joint.sinks], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            factors = maxima[joint.tensor] ** strength / weights ** (1 - strength)
        movement.move(joint, within_reason(factors))
    return movement.rescaling()


def smoothable(
    graph: ir.Graph, fixed: Collection[str] = (), nodes: Collection[str] | None = None
) -> dict[str, int]:
    """Return the tensors whose channels can be smoothed, and on which axis these are.

    Args:
        graph: The main graph of a prepared model.
        fixed: Names of weights that must stay as they are.
        nodes: Only tensors that one of these products reads; None: all.
    """
    return {
        joint.tensor: joint.axis
        for joint in find_joints(graph, fixed)
        if not joint.layer and joint.axis == LAST
        if nodes is None or any(sink.key[0] in nodes for sink in joint.sinks)
    }


def channel_maxima(
    model: ir.Model, tensors: Mapping[str, int], samples: Sequence[Feeds], run: Run, path: Path
) -> dict[str, Array]:
    """Return the largest magnitude of each channel of tensors.

    Args:
        model: The float model.
        tensors: Names of its tensors, and the axis of the channels of each.
        samples: Inputs by name.
        run: Runs models.
        path: Where to write a model; in the folder that holds the external data.

    Raises:
        RuntimeRefusal: the model does not run.
    """
    if not tensors:
        return {}
    names = tuple(tensors)
    path.write_bytes(exposing(model, names).SerializeToString())
    found: dict[str, Array] = {}
    try:
        for arrays in run(path, names, samples):
            for name, array in zip(names, arrays, strict=True):
                channels = np.moveaxis(np.abs(array), tensors[name], -1).astype(np.float64)
                peak = channels.max(axis=tuple(range(array.ndim - 1)), initial=0)
                found[name] = np.maximum(found[name], peak) if name in found else peak
    finally:
        path.unlink()
    return found
