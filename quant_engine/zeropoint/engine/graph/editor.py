"""Adding nodes and constants to a graph under names that collide with none of the user's."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph.values import name_of
from zeropoint.engine.numbers import QParams

_CONTRIB = "com.microsoft"
_QDQ = ("QuantizeLinear", "DequantizeLinear")


class GraphEditor:
    """Adds to one model, in place: to its main graph, and to bodies inside of that.

    All graphs of a model can read the constants of the main graph.
    """

    def __init__(
        self, graph: ir.Graph, *, weights: WeightFile | None = None, contrib_qdq: bool = False
    ) -> None:
        """Read the names that are taken.

        Args:
            graph: The main graph.
            weights: Takes constants, so that large ones are not held in memory.
            contrib_qdq: Take QuantizeLinear and DequantizeLinear from com.microsoft, which knows
                them at any opset.
        """
        self.graph = graph
        self._weights = weights
        self._qdq_domain = _CONTRIB if contrib_qdq else ""
        if contrib_qdq:
            graph.opset_imports.setdefault(self._qdq_domain, 1)
        self._taken = taken_names(graph)
        self._parameters: dict[tuple[int, ir.Graph], tuple[ir.Value, ir.Value]] = {}
        # Keeps the keys of `_parameters` alive, so that no id is given twice.
        self._seen: list[QParams] = []

    def unique(self, wanted: str) -> str:
        """Return `wanted`, with a number behind it where that name is taken; it is then taken."""
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        *,
        outputs: int = 1,
        attributes: Mapping[str, int | Sequence[int]] | None = None,
        contrib: bool = False,
    ) -> ir.Node:
        """Return a new node named after `name` and its operator; it is not inserted yet.

        Args:
            op_type: Its operator.
            inputs: What it reads.
            name: What its name begins with.
            outputs: How many there are.
            attributes: Its attributes.
            contrib: Take the operator from com.microsoft.
        """
        base = f"{name}_{op_type}"
        domain = self._qdq_domain if op_type in _QDQ else ""
        if contrib:
            domain = _CONTRIB
            self.graph.opset_imports.setdefault(domain, 1)
        node = ir.node(
            op_type,
            inputs,
            attributes=attributes,
            domain=domain,
            num_outputs=outputs,
            name=self.unique(base),
        )
        for output in node.outputs:
            output.name = self.unique(f"{base}_Output")
        return node

    def constant(
        self, name: str, array: NDArray[np.generic], graph: ir.Graph | None = None
    ) -> ir.Value:
        """Add an initializer, to the main graph where no other is given."""
        unique = self.unique(name)
        # `ir.tensor` would ask of what kind the array is, for longer than all the rest takes.
        tensor: ir.TensorProtocol = ir.Tensor(array, name=unique)
        if self._weights is not None:
            tensor = self._weights.store(tensor)
        value = ir.Value(
            name=unique,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        (self.graph if graph is None else graph).register_initializer(value)
        return value

    def parameters(
        self, name: str, qparams: QParams, graph: ir.Graph | None = None
    ) -> tuple[ir.Value, ir.Value]:
        """Return scale and zero point as initializers; one pair for a QParams object in a graph."""
        key = id(qparams), graph if graph is not None else self.graph
        if key not in self._parameters:
            self._seen.append(qparams)
            self._parameters[key] = (
                self.constant(f"{name}_scale", qparams.scale, graph),
                self.constant(f"{name}_zero_point", qparams.zero_point, graph),
            )
        return self._parameters[key]

    def insert_first(self, graph: ir.Graph, *nodes: ir.Node) -> None:
        """Insert nodes that read only inputs, initializers and values of outer graphs."""
        graph.insert_before(graph[0], nodes)

    def insert_behind(self, value: ir.Value, graph: ir.Graph, *nodes: ir.Node) -> None:
        """Insert nodes that read `value` as early in `graph` as they can run."""
        producer = value.producer()
        if producer is None or producer.graph is not graph:
            self.insert_first(graph, *nodes)
        else:
            graph.insert_after(producer, nodes)

    def take_output(self, value: ir.Value, replacement: ir.Value) -> None:
        """Where `value` is an output of its graph, make `replacement` that output, by its name."""
        graph = value.graph
        if graph is None or not value.is_graph_output():
            return
        for index, output in enumerate(graph.outputs):
            if output is value:
                name = name_of(value)
                value.name = self.unique(f"{name}_float")
                replacement.name = name
                graph.outputs[index] = replacement

    def remove_unused_constants(self) -> None:
        """Drop initializers that nothing reads."""
        for name, value in tuple(self.graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                del self.graph.initializers[name]


def taken_names(graph: ir.Graph) -> set[str]:
    """Return the names of all values and nodes of a graph and of those inside its nodes."""
    names = {value.name for value in graph.inputs if value.name} | set(graph.initializers)
    for node in ir.traversal.RecursiveGraphIterator(graph):
        names.update(value.name for value in node.outputs if value.name)
        if node.name:
            names.add(node.name)
        for inner in _subgraphs(node):
            names.update(value.name for value in inner.inputs if value.name)
            names.update(inner.initializers)
    return names


def _subgraphs(node: ir.Node) -> list[ir.Graph]:
    graphs: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type is ir.AttributeType.GRAPH:
            graphs.append(attribute.as_graph())
        elif attribute.type is ir.AttributeType.GRAPHS:
            graphs.extend(attribute.as_graphs())
    return graphs
