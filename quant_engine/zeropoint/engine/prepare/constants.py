"""Constants: all are initializers that every pass sees; what they determine is computed once."""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from zeropoint.engine.files import INLINE_BYTES, WeightFile, use_stored_tensors
from zeropoint.engine.graph import GraphEditor, bodies_of, name_of, remove_unused, values_of
from zeropoint.engine.operators import Trait, has
from zeropoint.engine.runtime import RuntimeRefusal, Session

_logger = logging.getLogger(__name__)
_CONTRIB = "com.microsoft"

# What is larger than this and larger than what it is made from stays in the graph.
_GROWTH_BYTES = 1 << 20
# Results held in memory at once.
_BATCH_BYTES = 256 << 20

# What they give is never more than what they read. In bodies the shapes of their results are often
# not known: shape inference does not see the values of outer graphs.
_NO_GROWTH = Trait.MOVES | Trait.PICKS | Trait.JOINS
# Element types that numpy hands to ONNX Runtime and back.
_TYPES = frozenset(
    {ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.BOOL}
    | {ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64}
    | {ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64}
)


def lift_constants(model: ir.Model) -> None:
    """Turn Constant nodes and initializers of subgraphs into initializers of the main graph.

    What is itself an output of its graph stays. Names are kept unless they are taken.
    """
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for graph in model.graphs():
        use_stored_tensors(graph)
    inner = [
        value
        for graph in model.graph.subgraphs()
        for value in graph.initializers.values()
        if not (value.is_graph_input() or value.is_graph_output())
    ]
    if not inner:
        return
    names = Counter(value.name for graph in model.graphs() for value in values_of(graph))
    editor = GraphEditor(model.graph)
    for value in inner:
        assert value.graph is not None
        assert value.name is not None
        del value.graph.initializers[value.name]
        if names[value.name] > 1:
            value.name = editor.unique(value.name)
        model.graph.register_initializer(value)


def fold_constants(model: ir.Model, weights: WeightFile) -> None:
    """Replace what constants alone determine by its value, in place, in linear time.

    Left alone: nodes of other domains or with subgraphs, random ones, DequantizeLinear, results
    whose size is not known beforehand or is out of proportion, and outputs of the graph.
    ONNX Runtime computes the values, so that they are those that it would compute later.
    """
    stored: dict[bytes, ir.Value] = {}
    for graph in tuple(model.graphs()):
        _fold(model, graph, weights, stored)
    remove_unused(model.graph)


def _fold(
    model: ir.Model, graph: ir.Graph, weights: WeightFile, stored: dict[bytes, ir.Value]
) -> None:
    """Fold in one graph; those around it are done, so that their values are constants.

    On its own, because what is in a branch that is never taken may fail.
    """
    sizes: dict[ir.Value, int] = {}
    folded = _foldable(graph, sizes)
    computed = (value for node in folded for value in node.outputs)
    results = [value for value in computed if any(use.node not in folded for use in value.uses())]
    for batch in _batches(results, sizes):
        arrays = _evaluate(model, batch, folded, weights.path.with_name("constants.onnx"))
        for value, array in zip(batch, arrays, strict=False):
            _replace(model.graph, value, array, weights, stored)


def _foldable(graph: ir.Graph, sizes: dict[ir.Value, int]) -> dict[ir.Node, None]:
    """Return the nodes to fold, in order; `sizes` takes how many bytes their results have."""
    found: dict[ir.Node, None] = {}
    for node in graph:
        inputs = [value for value in node.inputs if value is not None]
        if (
            inputs
            and _is_foldable(node)
            and all(_is_constant(value) or value.producer() in found for value in inputs)
            and _is_moderate(node, inputs, sizes)
        ):
            found[node] = None
    return found


def _is_foldable(node: ir.Node) -> bool:
    """Whether a node gives the same each time, and does not say how values are quantized."""
    if node.op_type == "QuantizeLinear":
        return node.domain in ("", _CONTRIB)
    plain = not node.domain and not has(node, Trait.RANDOM | Trait.CONVERTS)
    return plain and not any(True for _ in bodies_of(node))


def _is_constant(value: ir.Value) -> bool:
    return value.const_value is not None and not value.is_graph_input()


def _is_moderate(node: ir.Node, inputs: list[ir.Value], sizes: dict[ir.Value, int]) -> bool:
    """Whether all types and sizes are known and no result is out of proportion."""
    if any(value.is_graph_output() for value in node.outputs):
        return False
    read = [sizes.get(value, _bytes(value)) for value in inputs]
    if any(size is None for size in read):
        return False
    total = sum(size for size in read if size is not None)
    for value in node.outputs:
        size = _bytes(value)
        if size is None and has(node, _NO_GROWTH) and value.dtype in _TYPES:
            size = total
        if size is None:
            return False
        sizes[value] = size
    return sum(sizes[value] for value in node.outputs) <= max(_GROWTH_BYTES, total)


def _bytes(value: ir.Value) -> int | None:
    if (
        value.dtype is None
        or value.dtype not in _TYPES
        or value.shape is None
        or not value.shape.is_static()
    ):
        return None
    return math.ceil(math.prod(value.shape.numpy()) * value.dtype.itemsize)


def _batches(results: list[ir.Value], sizes: dict[ir.Value, int]) -> Iterator[list[ir.Value]]:
    batch: list[ir.Value] = []
    size = 0
    for value in results:
        size += sizes[value]
        batch.append(value)
        if size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _evaluate(
    model: ir.Model, values: list[ir.Value], folded: dict[ir.Node, None], path: Path
) -> list[NDArray[np.generic]]:
    """Return the arrays of values, computed by a model at `path`; nothing where that fails."""
    nodes = _ancestors(values, folded)
    proto = onnx.ModelProto(ir_version=model.ir_version)
    proto.opset_import.add(domain="", version=model.opset_imports[""])
    proto.opset_import.add(domain=_CONTRIB, version=1)
    graph = proto.graph
    graph.name = "constants"
    graph.node.extend(ir.serde.serialize_node(node) for node in folded if node in nodes)
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in values)
    feeds: dict[str, NDArray[np.generic]] = {}
    sources = dict.fromkeys(v for node in nodes for v in node.inputs if v is not None)
    for value in sources:
        tensor = value.const_value
        if tensor is None:
            continue
        tensor.name = value.name
        if tensor.nbytes < INLINE_BYTES:
            graph.initializer.append(ir.serde.serialize_tensor(tensor))
        else:
            graph.input.append(ir.serde.serialize_value(value))
            feeds[name_of(value)] = tensor.numpy()
    try:
        path.write_bytes(proto.SerializeToString())
        return Session(path).run(feeds)
    except RuntimeRefusal:
        _logger.info("constants stay in the graph", exc_info=True)
        return []


def _ancestors(values: list[ir.Value], folded: dict[ir.Node, None]) -> set[ir.Node]:
    found: set[ir.Node] = set()
    pending = [value.producer() for value in values]
    while pending:
        node = pending.pop()
        if node is None or node in found or node not in folded:
            continue
        found.add(node)
        pending.extend(value.producer() for value in node.inputs if value is not None)
    return found


def _replace(
    graph: ir.Graph,
    value: ir.Value,
    array: NDArray[np.generic],
    weights: WeightFile,
    stored: dict[bytes, ir.Value],
) -> None:
    """Let a constant stand for `value`: one for all that are the same, as tied weights are."""
    name, value.name = value.name, None
    key = _content(array) if array.nbytes >= INLINE_BYTES else None
    if key is not None and key in stored:
        value.replace_all_uses_with(stored[key])
        return
    tensor = weights.store(ir.Tensor(array, name=name))
    constant = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    value.replace_all_uses_with(constant)
    graph.register_initializer(constant)
    if key is not None:
        stored[key] = constant


def _content(array: NDArray[np.generic]) -> bytes:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
