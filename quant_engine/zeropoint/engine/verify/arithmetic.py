"""How many multiply-accumulates each layer does, and how many of all run in integer kernels.

Shapes are inferred for the shapes of a real batch. Where values decide them, what computes these
values is run, mostly a few nodes, and inference goes on from there; at last the whole model.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_tensor_value_info, np_dtype_to_tensor_dtype

from zeropoint.engine.protobuf import all_nodes, drop_unneeded, graphs, inferred, reads, surface
from zeropoint.engine.runtime import IntegerKernels, RuntimeRefusal, Session, original_name
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.exposed import expose, written_beside
from zeropoint.engine.wire import embed, skeleton

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
_ROUNDS: Final = 8
_MOST_BYTES: Final = 256 << 20  # of a file that is copied, only to be run for shapes


def multiply_accumulates(path: Path, nodes: Mapping[str, str], batch: Batch) -> Mapping[str, int]:
    """Return how many multiply-accumulates each layer does for a batch.

    Args:
        path: The model, in any form; external data beside it.
        nodes: Operator type that each layer has in the float model, by its name.
        batch: Arrays by input name.

    Returns:
        By name. A layer in a body counts once, however often it runs; one whose shapes cannot be
        told is missing. None at all where a large model would have to be run.

    Raises:
        RuntimeRefusal: the model must be run and does not.
    """
    wanted = {name for name, op_type in nodes.items() if op_type in LAYERS}
    model = skeleton(path)
    layers = {
        name: node
        for node in all_nodes(model.graph)
        if node.op_type in _FORMS and (name := original_name(node.name, wanted)) is not None
    }
    shapes = shapes_of(model, batch)
    given: dict[str, NDArray[Any]] = {}
    for _ in range(_ROUNDS if batch else 0):
        cheap = _deciding(path, _missing(model, layers.values(), shapes), shapes)
        if not cheap:
            break
        given |= _run(path, cheap, batch)
        shapes = shapes_of(skeleton(path), batch, given)
    missing = _missing(model, layers.values(), shapes)
    if missing and path.stat().st_size > _MOST_BYTES:
        return {}
    if missing and batch:
        found = _run(path, missing, batch)
        shapes |= {name: array.shape for name, array in found.items()}
    if batch:
        shapes |= _shapes_in_bodies(path, _needed(layers.values(), shapes), batch)
    counts = {name: _count(node, shapes) for name, node in layers.items()}
    return {name: count for name, count in counts.items() if count is not None}


def _missing(
    model: onnx.ModelProto, layers: Iterable[onnx.NodeProto], shapes: Mapping[str, Shape]
) -> list[str]:
    """Return the values of the main graph whose shapes layers still need."""
    given = {name for node in model.graph.node for name in node.output}
    return [name for name in _needed(layers, shapes) if name in given]


def _needed(layers: Iterable[onnx.NodeProto], shapes: Mapping[str, Shape]) -> list[str]:
    names = [name for node in layers if _count(node, shapes) is None for name in _shaping(node)]
    return [name for name in dict.fromkeys(names) if name not in shapes]


def _shapes_in_bodies(path: Path, names: Sequence[str], batch: Batch) -> dict[str, Shape]:
    """Return shapes in bodies, of the first time that each runs; none where it does not.

    Only floats can be carried out of bodies: where there are others, none are told.
    """
    if not names or path.stat().st_size > _MOST_BYTES:
        return {}
    model = skeleton(path)
    embed(model, path)
    surface(model, names)
    expose(model, names)
    try:
        with written_beside(path, model) as exposed:
            found = Session(exposed, as_written=True).run(batch, names)
    except RuntimeRefusal:
        return {}
    times = (value if isinstance(value, list) else [value] for value in found)
    ran = {
        name: [np.shape(v) for v in all_of_it] for name, all_of_it in zip(names, times, strict=True)
    }
    first = {name: next(filter(math.prod, shapes), None) for name, shapes in ran.items()}
    return {name: shape for name, shape in first.items() if shape is not None}


def _deciding(path: Path, missing: Sequence[str], shapes: Mapping[str, Shape]) -> list[str]:
    """Return what has no shape although all that it is computed from has: values decide it.

    Only what the missing ones are computed by, and what no layer takes part in.
    """
    if not missing:
        return []
    graph = _ending_in(path, missing).graph
    behind_layers: set[str] = set()
    found = []
    for node in graph.node:
        if node.op_type in _FORMS or not behind_layers.isdisjoint(reads(node)):
            behind_layers.update(node.output)
        elif all(name in shapes for name in node.input if name):
            found += [name for name in node.output if name and name not in shapes]
    return found


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


def shapes_of(
    model: onnx.ModelProto,
    batch: Batch,
    values: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> dict[str, Shape]:
    """Return what shapes are known of values when a model, which is changed, is given a batch.

    Args:
        model: The model.
        batch: Arrays by input name.
        values: What some nodes of the main graph compute from that.
    """
    graph = model.graph
    shapes = {}
    for one in graphs(graph):
        del one.value_info[:]
        for tensor in one.initializer:
            shapes[tensor.name] = tuple(tensor.dims)
    for value in graph.input:
        if value.name in batch:
            _declare(value, batch[value.name].shape)
    graph.value_info.extend(
        make_tensor_value_info(name, np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in values.items()
    )
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    for one in graphs(inferred(model).graph):
        for value in (*one.input, *one.value_info, *one.output):
            dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if value.type.tensor_type.HasField("shape") and all(d > 0 for d in dims):
                shapes[value.name] = tuple(dims)
    return shapes


def _declare(value: onnx.ValueInfoProto, shape: Iterable[int]) -> None:
    declared = value.type.tensor_type.shape
    del declared.dim[:]
    for size in shape:
        declared.dim.add(dim_value=size)
    if not declared.dim:
        declared.SetInParent()


def _run(path: Path, names: Sequence[str], batch: Batch) -> dict[str, NDArray[Any]]:
    """Return values, running no more of the model than they are computed by."""
    model = _ending_in(path, names)
    embed(model, path)
    with written_beside(path, model) as exposed:
        session = Session(exposed, as_written=True)
    read = {slot.name for slot in session.inputs}
    found = session.run({name: array for name, array in batch.items() if name in read}, names)
    return {name: np.asarray(array) for name, array in zip(names, found, strict=True)}


def _ending_in(path: Path, names: Sequence[str]) -> onnx.ModelProto:
    """Return what of a model some values are computed by."""
    model = skeleton(path)
    del model.graph.output[:]
    expose(model, names)
    drop_unneeded(model.graph)
    return model


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
