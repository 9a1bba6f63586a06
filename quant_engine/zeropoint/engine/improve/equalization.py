"""Cross-layer equalization (Nagel et al. 2019, section 4.1): channels of weights become alike.

A channel whose weights are small in one layer and large in the next is scaled so that both have the
same largest magnitude. With one scale for a tensor, small channels then keep their bits.
"""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from zeropoint.engine.improve.joints import Joint, find_joints
from zeropoint.engine.improve.rescaling import Movement, Rescaling, within_reason

_MOST_ROUNDS = 50
_SETTLED = 1e-3


def equalize(graph: ir.Graph, fixed: Collection[str] = ()) -> Rescaling:
    """Return the rewrite of a float graph with which its layers' weights are equalized.

    Factors move between layers that only positively homogeneous nodes lie between, such as Relu
    (no Clip with an upper bound), and whose tensors nothing else reads.

    Args:
        graph: The main graph of a prepared model; it is not changed.
        fixed: Names of weights that must stay as they are.
    """
    places = [joint for joint in find_joints(graph, fixed) if joint.layer]
    movement = Movement()
    for _ in range(_MOST_ROUNDS):
        if max((_balance(joint, movement) for joint in places), default=0.0) < _SETTLED:
            break
    return movement.rescaling()


def _balance(joint: Joint, movement: Movement) -> float:
    """Move the factors of one joint; return how far the largest is from one, in octaves."""
    before = movement.peaks(joint.sources[0])
    behind = np.max([movement.peaks(each) for each in joint.sinks], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = within_reason(np.sqrt(before / behind))
    movement.move(joint, factors)
    return float(np.abs(np.log2(factors)).max())
