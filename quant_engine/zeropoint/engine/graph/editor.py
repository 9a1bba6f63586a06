"""Changing a graph, under names that collide with none of the user's."""

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph.node_origins import add_origins, origins
from zeropoint.engine.graph.values import array_of, graph_of, name_of, tell_of, values_of
from zeropoint.engine.numbers import QParams, quantize

_CONTRIB = "com.microsoft"
_QDQ = ("QuantizeLinear", "DequantizeLinear")


class GraphEditor:
    """Changes one model, in place: its main graph, and bodies inside of that.

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
        # QuantizeLinear and DequantizeLinear of each pair that was added.
        self.pairs: list[tuple[ir.Node, ir.Node]] = []
        self._weights = weights
        self._qdq_domain = _CONTRIB if contrib_qdq else ""
        if contrib_qdq:
            graph.opset_imports.setdefault(self._qdq_domain, 1)
        self._taken = taken_names(graph)
        self._codes: dict[tuple[Hashable, ...], ir.Value] = {}
        self._parameters: dict[tuple[QParams, ir.Graph], tuple[ir.Value, ir.Value]] = {}

    # New nodes and constants

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
        like: ir.Value | None = None,
        attributes: Mapping[str, int | Sequence[int] | None] | None = None,
        contrib: bool = False,
    ) -> ir.Node:
        """Return a new node named after `name` and its operator; it is not inserted yet.

        Its first output has the type and shape of `like`. Attributes that are None are left out.
        With `contrib`, the operator is one of com.microsoft.
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
        if like is not None:
            node.outputs[0].type, node.outputs[0].shape = like.type, like.shape
        return node

    def pair(
        self, value: ir.Value, parameters: Sequence[ir.Value | None], codes: ir.TypeProtocol | None
    ) -> tuple[ir.Node, ir.Node]:
        """Return a new QuantizeLinear of a value and its DequantizeLinear; not inserted yet.

        Parameters are scale and zero point; `codes` is the type of what lies between.
        """
        name = name_of(value)
        first = self.node("QuantizeLinear", (value, *parameters), name, like=value)
        first.outputs[0].type = codes
        read = (first.outputs[0], *parameters)
        self.pairs.append((first, self.node("DequantizeLinear", read, name, like=value)))
        return self.pairs[-1]

    def constant(
        self, name: str, array: NDArray[np.generic], graph: ir.Graph | None = None
    ) -> ir.Value:
        """Add an initializer, to the main graph where no other is given."""
        value = ir.Value(name=self.unique(name))
        self.set_array(value, array)
        (self.graph if graph is None else graph).register_initializer(value)
        return value

    def set_array(self, value: ir.Value, array: NDArray[np.generic]) -> None:
        """Let a value be this constant."""
        # `ir.tensor` would ask of what kind the array is, for longer than all the rest takes.
        tensor: ir.TensorProtocol = ir.Tensor(array, name=value.name)
        if self._weights is not None:
            tensor = self._weights.store(tensor)
        value.const_value, value.shape = tensor, ir.Shape(array.shape)
        value.type = ir.TensorType(tensor.dtype)

    def parameters(
        self, name: str, qparams: QParams, graph: ir.Graph | None = None
    ) -> tuple[ir.Value, ir.Value]:
        """Return scale and zero point as initializers; one pair for a QParams object in a graph."""
        key = qparams, graph if graph is not None else self.graph
        if key not in self._parameters:
            self._parameters[key] = (
                self.constant(f"{name}_scale", qparams.scale, graph),
                self.constant(f"{name}_zero_point", qparams.zero_point, graph),
            )
        return self._parameters[key]

    def codes(
        self, value: ir.Value, qparams: QParams, *, rows: bool = False, transposed: bool = False
    ) -> ir.Value:
        """Return the codes of a constant, stored once for all that read it with the same ones.

        With `rows`, the parameters are those of a matrix: all axes but the last as one. With
        `transposed`, the last two of three axes are exchanged.
        """
        key = (value, qparams.content, transposed)
        if key not in self._codes:
            array = array_of(value)
            matrix = array.reshape(-1, array.shape[-1]) if rows else array
            codes = quantize(matrix, qparams).reshape(array.shape)
            if transposed:
                codes = np.ascontiguousarray(codes.transpose(0, 2, 1))
            self._codes[key] = self.constant(f"{value.name}_quantized", codes)
        return self._codes[key]

    def dequantizer(self, name: str, codes: ir.Value, qparams: QParams) -> ir.Node:
        """Return a new DequantizeLinear of codes, with its parameters; not inserted yet."""
        read, attributes = (codes, *self.parameters(name, qparams)), {"axis": qparams.axis}
        node = self.node("DequantizeLinear", read, name, like=codes, attributes=attributes)
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        return node

    # Where they go

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

    def put_behind(
        self, value: ir.Value, *nodes: ir.Node, readers: Iterable[tuple[ir.Node, int]] | None = None
    ) -> ir.Value:
        """Insert new nodes behind `value`, which the first one reads, in its graph.

        The first output of the last one, which is returned, is read instead: by the readers given,
        or by all others, and by those who run the graph, if `value` is one of its outputs.
        """
        result = nodes[-1].outputs[0]
        self.insert_behind(value, graph_of(value), *nodes)
        if readers is None:
            readers = [use for use in value.uses() if use.node not in nodes]
            self.take_output(value, result)
        for node, index in readers:
            node.replace_input_with(index, result)
        return result

    def replace(self, node: ir.Node, *new: ir.Node) -> None:
        """Put new nodes in the place of one; they stand for the same nodes of the user's.

        Those that are in its graph already stay where they are. The last one has its outputs.
        """
        graph = graph_of(node)
        graph.insert_before(node, [each for each in new if each.graph is None])
        for old, output in zip(node.outputs, new[-1].outputs, strict=True):
            output.type, output.shape = old.type, old.shape
            tell_of(output, old)
            output.name = output.name if old.name else ""
            self.take_output(old, output)
            old.replace_all_uses_with(output)
        for each in new:
            add_origins(each, origins(node))
        graph.remove(node, safe=True)

    def take_output(self, value: ir.Value, replacement: ir.Value) -> None:
        """Where `value` is an output of its graph, make `replacement` that output, by its name.

        Inputs that are outputs as well stay that.
        """
        graph = value.graph
        if graph is None or not value.is_graph_output() or value.is_graph_input():
            return
        for index, output in enumerate(graph.outputs):
            if output is value:
                name = name_of(value)
                value.name = self.unique(f"{name}_float")
                replacement.name = name
                tell_of(replacement, value)
                graph.outputs[index] = replacement

    def remove_unused_constants(self) -> None:
        """Drop initializers that nothing reads."""
        for name, value in tuple(self.graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                del self.graph.initializers[name]


def set_input(node: ir.Node, index: int, value: ir.Value | None) -> None:
    """Let a node read a value, as an input that it may not have had."""
    if len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def taken_names(graph: ir.Graph) -> set[str]:
    """Return the names of all values and nodes of a graph and of those inside its nodes."""
    graphs = (graph, *graph.subgraphs())
    items = (item for inner in graphs for item in (*values_of(inner), *inner))
    return {item.name for item in items if item.name}
