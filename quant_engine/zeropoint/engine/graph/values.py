"""What nodes and values are, where any part of that may be absent."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def name_of(item: ir.Node | ir.Value | None) -> str:
    """Return a name; "" where there is none."""
    return (item.name if item is not None else None) or ""


def graph_of(item: ir.Node | ir.Value) -> ir.Graph:
    """Return the graph that a node or a value stands in."""
    assert isinstance(item.graph, ir.Graph), item.name
    return item.graph


def values_of(graph: ir.Graph) -> tuple[ir.Value, ...]:
    """Return what a graph is given, holds and computes, each value once."""
    computed = (value for node in graph for value in node.outputs)
    return tuple(dict.fromkeys((*graph.inputs, *graph.initializers.values(), *computed)))


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    """Return an input that may be left out, or lie beyond the last."""
    return node.inputs[index] if len(node.inputs) > index else None


def value_at(node: ir.Node, index: int) -> ir.Value:
    """Return an input that a valid model has."""
    value = node.inputs[index]
    assert value is not None, node.name
    return value


def producer_of(value: ir.Value | None) -> ir.Node | None:
    """Return the node that gives a value; None where `value` is absent or given to its graph."""
    return value.producer() if value is not None else None


def tell_of(value: ir.Value, other: ir.Value) -> None:
    """Let `value` carry what the user wrote of `other`: its description and metadata."""
    value.doc_string = other.doc_string or value.doc_string
    value.metadata_props.update(other.metadata_props)


def rank_of(value: ir.Value | None) -> int | None:
    """Return the number of axes; None where `value` is absent or that is not known."""
    return len(value.shape) if value is not None and value.shape is not None else None


def constant(value: ir.Value | None) -> np.ndarray | None:
    """Return the array of a constant value; None where `value` is absent or computed."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def array_of(value: ir.Value | None) -> NDArray[Any]:
    """Return the array of what is known to be constant."""
    array = constant(value)
    assert array is not None, value
    return array
