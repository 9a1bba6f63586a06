"""Hard-swish as products of codes: y = x * h, h = clip(x / 6 + 1 / 2, 0, 1).

The codes of x, clipped, are those of h (see `numbers.hard_swish`); a DequantizeLinear of its own
reads them, and the product becomes an integer kernel:

    codes of x -> DequantizeLinear ---------> Mul -> QuantizeLinear
               -> Clip -> DequantizeLinear ->

Where h would have a negative zero point, LeakyRelu with alpha=1 between a DequantizeLinear of x / 6
and a QuantizeLinear of h - 1 / 2 gives its codes, by a table of ONNX Runtime's.
"""

import numpy as np
import onnx_ir as ir

from zeropoint.engine.graph import graph_of, input_at, name_of, value_at
from zeropoint.engine.number_types import UINT8
from zeropoint.engine.numbers import BEND, QParams
from zeropoint.engine.operators import dequantizer_of, read_qparams
from zeropoint.engine.rewrite.work import Work

_LAST = UINT8.limits.high
_HALF = 127  # the code of 1 / 2 where 254 is that of 1


def write_gates(work: Work) -> None:
    """Write each hard-swish whose input and output are uint8 codes as a product, in place."""
    for quant in work.plan.nodes.values():
        if quant.gate and quant.output is not None:
            _write(work, work.nodes[quant.node], work.parameters.tensors[quant.output])


def _write(work: Work, node: ir.Node, result: QParams) -> None:
    read = dequantizer_of(input_at(node, 0))
    qparams = read_qparams(read) if read is not None else None
    if read is None or qparams is None or result.number is not UINT8:
        return
    if qparams.number is not UINT8 or qparams.axis is not None:
        return
    steps, zero_point = round(BEND / float(qparams.scale)), int(qparams.zero_point)
    codes = value_at(read, 0)
    if 0 < steps <= zero_point:
        gate = _clipped(work, node, codes, zero_point - steps, steps)
    else:
        gate = _looked_up(work, node, codes, qparams)
    node.op_type = "Mul"
    node.resize_inputs(2)
    node.replace_input_with(1, gate)


def _clipped(work: Work, node: ir.Node, codes: ir.Value, first: int, steps: int) -> ir.Value:
    """Return h from codes of which `first` stands for 0, and that plus 2 * `steps` for 1."""
    name, last = name_of(node), min(first + 2 * steps, _LAST)
    low, high = (
        work.edit.constant(f"{name}_{which}", np.array(code, UINT8.dtype))
        for which, code in (("first", first), ("last", last))
    )
    clip = work.edit.node("Clip", (codes, low, high), name, like=codes)
    clip.outputs[0].type = ir.TensorType(ir.DataType.UINT8)
    graph_of(node).insert_before(node, clip)
    return _read(work, node, clip.outputs[0], _grid(1 / (2 * steps), first))


def _looked_up(work: Work, node: ir.Node, codes: ir.Value, qparams: QParams) -> ir.Value:
    """Return h by a table of the codes of x."""
    name, edit = name_of(node), work.edit
    sixth = _grid(float(qparams.scale) / (2 * BEND), int(qparams.zero_point))
    value = _read(work, node, codes, sixth)
    same = edit.node("LeakyRelu", (value,), name, like=value)
    same.attributes["alpha"] = ir.AttrFloat32("alpha", 1.0)
    grid = edit.parameters(name, _grid(1 / (2 * _HALF), _HALF))
    table = edit.node("QuantizeLinear", (*same.outputs, *grid), name, like=value)
    table.outputs[0].type = ir.TensorType(ir.DataType.UINT8)
    graph_of(node).insert_before(node, (same, table))
    if (_LAST - int(qparams.zero_point)) * float(qparams.scale) > BEND:
        return _clipped(work, node, table.outputs[0], 0, _HALF)
    return _read(work, node, table.outputs[0], _grid(1 / (2 * _HALF), 0))


def _read(work: Work, node: ir.Node, codes: ir.Value, grid: QParams) -> ir.Value:
    """Return codes as floats, by a node before the one given."""
    read = work.edit.dequantizer(name_of(node), codes, grid)
    graph_of(node).insert_before(node, read)
    return read.outputs[0]


def _grid(scale: float, zero_point: int) -> QParams:
    return QParams(np.array(scale, np.float32), np.array(zero_point, UINT8.dtype))
