"""How many multiply-accumulates each layer does, and how many of all run in integer kernels.

Shapes are inferred for the shapes of a real batch; where that does not tell, the model is run.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto

from zeropoint.engine.protobuf import all_nodes, graphs, inferred
from zeropoint.engine.runtime import IntegerKernels, Session, original_name
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.exposed import expose, read_graph, written_beside

Shape = tuple[int, ...]

LAYERS: Final = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
"""Operators of the float model whose arithmetic is counted."""

# Where a layer and its integer forms have their weight or right factor.
_CONV: Final = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_TRANSPOSED: Final = {"ConvTranspose": 1, "QLinearConvTranspose": 3}
_PRODUCTS: Final = frozenset(
    {"Gemm", "MatMul", "MatMulInteger", "MatMulNBits", "QGemm", "QLinearMatMul"}
)
_FORMS: Final = frozenset({*_CONV, *_TRANSPOSED, *_PRODUCTS})
_SHAPED_BYTES: Final = 1024  # larger constants do not say shapes


def multiply_accumulates(path: Path, nodes: Mapping[str, str], batch: Batch) -> Mapping[str, int]:
    """Return how many multiply-accumulates each layer does for a batch.

    Args:
        path: The model, in any form; external data beside it.
        nodes: Operator type that each layer has in the float model, by its name.
        batch: Arrays by input name.

    Returns:
        By name. A layer in a body counts once, however often it runs; one whose shapes cannot be
        told is missing.

    Raises:
        RuntimeRefusal: the model must be run and does not.
    """
    model = read_graph(path)
    wanted = {name for name, op_type in nodes.items() if op_type in LAYERS}
    layers = {
        name: node
        for node in all_nodes(model.graph)
        if node.op_type in _FORMS and (name := original_name(node.name, wanted)) is not None
    }
    given = {name for node in model.graph.node for name in node.output}
    shapes = shapes_of(model, batch)
    missing = {
        name
        for node in layers.values()
        if _count(node, shapes) is None
        for name in _shaping(node)
        if name in given and name not in shapes
    }
    if missing and batch:
        shapes |= _run_shapes(path, missing, batch)
    found = {name: _count(node, shapes) for name, node in layers.items()}
    return {name: count for name, count in found.items() if count is not None}


def integer_share(counts: Mapping[str, int], kernels: IntegerKernels) -> float | None:
    """Return the share of multiply-accumulates that integer kernels do, 0..1; None without any.

    Of layers that ONNX Runtime renamed it is known only how many became integer kernels: they
    count as the mean of those of their type that it may have been.

    Args:
        counts: Multiply-accumulates of each layer.
        kernels: What became of them.
    """
    total = sum(counts.values())
    if not total:
        return None
    done = float(sum(counts.get(name, 0) for name in kernels.integer_nodes))
    for kind in kernels.unnamed:
        macs = [counts[name] for name in kind.nodes if name in counts]
        done += sum(macs) * kind.integer / max(1, len(kind.nodes))
    return min(1.0, done / total)


def shapes_of(model: onnx.ModelProto, batch: Batch) -> dict[str, Shape]:
    """Return what shapes are known of values when a model, which is changed, is given a batch."""
    graph = model.graph
    shapes = {}
    for one in graphs(graph):
        del one.value_info[:]
        for tensor in one.initializer:
            shapes[tensor.name] = tuple(tensor.dims)
            if len(tensor.raw_data) > _SHAPED_BYTES:
                _forget(tensor)
    for value in graph.input:
        if value.name in batch:
            _declare(value, batch[value.name].shape)
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    for one in graphs(inferred(model).graph):
        for value in (*one.input, *one.value_info, *one.output):
            dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if value.type.tensor_type.HasField("shape") and all(d > 0 for d in dims):
                shapes[value.name] = tuple(dims)
    return shapes


def _forget(tensor: TensorProto) -> None:
    """Leave its values out: as if they were in a file of external data."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL


def _declare(value: onnx.ValueInfoProto, shape: Iterable[int]) -> None:
    declared = value.type.tensor_type.shape
    del declared.dim[:]
    for size in shape:
        declared.dim.add(dim_value=size)
    if not declared.dim:
        declared.SetInParent()


def _run_shapes(path: Path, names: Iterable[str], batch: Batch) -> dict[str, Shape]:
    wanted, model = sorted(names), read_graph(path)
    expose(model, wanted)
    with written_beside(path, model) as exposed:
        found = Session(exposed, as_written=True).run(batch, wanted)
    return {name: np.shape(array) for name, array in zip(wanted, found, strict=True)}


def _shaping(node: onnx.NodeProto) -> tuple[str, ...]:
    return (*node.input[:1], *node.output[:1])


def _count(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int | None:
    """Return the multiply-accumulates of a node, where its shapes are known."""
    data, result = (shapes.get(name) for name in _shaping(node))
    if node.op_type in _CONV:
        weight = shapes.get(node.input[_CONV[node.op_type]])
        return None if result is None or weight is None else math.prod((*result, *weight[1:]))
    if node.op_type in _TRANSPOSED:
        weight = shapes.get(node.input[_TRANSPOSED[node.op_type]])
        return None if data is None or weight is None else math.prod((*data, *weight[1:]))
    if data is None or result is None or not data:
        return None
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(result) * data[0 if transposed else -1]
