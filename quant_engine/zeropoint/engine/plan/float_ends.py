"""Whether a join is worth integers where some of what it joins is float: conversions are counted.

A residual chain has a float end where a shortcut comes from a node that stays float, or from the
graph's input. As an integer kernel a join needs these ends quantized, where no other kernel does,
and what it gives dequantized, where a float node reads it. As a float one it needs what is integer
dequantized, and what it gives quantized.
"""

import math
from collections.abc import Set

import onnx_ir as ir

from zeropoint.engine.graph import constant
from zeropoint.engine.operators import OpRule


def pays(
    node: ir.Node,
    rule: OpRule,
    results: tuple[ir.Value, ...],
    integers: Set[ir.Value],
    kernels: Set[ir.Node],
) -> bool:
    """Return whether a join as an integer kernel has fewer elements to convert.

    Of equal numbers the float one is the more exact.

    Args:
        node: Reads data of which a part is float.
        rule: Its row, with `float_ends`.
        results: What it gives, behind a Relu or Clip that it takes with it.
        integers: Values that are codes.
        kernels: The nodes that read codes.
    """
    as_integer = as_float = 0
    for value in dict.fromkeys(node.inputs[index] for index in rule.activation_inputs(node)):
        if value is None or constant(value) is not None:
            continue
        readers = [use.node for use in value.uses() if use.node is not node]
        if value not in integers or value.graph is not node.graph:
            as_integer += 0 if any(reader in kernels for reader in readers) else _elements(value)
        elif kernels >= set(readers) and not value.is_graph_output():
            as_float += _elements(value)
    for value in results:
        readers = [use.node for use in value.uses()]
        if any(reader in kernels for reader in readers):
            as_float += _elements(value)
        if value.is_graph_output() or not kernels >= set(readers):
            as_integer += _elements(value)
    return as_integer < as_float


def _elements(value: ir.Value) -> int:
    """Return how many elements a tensor has, as far as that is known."""
    sizes = value.shape if value.shape is not None else ()
    return math.prod(size for size in sizes if isinstance(size, int))
