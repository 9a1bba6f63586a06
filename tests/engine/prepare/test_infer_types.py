"""Shapes that inference knows, and those that it makes up."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.engine import quantize, run, sqnr_db
from support.graphs import GraphBuilder

from zeropoint.engine import DynamicOptions, PostTrainingOptions, StaticOptions

BATCHES = [
    {"x": np.random.default_rng(i).standard_normal((2, 24)).astype(np.float32)} for i in range(4)
]


def parts() -> GraphBuilder:
    """A layer whose result is split into a sequence of unequal parts, which are used one by one."""
    b = GraphBuilder(17)
    b.input("x", ["N", 24])
    b.node("MatMul", ["x", b.weight("w", 24, 12)], "h")
    b.node("SplitToSequence", ["h", b.constant("sizes", np.array([3, 8, 1]))], "all", axis=1)
    for index, size in enumerate((3, 8, 1)):
        b.node("SequenceAt", ["all", b.constant(f"at{index}", np.array(index))], f"p{index}")
        b.node("MatMul", [f"p{index}", b.weight(f"w{index}", size, 4)], f"y{index}")
    b.node("Sum", ["y0", "y1", "y2"], "y")
    b.output("y", ["N", 4])
    return b


@pytest.mark.parametrize("options", [StaticOptions(), DynamicOptions()])
def test_elements_of_a_sequence_have_shapes_of_their_own(
    tmp_path: Path, workspace: Path, options: PostTrainingOptions
) -> None:
    source = parts().save(tmp_path)
    batches = BATCHES if isinstance(options, StaticOptions) else []
    result = quantize(source, batches, options, workspace)
    for optimize in (True, False):
        found = run(result.path, BATCHES[0], optimize=optimize)[0]
        assert sqnr_db(run(source, BATCHES[0])[0], found) > 30


def test_symbols_of_the_result_are_those_of_the_file(tmp_path: Path, workspace: Path) -> None:
    b = GraphBuilder(17)
    b.input("x", ["batch", 24])
    b.node("MatMul", ["x", b.weight("w", 24, 12)], "h")
    b.node("NonZero", ["h"], "where")
    b.node("Cast", ["where"], "floats", to=TensorProto.FLOAT)
    b.node("MatMul", [b.weight("v", 5, 2), "floats"], "y")
    b.output("y", [5, "found"])
    result = quantize(b.save(tmp_path), BATCHES, StaticOptions(), workspace)
    graph = onnx.load(result.path).graph
    infos = (*graph.value_info, *graph.input, *graph.output)
    sizes = (size for info in infos for size in info.type.tensor_type.shape.dim)
    assert {size.dim_param for size in sizes if size.dim_param} <= {"batch", "found"}
