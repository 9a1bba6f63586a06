"""Sparse tensors made dense: the graph library and the integer kernels know dense ones only."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

from zeropoint.engine.errors import ModelError
from zeropoint.engine.files.weight_file import WeightFile

_LIMIT_BYTES = 1 << 30
_SPARSE = (onnx.AttributeProto.SPARSE_TENSOR, onnx.AttributeProto.SPARSE_TENSORS)


def make_dense(proto: onnx.ModelProto, weights: WeightFile) -> None:
    """Replace sparse initializers and sparse Constant nodes by dense ones, in place.

    Raises:
        ModelError: MODEL_INVALID, a sparse tensor contradicts itself; MODEL_UNSUPPORTED, one is
            too large when dense, or is an attribute of another operator than Constant.
    """
    for graph in _graphs(proto.graph):
        for sparse in graph.sparse_initializer:
            graph.initializer.append(_dense(sparse, sparse.values.name, weights))
        del graph.sparse_initializer[:]
        _densify_nodes(graph.node, weights)
    for function in proto.functions:
        _densify_nodes(function.node, weights)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all below it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for below in attribute.graphs:
                yield from _graphs(below)


def _densify_nodes(nodes: Iterable[onnx.NodeProto], weights: WeightFile) -> None:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.SPARSE_TENSOR and node.op_type == "Constant":
                name = node.output[0] if node.output else node.name
                attribute.t.CopyFrom(_dense(attribute.sparse_tensor, name, weights))
                attribute.ClearField("sparse_tensor")
                attribute.type = onnx.AttributeProto.TENSOR
                attribute.name = "value"
            elif attribute.type in _SPARSE:
                raise ModelError(
                    "MODEL_UNSUPPORTED",
                    f"Attribute {attribute.name!r} of node {node.name!r} is a sparse tensor; "
                    "only initializers and constants can be.",
                    node=node.name,
                )


def _dense(sparse: onnx.SparseTensorProto, name: str, weights: WeightFile) -> onnx.TensorProto:
    size = math.prod(sparse.dims) * math.ceil(ir.DataType(sparse.values.data_type).itemsize)
    if size > _LIMIT_BYTES:
        raise ModelError(
            "MODEL_UNSUPPORTED",
            f"Sparse tensor {name!r} would take {size} bytes when dense; at most {_LIMIT_BYTES} "
            "can be taken.",
            tensor=name,
        )
    try:
        dense = _scatter(sparse)
    except (ValueError, IndexError, TypeError) as error:
        raise ModelError(
            "MODEL_INVALID", f"Sparse tensor {name!r} contradicts itself: {error}.", tensor=name
        ) from error
    stored = weights.store(ir.tensor(dense, name=name))
    return ir.to_proto(stored)


def _scatter(sparse: onnx.SparseTensorProto) -> NDArray[np.generic]:
    """Spread the values: indices are [count] into the flat tensor, or [count, rank]."""
    values = numpy_helper.to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    shape = tuple(sparse.dims)
    dense = np.zeros(shape, values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.reshape(-1, len(shape)).T)] = values
    return dense
