"""The scan for external data finds what onnx puts there, and reads next to nothing."""

import contextlib
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from zeropoint.client import ModelError
from zeropoint.client.external_data import external_tensors
from zeropoint.client.model_files import open_model


def external(name: str, location: str) -> TensorProto:
    """A tensor of one float that stands in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "4"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def inline(name: str, size: int = 3) -> TensorProto:
    return numpy_helper.from_array(np.ones(size, np.float32), name)


def found(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.location for tensor in external_tensors(path)}


def test_every_place_of_a_model_is_searched(tmp_path: Path) -> None:
    branch = helper.make_graph([], "branch", [], [], [external("in_subgraph", "sub/f")])
    sparse = onnx.SparseTensorProto(values=external("values", "d"), indices=external("idx", "e"))
    sparse_attribute = helper.make_attribute("s", sparse)
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=branch),
        helper.make_node("Constant", [], ["k"], value=external("in_attribute", "b")),
        helper.make_node("Custom", [], ["z"], values=[external("in_list", "c")]),
        helper.make_node("Custom", [], ["w"]),
    ]
    nodes[-1].attribute.append(sparse_attribute)
    graph = helper.make_graph(nodes, "g", [], [], [external("weight", "a"), inline("bias")])
    graph.sparse_initializer.append(sparse)
    function_node = helper.make_node("Constant", [], ["k"], value=external("in_function", "g"))
    function = helper.make_function(
        "local", "f", [], ["k"], [function_node], [helper.make_opsetid("", 17)]
    )
    model = helper.make_model(graph, functions=[function])
    model.training_info.add().algorithm.initializer.append(external("in_training", "h"))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert found(path) == {
        "weight": "a",
        "in_attribute": "b",
        "in_list": "c",
        "values": "d",
        "idx": "e",
        "in_subgraph": "sub/f",
        "in_function": "g",
        "in_training": "h",
    }


def test_what_onnx_saves_is_found(tmp_path: Path) -> None:
    graph = helper.make_graph([], "g", [], [], [inline("w", 1000), inline("small")])
    path = tmp_path / "model.onnx"
    onnx.save(
        helper.make_model(graph),
        path,
        save_as_external_data=True,
        location="model.data",
        size_threshold=1024,
    )
    assert found(path) == {"w": "model.data"}
    with open_model(path) as files:
        assert [file.name for file in files] == ["model.onnx", "model.data"]
        assert files[1].size == (tmp_path / "model.data").stat().st_size


def test_location_of_an_inline_tensor_counts_for_nothing(tmp_path: Path) -> None:
    tensor = inline("w")
    tensor.external_data.add(key="location", value="leftover")
    path = tmp_path / "model.onnx"
    path.write_bytes(
        helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString()
    )
    assert found(path) == {}


def test_weights_are_not_read(tmp_path: Path) -> None:
    """A tensor of 4 GB, in a sparse file: ModelProto{graph{initializer{raw_data, name}}}."""
    size = 4 << 30

    def varint(value: int) -> bytes:
        groups = [(value >> shift) & 0x7F | 0x80 for shift in range(0, 42, 7)]
        return bytes([*groups[:-1], groups[-1] & 0x7F])

    def lead(field: int, length: int) -> bytes:
        return bytes([field << 3 | 2]) + varint(length)

    raw = lead(9, size)
    tail = external("w", "far").SerializeToString()
    tensor = lead(5, len(raw) + size + len(tail))
    head = lead(7, len(tensor) + len(raw) + size + len(tail)) + tensor + raw
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.write(head)
        file.seek(size, 1)
        file.write(tail)
    tracemalloc.start()
    assert found(path) == {"w": "far"}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "model.onnx"
    path.write_bytes(data)
    with contextlib.suppress(ModelError):
        found(path)


def test_cut_files_are_refused(tmp_path: Path) -> None:
    whole = helper.make_model(helper.make_graph([], "g", [], [], [inline("w")])).SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match="is not an ONNX model"):
        found(path)


@pytest.mark.parametrize("location", ["/etc/hostname", "../secret", "a/../../secret"])
def test_files_outside_the_folder_are_never_sent(tmp_path: Path, location: str) -> None:
    graph = helper.make_graph([], "g", [], [], [external("w", location)])
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ModelError, match="inside the model's folder") as caught, open_model(path):
        pass
    assert caught.value.metadata == {"location": location, "tensor": "w"}


def test_missing_data_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph([], "g", [], [], [external("w", "gone.bin")])
    model = helper.make_model(graph)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    for given_model in (path, model):
        with pytest.raises(ModelError, match=r"'gone\.bin' of the tensor 'w'") as caught:
            open_model(given_model).__enter__()
        assert caught.value.reason == "FILE_NOT_FOUND"


def test_missing_models_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError) as caught, open_model(path):
            pass
        assert caught.value.reason == "FILE_NOT_FOUND"
