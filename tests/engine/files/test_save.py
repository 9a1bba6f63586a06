"""Writing models: the same bytes each time, in one file or two."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from support import models
from support.engine import run
from support.graphs import GraphBuilder, residual

from zeropoint.engine.files import save_model
from zeropoint.engine.load import load_model

X = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)


def loaded(path: Path, workspace: Path) -> ir.Model:
    workspace.mkdir()
    return load_model(path, workspace).model


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_one_file_or_two(limit: int, tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    model = loaded(source, tmp_path / "workspace")
    files = save_model(model, tmp_path / "new" / "out" / "result.onnx", inline_limit=limit)
    names = ["result.onnx"] if limit else ["result.onnx", "result.onnx.data"]
    assert [file.name for file in files] == names
    assert sorted(file.name for file in files[0].parent.iterdir()) == names
    onnx.checker.check_model(files[0], full_check=True)
    assert np.array_equal(run(files[0], {"x": X})[0], run(source, {"x": X})[0])


def test_the_same_model_gives_the_same_bytes_and_is_not_changed(tmp_path: Path) -> None:
    first = loaded(models.classifier(), tmp_path / "one")
    second = loaded(models.classifier(), tmp_path / "two")
    tensors = [value.const_value for value in first.graph.initializers.values()]
    contents = []
    for number, model in enumerate((first, second, first)):
        (path,) = save_model(model, tmp_path / f"{number}.onnx")
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] == contents[2]
    assert [value.const_value for value in first.graph.initializers.values()] == tensors


def test_weights_in_memory_and_in_attributes_are_written_too(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [300])
    big = numpy_helper.from_array(np.full(300, 2.0, np.float32), "k")
    b.nodes.append(helper.make_node("Constant", [], ["k"], value=big))
    b.node("Add", ["x", b.weight("w", 300)], "y")
    b.output("k")
    b.output("y")
    model = loaded(b.save(tmp_path), tmp_path / "workspace")
    value = model.graph.initializers["w"]
    value.const_value = ir.Tensor(np.full(300, 3.0, np.float32), name="w")
    for limit in (0, 1 << 30):
        files = save_model(model, tmp_path / f"{limit}" / "m.onnx", inline_limit=limit)
        k, y = run(files[0], {"x": np.ones(300, np.float32)})
        assert set(k) == {2.0}
        assert set(y) == {4.0}
    assert isinstance(value.const_value, ir.Tensor)


def test_packed_integers_keep_their_packing(tmp_path: Path) -> None:
    values = np.arange(-8, 8, dtype=np.int8).repeat(256)
    tensor = ir.PackedTensor(
        ((values[1::2] << 4) | (values[::2] & 0xF)).astype(np.uint8),
        ir.DataType.INT4,
        shape=ir.Shape([4096]),
        name="w",
    )
    w = ir.Value(
        name="w", type=ir.TensorType(tensor.dtype), shape=ir.Shape([4096]), const_value=tensor
    )
    node = ir.node("Cast", [w], attributes={"to": 6}, name="cast")
    node.outputs[0].name = "y"
    node.outputs[0].type = ir.TensorType(ir.DataType.INT32)
    node.outputs[0].shape = ir.Shape([4096])
    graph = ir.Graph(
        [], node.outputs, nodes=[node], initializers=[w], opset_imports={"": 21}, name="g"
    )
    (path,) = save_model(ir.Model(graph, ir_version=10), tmp_path / "m.onnx")
    (y,) = run(path, {})
    assert np.array_equal(y, values)


def test_without_large_tensors_there_is_one_file(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [2])
    b.node("Relu", ["x"], "y")
    b.output("y")
    model = loaded(b.save(tmp_path), tmp_path / "workspace")
    (path,) = save_model(model, tmp_path / "m.onnx")
    assert run(path, {"x": np.array([-1, 1], np.float32)})[0].tolist() == [0, 1]
