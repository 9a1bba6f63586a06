"""A model is read without its weights, and gets them back."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from support.graphs import GraphBuilder

from zeropoint.engine.wire import embed, skeleton


def _model(folder: Path) -> Path:
    b = GraphBuilder()
    b.input("x", ["N", 300])
    b.node("MatMul", ["x", b.weight("large", 300, 40)], "wide")
    b.output(b.node("Reshape", ["wide", b.constant("shape", np.array([-1, 20]))], "y"))
    return b.save(folder)


def test_weights_are_left_where_they_are(tmp_path: Path) -> None:
    path = _model(tmp_path)
    found = skeleton(path)
    assert found.ByteSize() < 1000
    large, small = found.graph.initializer
    assert list(large.dims) == [300, 40]
    assert numpy_helper.to_array(small).tolist() == [-1, 20]
    whole = onnx.load(path)
    told = {entry.key: entry.value for entry in large.external_data}
    begin, length = int(told["offset"]), int(told["length"])
    assert path.read_bytes()[begin : begin + length] == whole.graph.initializer[0].raw_data
    embed(found, path)
    assert found == whole


def test_what_is_external_already_stays_that(tmp_path: Path) -> None:
    path = tmp_path / "external.onnx"
    model = onnx.load(_model(tmp_path))
    onnx.save(model, path, save_as_external_data=True, location="data", size_threshold=1024)
    found = skeleton(path)
    before = onnx.load(path, load_external_data=False)
    assert found == before
    embed(found, path)
    assert found == before
