"""What bounds a tensor in a model that was trained with fake quantization."""

import numpy as np
import onnx_ir as ir
import pytest
from support.graphs import Array, GraphBuilder

from zeropoint.engine.qat.bounds import tensor_bounds


@pytest.mark.parametrize(
    ("fill", "wanted"),
    [(None, (0.0, 6.0)), (np.array(0.0), (0.0, 6.0)), (np.array([-2.0]), (-2.0, 6.0))],
)
def test_a_pad_gives_what_it_reads_and_what_it_fills_with(
    fill: Array | None, wanted: tuple[float, float]
) -> None:
    """A constant zero was taken for one that is not known."""
    b = GraphBuilder()
    b.input("x", [1, 4])
    bounds = [b.constant(f"b{n}", np.array(v, np.float32)) for n, v in enumerate((0, 6))]
    inputs = [b.node("Clip", ["x", *bounds], "c"), b.constant("pads", np.array([0, 1, 0, 1]))]
    if fill is not None:
        inputs.append(b.constant("fill", fill.astype(np.float32)))
    b.node("Pad", inputs, "y")
    b.output("y", [1, 6])
    graph = ir.from_proto(b.model()).graph
    assert tuple(tensor_bounds(graph, ())[graph.outputs[0]]) == wanted
