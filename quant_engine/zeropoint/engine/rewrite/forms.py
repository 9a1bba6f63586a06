"""Integer operators in the place of float ones: codes in, int32 out, rescaled to floats.

    y = x W      becomes   MatMulInteger(codes of x, of W) -> Cast -> Mul(product of the scales)

and likewise Conv with ConvInteger; Gemm with its factors. A bias is added behind. The sum of
products is exact; it is rounded to float32 once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import GraphEditor, constant, graph_of, input_at, name_of, rank_of
from zeropoint.engine.numbers import unsigned_codes
from zeropoint.engine.operators import Trait, has, layout_of


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """What an integer operator multiplies.

    Attributes:
        codes: The integers.
        scale: Of one tensor, or of the channels of a weight; a value where it is known only as the
            model runs.
        zero_point: None where it is zero.
    """

    codes: ir.Value
    scale: ir.Value | NDArray[np.floating]
    zero_point: ir.Value | None


class Chain:
    """The nodes that take the place of one, in front of which they are inserted."""

    def __init__(self, edit: GraphEditor, node: ir.Node) -> None:
        self._edit = edit
        self._new: list[ir.Node] = []
        self.node = node
        self.name = name_of(node)

    @property
    def value(self) -> ir.Value:
        """What the chain gives so far."""
        return self._new[-1].outputs[0]

    def add(
        self, op_type: str, *inputs: ir.Value | None, attributes: Mapping[str, int] | None = None
    ) -> ir.Node:
        """Append a node to the chain."""
        self._new.append(self._insert(op_type, inputs, attributes))
        return self._new[-1]

    def side(self, op_type: str, *inputs: ir.Value | None) -> ir.Value:
        """Insert a node that an input of the chain comes from."""
        return self._insert(op_type, inputs, None).outputs[0]

    def constant(self, name: str, array: NDArray[np.generic] | np.generic) -> ir.Value:
        """Add an initializer."""
        return self._edit.constant(name, np.asarray(array))

    def _insert(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, int] | None
    ) -> ir.Node:
        new = self._edit.node(op_type, inputs, self.name, attributes=attributes)
        graph_of(self.node).insert_before(self.node, new)
        return new

    def replace(self) -> None:
        """Put the chain in the place of the node."""
        self._edit.replace(self.node, *self._new)


def write_integer(edit: GraphEditor, node: ir.Node, data: Operand, weight: Operand) -> None:
    """Put integer operators in the place of a node, which `INTEGER` lists."""
    chain = Chain(edit, node)
    INTEGER[node.op_type](chain, data, weight)
    chain.replace()


def kernel_weight(
    node: ir.Node, codes: NDArray[np.generic], zero_point: NDArray[np.generic]
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return codes and the zero point of a weight as integer operators take them.

    Those of a Conv are moved by 128 to uint8, which stands for the same numbers: ONNX Runtime 1.32
    on x86 has a fast kernel for ConvInteger with uint8 weights only; with int8 ones it took four to
    seven times as long.
    """
    zero_point = np.asarray(zero_point.reshape(-1)[0])
    if has(node, Trait.CONVOLVES):
        return unsigned_codes(codes), unsigned_codes(zero_point)
    layout = layout_of(node, codes.ndim)
    turned = layout is not None and layout.transposed
    return np.ascontiguousarray(codes.T) if turned else codes, zero_point


def _conv(chain: Chain, data: Operand, weight: Operand) -> None:
    read = (data.codes, weight.codes, data.zero_point, weight.zero_point)
    chain.add("ConvInteger", *read).attributes.update(chain.node.attributes)
    row = (-1, *(1,) * ((rank_of(weight.codes) or 0) - 2))
    _rescale(chain, data, weight, row=row)
    bias = input_at(chain.node, 2)
    if bias is None:
        return
    array = constant(bias)
    if array is not None:
        bias = chain.constant(f"{bias.name}_row", array.reshape(row))
    else:
        shape = chain.constant(f"{bias.name}_shape", np.array(row, np.int64))
        bias = chain.side("Reshape", bias, shape)
    chain.add("Add", chain.value, bias)


def _multiply(chain: Chain, data: Operand, weight: Operand) -> None:
    """Write a MatMul, or a Gemm whose operands are turned already."""
    alpha, beta = (chain.node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    chain.add("MatMulInteger", data.codes, weight.codes, data.zero_point, weight.zero_point)
    _rescale(chain, data, weight, alpha=alpha)
    bias = input_at(chain.node, 2)
    if bias is None:
        return
    if beta != 1.0:
        bias = chain.side("Mul", bias, chain.constant("beta", np.float32(beta)))
    chain.add("Add", chain.value, bias)


def _rescale(
    chain: Chain,
    data: Operand,
    weight: Operand,
    *,
    row: tuple[int, ...] | None = None,
    alpha: float = 1.0,
) -> None:
    """Multiply sums with both scales; those of channels in the shape of a row."""
    chain.add("Cast", chain.value, attributes={"to": int(ir.DataType.FLOAT)})
    scale, factor = weight.scale, np.float32(alpha)
    if isinstance(scale, np.ndarray) and scale.ndim and row is not None:
        scale = scale.reshape(row)
    if isinstance(scale, ir.Value):
        assert isinstance(data.scale, ir.Value), chain.name
        product = chain.side("Mul", data.scale, scale)
    elif isinstance(data.scale, ir.Value):
        known = chain.constant(f"{chain.name}_weight_scale", scale * factor)
        product = chain.side("Mul", data.scale, known)
    else:
        product = chain.constant(f"{chain.name}_scale", data.scale * scale * factor)
    chain.add("Mul", chain.value, product)


INTEGER: Mapping[str, Callable[[Chain, Operand, Operand], None]] = {
    "Conv": _conv,
    "Gemm": _multiply,
    "MatMul": _multiply,
}
"""How each operator is written that has an integer form."""
