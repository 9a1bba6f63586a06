"""Folding a scalar factor and shift in front of convolutions into their weights.

    W (f x + s) + b  =  (f W) x + (b + s * sum of W)

Learned ones stand behind the activations of PP-LCNet and its kin, where the layer before cannot
take them. A convolution that pads pads with zeros behind the shift, which then stays:
f x + s = f (x + s / f). Scalars alone: scales of channels may be what makes a tensor fit for one
scale. Figures are computed in float64.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import (
    GraphEditor,
    add_origins,
    array_of,
    constant,
    input_at,
    name_of,
    origins,
    remove_unused,
    set_input,
    value_at,
)
from zeropoint.engine.prepare.ramps import ARITHMETIC, Chain, trace

_MOST_ROUNDING = 16.0  # of what is in between, times the greater of factor and shift


def fuse_affine_before(graph: ir.Graph, weights: WeightFile) -> None:
    """Fold scalar affine functions into the convolutions behind them, in place, bodies too."""
    editor = GraphEditor(graph, weights=weights)
    for node in tuple(graph.all_nodes()):
        if node.op_type in ARITHMETIC and not node.domain:
            _fuse(node.outputs[0], editor)
    remove_unused(graph)


def _fuse(value: ir.Value, editor: GraphEditor) -> None:
    layers = list(_layers(value))
    chain = trace(value, only=ARITHMETIC) if layers else None
    if chain is None or chain.root.dtype is not ir.DataType.FLOAT or _is_product(chain.root):
        return
    factor, shift = chain.ramp.slope, chain.ramp.offset
    if chain.ramp.largest > _MOST_ROUNDING * max(abs(factor), abs(shift)):
        return
    stays = bool(shift) and any(_pads(layer) for layer in layers)
    if stays and (len(chain.nodes) == 1 or factor == 1.0):
        return
    folded = [_scaled(layer, factor, 0.0 if stays else shift) for layer in layers]
    if not all(np.isfinite(array).all() for arrays in folded for array in arrays):
        return
    for layer, arrays in zip(layers, folded, strict=True):
        _take(layer, *arrays, editor)
        if not stays:
            layer.replace_input_with(0, chain.root)
    if stays:
        _leave_shift(chain, shift / factor, editor)
    for node in chain.nodes:  # the first one stands for them: no node is in two places
        add_origins(chain.nodes[0] if stays else layers[0], origins(node))


def _is_product(value: ir.Value) -> bool:
    """Whether a value is x * f(x): half of it is GELU, of which ONNX Runtime makes one kernel."""
    node = value.producer()
    return (
        node is not None
        and node.op_type == "Mul"
        and all(constant(each) is None for each in node.inputs)
    )


def _layers(value: ir.Value) -> Iterator[ir.Node]:
    """Yield the convolutions that read a value; none where anything else does."""
    readers = [use.node for use in value.uses()]
    if not value.is_graph_output() and all(_takes(node, value) for node in readers):
        yield from readers


def _takes(node: ir.Node, value: ir.Value) -> bool:
    """Whether a node is a convolution of `value` that has its weights to itself."""
    if node.domain or node.op_type != "Conv" or node.graph is not value.graph:
        return False
    weight, bias = input_at(node, 1), input_at(node, 2)
    known = constant(weight) is not None and (bias is None or constant(bias) is not None)
    if weight is None or not known or weight.dtype is not ir.DataType.FLOAT:
        return False
    return node.inputs[0] is value and len(weight.uses()) == 1 and not weight.is_graph_output()


def _pads(node: ir.Node) -> bool:
    """Whether zeros may be put around what a convolution reads."""
    automatic = node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    return automatic or any(node.attributes.get_ints("pads", ()))


def _scaled(layer: ir.Node, factor: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of a convolution of factor * x + shift."""
    weight = array_of(layer.inputs[1]).astype(np.float64)
    bias, kernel = input_at(layer, 2), tuple(range(1, weight.ndim))
    before = 0.0 if bias is None else array_of(bias).astype(np.float64)
    with np.errstate(over="ignore"):
        total = (before + shift * weight.sum(axis=kernel)).astype(np.float32)
        return (factor * weight).astype(np.float32), total


def _take(layer: ir.Node, weight: np.ndarray, bias: np.ndarray, editor: GraphEditor) -> None:
    editor.set_array(value_at(layer, 1), weight)
    old = input_at(layer, 2)
    if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
        editor.set_array(old, bias)
    elif old is not None or bias.any():
        set_input(layer, 2, editor.constant(f"{layer.name}_bias", bias))


def _leave_shift(chain: Chain, shift: float, editor: GraphEditor) -> None:
    """Let the last node of a chain add a scalar, which is all that is left of it."""
    node = chain.nodes[0]
    scalar = editor.constant(f"{name_of(node)}_shift", np.array(shift, np.float32))
    node.op_type = "Add"
    for index, value in enumerate((chain.root, scalar)):
        node.replace_input_with(index, value)
    node.outputs[0].name = editor.unique(f"{name_of(node.outputs[0])}_unscaled")
