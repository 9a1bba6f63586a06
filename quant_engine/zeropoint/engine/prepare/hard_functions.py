"""Hard-swish, hard-sigmoid and clamps as the operators that they are.

    x * clip(x + 3, 0, 6) / 6               becomes   HardSwish(x)
    clip(a x + b, 0, 1), written anyhow               HardSigmoid(x)
    the same behind a layer                           a and b in its weights, and Clip(0, 1)
    min(max(x, a), b), written anyhow                 Clip(x, a, b), or Relu(x)

ONNX Runtime makes each a part of the float convolution before it, and in integers the Clip is
implied by the quantized range. What was rounded to float32 in another order differs in its last
bits, and nothing else does.
"""

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import (
    GraphEditor,
    add_origins,
    name_of,
    origins,
    producer_of,
    remove_unused,
)
from zeropoint.engine.prepare.affine_fusion import take_affine
from zeropoint.engine.prepare.ramps import CLAMPS, Chain, factor_of, trace

HARD_SWISH_OPSET = 14
"""The opset from which on there is HardSwish."""

_BOUNDS_ARE_INPUTS = 11  # opset of Clip


def has_hard_swish(graph: ir.Graph) -> bool:
    """Whether a graph or a body in it has hard-swish in several nodes."""
    return any(_hard_swish(node) is not None for node in graph.all_nodes())


def name_hard_functions(graph: ir.Graph, weights: WeightFile, opset: int) -> None:
    """Write hard-swish and hard-sigmoid as one operator, in place, bodies too."""
    editor = GraphEditor(graph, weights=weights)
    if opset >= HARD_SWISH_OPSET:
        for node in tuple(graph.all_nodes()):
            if (product := _hard_swish(node)) is not None:
                _become(product.last, "HardSwish", product.chain)
    for node in tuple(graph.all_nodes()):
        chain = _hard_sigmoid(node)
        if chain is not None and not _into_layer(node, chain, editor, opset):
            _name_hard_sigmoid(node, chain)
    for node in reversed(tuple(graph.all_nodes())):  # the last of several clamps takes the others
        _name_clamp(node, editor, opset)
    remove_unused(graph)


class _Product:
    """A product of x and a ramp of x.

    Attributes:
        last: The node that gives it.
        chain: The ramp, and all nodes.
    """

    __slots__ = ("chain", "last")

    def __init__(self, last: ir.Node, chain: Chain) -> None:
        self.last, self.chain = last, chain


def _hard_swish(node: ir.Node) -> _Product | None:
    """Return hard-swish of which a node is the product of x and its ramp."""
    if node.domain or node.op_type != "Mul" or len(node.inputs) != 2:
        return None
    for index in (0, 1):
        for root, factor, before in _as_factor(node.inputs[index]):
            value = node.inputs[1 - index]
            if value is None or value is root or not _is_read_once(value):
                continue
            chain = trace(value, root)
            if chain is None or root.dtype is not ir.DataType.FLOAT:
                continue
            nodes = (*before, *chain.nodes)
            for last, more in _ends(node):
                ramp = chain.ramp.scaled(factor * more)
                if ramp is not None and ramp.is_gate:
                    return _Product(last, Chain(root, ramp, (last, node, *nodes)))
    return None


def _as_factor(value: ir.Value | None) -> Iterator[tuple[ir.Value, float, tuple[ir.Node, ...]]]:
    """Yield what a value is a multiple of: itself, and what its node multiplies with a scalar."""
    if value is None:
        return
    yield value, 1.0, ()
    node = producer_of(value)
    found = factor_of(node) if node is not None and not node.domain else None
    if node is not None and found is not None and _is_read_once(value):
        yield found[0], found[1], (node,)


def _ends(node: ir.Node) -> Iterator[tuple[ir.Node, float]]:
    """Yield a node and the one behind it that multiplies with a scalar, with that."""
    yield node, 1.0
    value = node.outputs[0]
    if _is_read_once(value):
        ((reader, _),) = value.uses()
        found = factor_of(reader) if not reader.domain and reader.graph is node.graph else None
        if found is not None:
            yield reader, found[1]


def _hard_sigmoid(node: ir.Node) -> Chain | None:
    """Return the ramp from 0 to 1 that a node is the last of."""
    value = node.outputs[0]
    chain = trace(value)
    if chain is None or not chain.ramp.is_hard_sigmoid or _goes_on(value):
        return None
    plain = chain.ramp.slope == 1.0 and not chain.ramp.offset  # a Clip, which says it best
    return None if plain or chain.root.dtype is not ir.DataType.FLOAT else chain


def _goes_on(value: ir.Value) -> bool:
    """Whether the one reader of a value makes another ramp from 0 to 1 of it."""
    if not _is_read_once(value):
        return False
    ((reader, _),) = value.uses()
    chain = trace(reader.outputs[0]) if reader.graph is value.graph else None
    return chain is not None and chain.ramp.is_hard_sigmoid and len(chain.nodes) > 1


def _name_hard_sigmoid(node: ir.Node, chain: Chain) -> None:
    if len(chain.nodes) > 1:
        _become(node, "HardSigmoid", chain)
        for name, figure in (("alpha", chain.ramp.slope), ("beta", chain.ramp.offset)):
            node.attributes[name] = ir.AttrFloat32(name, float(np.float32(figure)))


def _into_layer(node: ir.Node, chain: Chain, editor: GraphEditor, opset: int) -> bool:
    """Take a ramp into the weights of the layer that it follows, and leave a Clip."""
    layer = chain.root.producer()
    if opset < _BOUNDS_ARE_INPUTS or layer is None or layer.graph is not node.graph:
        return False
    if not _is_read_once(chain.root) or node.outputs[0].is_graph_output():
        return False  # what users read is computed in float
    if not take_affine(layer, chain.ramp.slope, chain.ramp.offset, editor):
        return False
    _become(node, "Clip", chain)
    _set_bounds(node, 0.0, 1.0, editor)
    chain.root.name = editor.unique(f"{name_of(chain.root)}_scaled")
    return True


def _name_clamp(node: ir.Node, editor: GraphEditor, opset: int) -> None:
    value = node.outputs[0]
    if node.domain or node.op_type not in CLAMPS or not (value.uses() or value.is_graph_output()):
        return
    chain = trace(value, only=CLAMPS)
    if chain is None or (len(chain.nodes) == 1 and node.op_type not in ("Max", "Min")):
        return
    low, high = chain.ramp.low, chain.ramp.high
    if (low, high) == (0.0, math.inf):
        _become(node, "Relu", chain)
    elif opset >= _BOUNDS_ARE_INPUTS and (math.isfinite(low) or math.isfinite(high)):
        _become(node, "Clip", chain)
        _set_bounds(node, low, high, editor)


def _set_bounds(node: ir.Node, low: float, high: float, editor: GraphEditor) -> None:
    node.resize_inputs(3)
    for index, (name, bound) in enumerate((("low", low), ("high", high)), start=1):
        if math.isfinite(bound):
            value = editor.constant(f"{node.name}_{name}", np.array(bound, np.float32))
            node.replace_input_with(index, value)


def _become(node: ir.Node, op_type: str, chain: Chain) -> None:
    """Let the last node of a chain do what all of them did."""
    node.op_type = op_type
    node.attributes.clear()
    node.version = None
    for each in chain.nodes:
        add_origins(node, origins(each))
    node.resize_inputs(1)
    node.replace_input_with(0, chain.root)


def _is_read_once(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()
