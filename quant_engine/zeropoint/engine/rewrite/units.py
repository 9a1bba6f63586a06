"""A float node with the pairs around it."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, rank_of, value_at
from zeropoint.engine.number_types import INT8, INT32, UINT8
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import dequantizer_of, fits_channels, is_clamp, read_qparams
from zeropoint.engine.rewrite.qdq import clamp_implied


@dataclass(frozen=True, slots=True, eq=False)
class Dequantized:
    """What a node reads through a DequantizeLinear: its inputs, and parameters as arrays."""

    codes: ir.Value
    scale: ir.Value
    zero_point: ir.Value | None
    qparams: QParams

    @property
    def parts(self) -> tuple[ir.Value, ir.Value, ir.Value | None]:
        """Codes, scale and zero point, as the inputs of QLinear operators follow each other."""
        return self.codes, self.scale, self.zero_point

    @property
    def stored(self) -> bool:
        """Whether the codes are constant."""
        return constant(self.codes) is not None


def weight_operand(node: ir.Node) -> Dequantized | None:
    """Return the second input of a layer; None where its scales are not of output channels."""
    found = operand(node, 1)
    rank = rank_of(found.codes) if found is not None else None
    if found is None or rank is None or not fits_channels(node, found.qparams, rank):
        return None
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """The QuantizeLinear of what a node gives, with its parameters.

    Attributes:
        between: What its codes imply: a Relu or Clip before it, and nothing else.
    """

    quantize: ir.Node
    between: tuple[ir.Node, ...]
    qparams: QParams

    @property
    def parameters(self) -> tuple[ir.Value | None, ...]:
        """Scale and zero point, as the last inputs of QLinear operators."""
        return tuple(self.quantize.inputs[1:3])


def operand(node: ir.Node, index: int) -> Dequantized | None:
    """Return what a node reads as an input; None where it is not dequantized."""
    producer = dequantizer_of(input_at(node, index))
    qparams = read_qparams(producer) if producer is not None else None
    if producer is None or qparams is None or not _is_taken(qparams):
        return None
    codes, scale = value_at(producer, 0), value_at(producer, 1)
    return Dequantized(codes, scale, input_at(producer, 2), qparams)


def outputs(node: ir.Node) -> list[Output | None]:
    """Return how each result of a node is quantized."""
    return [output(value) for value in node.outputs if value.name]


def output(value: ir.Value) -> Output | None:
    """Return how a tensor is quantized; None where anything else reads it as floats."""
    graph = value.graph
    between: list[ir.Node] = []
    while True:
        uses = tuple(value.uses())
        if len(uses) != 1 or value.is_graph_output():
            return None
        ((reader, index),) = uses
        if reader.graph is not graph or index:
            return None
        if reader.op_type == "QuantizeLinear":
            break
        if between or not is_clamp(reader):
            return None
        between.append(reader)
        value = reader.outputs[0]
    qparams = read_qparams(reader)
    if qparams is None or not _is_taken(qparams) or len(reader.inputs) < 3:
        return None
    if qparams.axis is not None:
        return None
    if not all(clamp_implied(clamp, qparams) for clamp in between):
        return None
    return Output(reader, tuple(between), qparams)


def _is_taken(qparams: QParams) -> bool:
    """Whether integer operators take codes of this type; int32 is that of biases."""
    taken = qparams.number in (INT8, UINT8, INT32)
    return taken and qparams.scale.dtype == np.float32
