"""The error that quantizing each node causes by itself.

One float graph in which every quantized node has a twin: a copy that reads the same float tensors
through QuantizeLinear and DequantizeLinear. Both results are compared within the graph, so only a
few numbers of each node leave it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from zeropoint.engine.edit import GraphEditor
from zeropoint.engine.job import Batch
from zeropoint.engine.qparams import QParams, dequantize, quantize
from zeropoint.engine.report import NodeFigures
from zeropoint.engine.sessions import Session
from zeropoint.engine.similarity import Sums

_AXIS_OPSET = 13  # of QuantizeLinear

InputKey = tuple[str, int]
"""Name of a node and index of one of its inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTwin:
    """What is fake-quantized in the twin of one node.

    Attributes:
        chain: Name of the node, then of the nodes behind it that its integer kernel takes in (a
            bias, a clamp); each reads the first output of the one before.
        inputs: Parameters of the inputs that are quantized; an int32 one is a constant.
        output: Parameters of the first output of the chain; None where it stays float.
        dynamic: Inputs whose parameters are found as the model runs.
    """

    chain: tuple[str, ...]
    inputs: Mapping[InputKey, QParams]
    output: QParams | None = None
    dynamic: frozenset[InputKey] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinNode:
    """Where the numbers of one node come out.

    Attributes:
        name: Name of the node, for the user.
        op_type: Its operator.
        outputs: Outputs of the model, float32 scalars: sum of squares of the float result, of the
            twin's, of their difference, and the greatest absolute difference.
    """

    name: str
    op_type: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinModel:
    """A model with twins, on disk.

    Attributes:
        path: The ONNX file.
        nodes: Its twins in graph order.
    """

    path: Path
    nodes: tuple[TwinNode, ...]


def build_twins(
    model: ir.Model,
    twins: Sequence[NodeTwin],
    path: Path,
    name_of: Callable[[ir.Node], str],
) -> TwinModel:
    """Write a copy of a float model with twins.

    Args:
        model: The prepared float model; it is not changed.
        twins: The nodes, in graph order; they stand in the main graph.
        path: Where to write; in the folder that holds the model's external data.
        name_of: Returns the user's name of a node of `model`.
    """
    names = {node.name or "": name_of(node) for node in model.graph}
    copy = model.clone()
    built = _build(copy.graph, twins, names)
    RemoveUnusedNodesPass()(copy)
    ir.save(copy, path)
    return TwinModel(path=path, nodes=built)


def run_twins(twins: TwinModel, batches: Iterable[Batch], threads: int) -> tuple[NodeFigures, ...]:
    """Run a model with twins and return its figures, worst first.

    Args:
        twins: The model.
        batches: Inputs to run it on.
        threads: Threads of one operator.

    Returns:
        One entry for each node, without those whose values are not finite, or too large to be
        squared in float32, in every batch.

    Raises:
        RuntimeRefusal: the model does not load or run.
    """
    session = Session(twins.path, threads=threads, as_written=True)
    names = [name for node in twins.nodes for name in node.outputs]
    sums: list[Sums | None] = [None] * len(twins.nodes)
    for batch in batches:
        numbers = np.asarray(session.run(batch, names), np.float64).reshape(len(sums), -1)
        for index in np.flatnonzero(np.isfinite(numbers).all(axis=1)):
            sums[index] = (sums[index] or Sums()) + _sums(*numbers[index].tolist())
    figures = [
        NodeFigures(name=node.name, op_type=node.op_type, similarity=total.similarity)
        for node, total in zip(twins.nodes, sums, strict=True)
        if total is not None
    ]
    return tuple(sorted(figures, key=lambda node: node.similarity.sqnr_db))


def _sums(signal: float, result: float, noise: float, peak: float) -> Sums:
    cross = (signal + result - noise) / 2
    return Sums(signal=signal, result=result, cross=cross, noise=noise, peak=peak)


def _build(
    graph: ir.Graph, twins: Sequence[NodeTwin], names: Mapping[str, str]
) -> tuple[TwinNode, ...]:
    nodes = {node.name or "": node for node in graph}
    edit = GraphEditor(graph)
    graph.outputs.clear()
    branches, built = [], []
    for twin in twins:
        branch = _Branch(edit, f"twin/{twin.chain[0]}")
        chain = [nodes[name] for name in twin.chain]
        numbers = branch.compare(chain[-1].outputs[0], branch.clone(chain, twin))
        graph.outputs.extend(numbers)
        branches.append(branch.nodes)
        outputs = tuple(number.name or "" for number in numbers)
        first = chain[0]
        built.append(TwinNode(name=names[twin.chain[0]], op_type=first.op_type, outputs=outputs))
    # ONNX Runtime visits the ends of a graph from the last one in the file to the first, and runs
    # what each needs: written the other way round, each twin runs as soon as it can, and no more
    # float tensors are held than without twins.
    for branch_nodes in reversed(branches):
        graph.extend(branch_nodes)
    return tuple(built)


@dataclass(slots=True)
class _Branch:
    """The nodes of one twin and of its comparison."""

    edit: GraphEditor
    name: str
    nodes: list[ir.Node] = field(default_factory=list)

    def clone(self, chain: Sequence[ir.Node], twin: NodeTwin) -> ir.Value:
        """Copy a chain with its quantized inputs and output; return the result."""
        copied: dict[ir.Value | None, ir.Value] = {}
        for node in chain:
            inputs = [
                self._read(node, index, copied.get(value, value), twin)
                for index, value in enumerate(node.inputs)
            ]
            copy = self._append(
                ir.Node(
                    node.domain,
                    node.op_type,
                    inputs,
                    list(node.attributes.values()),
                    num_outputs=len(node.outputs),
                )
            )
            copied.update(zip(node.outputs, copy.outputs, strict=True))
            result, original = copy.outputs[0], node.outputs[0]
            result.type, result.shape = original.type, original.shape
        return result if twin.output is None else self._through_codes(result, twin.output)

    def compare(self, original: ir.Value, twin: ir.Value) -> tuple[ir.Value, ...]:
        """Return the sums that `TwinNode.outputs` lists."""
        if original.dtype is not ir.DataType.FLOAT:
            original, twin = self._as_float(original), self._as_float(twin)
        difference = self._node("Sub", original, twin)
        numbers = [
            *(self._reduce("ReduceSumSquare", value) for value in (original, twin, difference)),
            self._reduce("ReduceMax", self._node("Abs", difference)),
        ]
        return tuple(numbers)

    def _read(
        self, node: ir.Node, index: int, value: ir.Value | None, twin: NodeTwin
    ) -> ir.Value | None:
        key = (node.name or "", index)
        if value is None:
            return None
        if key in twin.dynamic:
            return self._through_dynamic_codes(value)
        if key in twin.inputs:
            return self._through_codes(value, twin.inputs[key])
        return value

    def _through_codes(self, value: ir.Value, qparams: QParams) -> ir.Value:
        if qparams.dtype == np.int32 or (qparams.axis is not None and not self._knows_axis()):
            return self._constant_through_codes(value, qparams)
        parameters = self.edit.parameters(self.name, qparams)
        attributes = [] if qparams.axis is None else [ir.AttrInt64("axis", qparams.axis)]
        codes = self._node("QuantizeLinear", value, *parameters, attributes=attributes)
        return self._node("DequantizeLinear", codes, *parameters, attributes=attributes)

    def _constant_through_codes(self, value: ir.Value, qparams: QParams) -> ir.Value:
        """Compute here what QuantizeLinear cannot: int32, and channels before opset 13."""
        tensor = ir.convenience.get_const_tensor(value)
        assert tensor is not None, value.name
        array: NDArray[np.floating] = tensor.numpy()
        flat = array.reshape(-1) if qparams.dtype == np.int32 else array  # biases are one row
        rounded = dequantize(quantize(flat, qparams), qparams)
        return self.edit.constant(f"{self.name}/rounded", rounded.reshape(array.shape))

    def _knows_axis(self) -> bool:
        return self.edit.graph.opset_imports.get("", 0) >= _AXIS_OPSET

    def _through_dynamic_codes(self, value: ir.Value) -> ir.Value:
        node = self._append(ir.Node("", "DynamicQuantizeLinear", [value], num_outputs=3))
        return self._node("DequantizeLinear", *node.outputs)

    def _as_float(self, value: ir.Value) -> ir.Value:
        to = ir.AttrInt64("to", ir.DataType.FLOAT.value)
        return self._node("Cast", value, attributes=[to])

    def _reduce(self, op_type: str, value: ir.Value) -> ir.Value:
        result = self._node(op_type, value, attributes=[ir.AttrInt64("keepdims", 0)])
        result.type, result.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
        return result

    def _node(
        self, op_type: str, *inputs: ir.Value, attributes: Sequence[ir.Attr] = ()
    ) -> ir.Value:
        return self._append(ir.Node("", op_type, inputs, attributes)).outputs[0]

    def _append(self, node: ir.Node) -> ir.Node:
        node.name = self.edit.unique(f"{self.name}/{node.op_type}")
        for output in node.outputs:
            output.name = self.edit.unique(f"{node.name}_Output")
        self.nodes.append(node)
        return node
