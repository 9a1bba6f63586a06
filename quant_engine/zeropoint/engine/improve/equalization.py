"""Cross-layer equalization: channels of neighbouring layers become alike, at no cost.

With one scale for a weight, its small channels keep few codes: factors move until a channel has the
same largest magnitude in the layer that gives it and in those that read it (Nagel et al. 2019,
section 4.1). With scales for channels the layer that gives a channel has nothing to lose; what has
one scale are its data. There factors share what is large between data and the weights that read
them, and where each output reads one channel alone, as of a depthwise Conv, data take all.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from zeropoint.engine.improve.joints import Joint, find_joints
from zeropoint.engine.improve.rescaling import Array, Movement, Rescaling, within_reason

_MOST_ROUNDS = 50
_SETTLED = 1e-3
_SHARED = 0.5


def equalize(
    graph: ir.Graph, fixed: Collection[str] = (), data: Mapping[str, Array] | None = None
) -> Rescaling:
    """Return the rewrite of a float graph with which its layers' channels are equalized.

    Factors move between layers that only positively homogeneous nodes lie between, such as Relu
    (no Clip with an upper bound), and whose tensors nothing else reads.

    Args:
        graph: The main graph of a prepared model; it is not changed.
        fixed: Names of weights that must stay as they are.
        data: Largest magnitudes of the channels of the tensors in `equalizable`, for weights with
            scales for channels; None: they have one scale each.
    """
    places = [joint for joint in find_joints(graph, fixed) if joint.layer]
    movement = Movement()
    if data is not None:
        for joint in places:
            _share(joint, data[joint.read[0]], movement)
        return movement.rescaling()
    for _ in range(_MOST_ROUNDS):
        if max((_balance(joint, movement) for joint in places), default=0.0) < _SETTLED:
            break
    return movement.rescaling()


def equalizable(graph: ir.Graph, fixed: Collection[str] = ()) -> dict[str, int]:
    """Return the tensors whose channels can be equalized, and on which axis these are."""
    return dict(joint.read for joint in find_joints(graph, fixed) if joint.layer)


def _balance(joint: Joint, movement: Movement) -> float:
    """Move the factors of one joint; return how far the largest is from one, in octaves."""
    before = movement.peaks(joint.sources[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = within_reason(np.sqrt(before / _behind(joint, movement)))
    movement.move(joint, factors)
    return float(np.abs(np.log2(factors)).max())


def _share(joint: Joint, data: Array, movement: Movement) -> None:
    """Move factors so that the channels of data, and of what multiplies them, come nearer."""
    known = movement.tensors.get(joint.read[0])
    now = data if known is None else data * known.factors
    strength = 1.0 if all(sink.apart for sink in joint.sinks) else _SHARED
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = now**strength / _behind(joint, movement) ** (1 - strength)
        usable = np.isfinite(factors) & (factors > 0)
        middle = np.exp(np.log(factors[usable]).mean()) if usable.any() else 1.0
    movement.move(joint, within_reason(factors / middle))


def _behind(joint: Joint, movement: Movement) -> Array:
    """Return the largest magnitude of each channel in the weights that read it."""
    found: Array = np.max([movement.peaks(each) for each in joint.sinks], axis=0)
    return found
