"""Which MaxPools of codes are slow: those with channels first (ONNX Runtime 1.32).

It runs integer convolutions with channels last, and a MaxPool directly behind one, too. Behind
other operators it transposes back before them, unless a convolution follows: a MaxPool then takes
10 to 40 times as long as one of floats.
"""

from collections import deque

import onnx_ir as ir

from zeropoint.engine.graph import input_at, producer_of
from zeropoint.engine.operators import Trait, has, is_clamp

# A transposition is moved past them.
_PASSED = Trait.ELEMENTWISE | Trait.JOINS | Trait.MEANS | Trait.SELECTS | Trait.SPATIAL


def has_channels_first(node: ir.Node) -> bool:
    """Whether a MaxPool of codes would have its channels first."""
    if node.domain or node.op_type != "MaxPool":
        return False
    before = producer_of(input_at(node, 0))
    while before is not None and is_clamp(before):
        before = producer_of(input_at(before, 0))
    if before is not None and has(before, Trait.CONVOLVES):
        return False
    return not _reaches_convolution(node)


def _reaches_convolution(node: ir.Node) -> bool:
    waiting, seen = deque([node]), {node}
    while waiting:
        for value in waiting.popleft().outputs:
            for reader, _ in value.uses():
                if has(reader, Trait.CONVOLVES):
                    return True
                if reader not in seen and has(reader, _PASSED):
                    seen.add(reader)
                    waiting.append(reader)
    return False
