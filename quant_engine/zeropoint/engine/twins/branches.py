"""The twin of a node: a copy that reads the same float tensors through codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.files import INLINE_BYTES
from zeropoint.engine.graph import taken_names
from zeropoint.engine.number_types import INT32
from zeropoint.engine.numbers import QParams, dequantize, quantize

_AXIS_OPSET = 13  # of QuantizeLinear

InputKey = tuple[str, int]
"""Name of a node and index of one of its inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTwin:
    """What is fake-quantized in the twin of one node.

    Attributes:
        chain: Name of the node, then of the nodes behind it that its integer kernel takes in (a
            bias, a clamp); each reads the first output of the one before.
        inputs: Parameters of the inputs that are quantized; an int32 one is a constant. More
            channels than the first axis has are those of a matrix: all axes but the last as one.
        output: Parameters of the first output of the chain; None where it stays float.
        dynamic: Inputs whose parameters are found as the model runs.
    """

    chain: tuple[str, ...]
    inputs: Mapping[InputKey, QParams]
    output: QParams | None = None
    dynamic: frozenset[InputKey] = frozenset()


class Additions:
    """Names that collide with none of the model's, and constants.

    The graph is built as a message: tens of thousands of small nodes take a tenth of the time that
    a graph with uses takes.
    """

    def __init__(self, graph: ir.Graph) -> None:
        taken = taken_names(graph)
        self._prefix = "twin"
        while any(name.startswith(self._prefix) for name in taken):
            self._prefix += "_"
        self._count = 0
        self.knows_axis = graph.opset_imports.get("", 0) >= _AXIS_OPSET
        self.initializers: list[onnx.TensorProto] = []
        self._parameters: dict[int, tuple[str, str]] = {}
        self._scalars: dict[tuple[int, bytes], str] = {}
        # Keeps the keys of `_parameters` alive, so that no id is given twice.
        self._seen: list[QParams] = []

    def name(self, role: str) -> str:
        """Return a name that nothing else has."""
        self._count += 1
        return f"{self._prefix}/{self._count}/{role}"

    def constant(self, array: NDArray[np.generic]) -> str:
        """Add an initializer and return its name; one for all scalars that are the same."""
        kind, data = int(ir.DataType.from_numpy(array.dtype)), array.tobytes()
        if not array.shape and (kind, data) in self._scalars:
            return self._scalars[kind, data]
        name = self.name("constant")
        self.initializers.append(
            onnx.TensorProto(name=name, data_type=kind, dims=array.shape, raw_data=data)
        )
        if not array.shape:
            self._scalars[kind, data] = name
        return name

    def parameters(self, qparams: QParams) -> tuple[str, str]:
        """Return scale and zero point as initializers; one pair for each QParams object."""
        if id(qparams) not in self._parameters:
            self._seen.append(qparams)
            self._parameters[id(qparams)] = (
                self.constant(qparams.scale),
                self.constant(qparams.zero_point),
            )
        return self._parameters[id(qparams)]


@dataclass(slots=True)
class Branch:
    """The nodes of one twin and of its comparison.

    Attributes:
        nodes: Those of the graph that the twin is in.
        constants: Those that round its constants: once, in the main graph, and not in every
            iteration of a Loop.
    """

    add: Additions
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.NodeProto] = field(default_factory=list)

    def clone(
        self,
        chain: Sequence[ir.Node],
        originals: Mapping[str, tuple[onnx.NodeProto, onnx.GraphProto]],
        twin: NodeTwin,
    ) -> str:
        """Copy a chain with its quantized inputs and output; return the name of the result."""
        copied: dict[str, str] = {}
        result = ""
        for node in chain:
            copy = onnx.NodeProto()
            copy.CopyFrom(originals[node.name or ""][0])
            copy.name = self.add.name(node.op_type)
            copy.input[:] = [
                self._read(node, index, copied.get(name, name), twin)
                for index, name in enumerate(copy.input)
            ]
            outputs = [self.add.name("output") if name else "" for name in copy.output]
            copied.update(zip(copy.output, outputs, strict=True))
            copy.output[:] = outputs
            self.nodes.append(copy)
            result = outputs[first_output(node)]
        return result if twin.output is None else self._through_codes(result, twin.output)

    def compare(self, original: ir.Value, twin: str) -> tuple[str, ...]:
        """Return the five numbers that `TwinModel` gives for each twin."""
        name = original.name or ""
        if original.dtype is not ir.DataType.FLOAT:
            name, twin = self._as_float(name), self._as_float(twin)
        difference = self._node("Sub", name, twin)
        return (
            *(self._reduce("ReduceSumSquare", value) for value in (name, twin, difference)),
            self._reduce("ReduceMax", difference),
            self._reduce("ReduceMin", difference),
        )

    def _read(self, node: ir.Node, index: int, name: str, twin: NodeTwin) -> str:
        key = (node.name or "", index)
        if not name:
            return name
        if key in twin.dynamic:
            return self._through_dynamic_codes(name)
        if key not in twin.inputs:
            return name
        qparams = twin.inputs[key]
        computed_here = qparams.dtype == INT32.dtype or (
            qparams.axis is not None and not self.add.knows_axis
        )
        value = node.inputs[index]
        tensor = None if value is None else ir.convenience.get_const_tensor(value)
        if computed_here or (tensor is not None and tensor.nbytes < INLINE_BYTES):
            assert tensor is not None, name
            return self._rounded(tensor.numpy(), qparams)
        if tensor is None:
            return self._through_codes(name, qparams)
        return self._constant_through_codes(name, tensor.shape.numpy(), qparams)

    def _constant_through_codes(self, name: str, shape: Sequence[int], qparams: QParams) -> str:
        here, self.nodes = self.nodes, self.constants
        if _is_matrix(shape, qparams):
            matrix = self._reshape(name, (-1, shape[-1]))
            name = self._reshape(self._through_codes(matrix, qparams), shape)
        else:
            name = self._through_codes(name, qparams)
        self.nodes = here
        return name

    def _through_codes(self, name: str, qparams: QParams) -> str:
        parameters = self.add.parameters(qparams)
        attributes = [] if qparams.axis is None else [_integer("axis", qparams.axis)]
        codes = self._node("QuantizeLinear", name, *parameters, attributes=attributes)
        return self._node("DequantizeLinear", codes, *parameters, attributes=attributes)

    def _rounded(self, array: NDArray[np.floating], qparams: QParams) -> str:
        """Add a constant as its codes give it.

        So it must be where QuantizeLinear cannot do it: int32, and channels before opset 13.
        """
        flat = array.reshape(-1) if qparams.dtype == INT32.dtype else array  # biases are one row
        if _is_matrix(array.shape, qparams):
            flat = array.reshape(-1, array.shape[-1])
        rounded = dequantize(quantize(flat, qparams), qparams)
        return self.add.constant(rounded.reshape(array.shape))

    def _through_dynamic_codes(self, name: str) -> str:
        node = self._append("DynamicQuantizeLinear", name, outputs=3)
        return self._node("DequantizeLinear", *node.output)

    def _reshape(self, name: str, shape: Sequence[int]) -> str:
        return self._node("Reshape", name, self.add.constant(np.array(shape, np.int64)))

    def _as_float(self, name: str) -> str:
        return self._node("Cast", name, attributes=[_integer("to", ir.DataType.FLOAT.value)])

    def _reduce(self, op_type: str, name: str) -> str:
        return self._node(op_type, name, attributes=[_integer("keepdims", 0)])

    def _node(
        self, op_type: str, *inputs: str, attributes: Sequence[onnx.AttributeProto] = ()
    ) -> str:
        name: str = self._append(op_type, *inputs, attributes=attributes).output[0]
        return name

    def _append(
        self,
        op_type: str,
        *inputs: str,
        outputs: int = 1,
        attributes: Sequence[onnx.AttributeProto] = (),
    ) -> onnx.NodeProto:
        node = onnx.NodeProto(
            op_type=op_type,
            name=self.add.name(op_type),
            input=inputs,
            output=[self.add.name("output") for _ in range(outputs)],
            attribute=attributes,
        )
        self.nodes.append(node)
        return node


def _integer(name: str, value: int) -> onnx.AttributeProto:
    return onnx.AttributeProto(name=name, type=onnx.AttributeProto.INT, i=value)


def first_output(node: ir.Node) -> int:
    """Return which output of a node is the first that it gives."""
    return next(index for index, value in enumerate(node.outputs) if value.name)


def _is_matrix(shape: Sequence[int], qparams: QParams) -> bool:
    return qparams.axis == 0 and qparams.scale.size > shape[0] and qparams.dtype != INT32.dtype
