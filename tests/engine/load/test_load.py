"""From the user's file to a graph: nothing lost, nothing touched, bad files refused."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import models
from support.engine import run
from support.graphs import Array, GraphBuilder, residual
from support.loading import refused, saved_with_external_data

from zeropoint.engine.load import load_model, reload_graph

# --- what is taken over -----------------------------------------------------------------------


def test_real_model_runs_the_same_from_its_parts(workspace: Path) -> None:
    source = models.classifier()
    loaded = load_model(source, workspace)
    x = np.random.default_rng(0).random((2, 3, 48, 192), dtype=np.float32)
    assert np.array_equal(run(source, {"x": x})[0], run(loaded.runnable, {"x": x})[0])
    assert loaded.runnable.stat().st_size < 0.25 * source.stat().st_size
    assert loaded.sha256 == hashlib.sha256(source.read_bytes()).digest()
    assert loaded.model_bytes == source.stat().st_size
    assert loaded.opset == 11
    assert len(loaded.nodes) == 566


def test_external_data_are_taken_and_left(folder: Path, workspace: Path) -> None:
    (folder / "sub").mkdir()
    path = saved_with_external_data(folder, "sub/weights.bin")
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*.*")}
    x = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)
    expected = run(path, {"x": x})[0]
    loaded = load_model(path, workspace)
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in before} == before
    tensors = residual().initializers
    sizes = sum(numpy_helper.to_array(tensor).nbytes for tensor in tensors)
    assert loaded.model_bytes == path.stat().st_size + sizes
    for file in before:
        file.unlink()
    assert np.array_equal(run(loaded.runnable, {"x": x})[0], expected)


def test_inline_and_external_weights_side_by_side(folder: Path, workspace: Path) -> None:
    path = saved_with_external_data(folder, "weights.data")
    model = onnx.load(path, load_external_data=False)
    inline = {tensor.name: tensor for tensor in residual().initializers}
    for index in range(0, len(model.graph.initializer), 2):
        model.graph.initializer[index].CopyFrom(inline[model.graph.initializer[index].name])
    onnx.save(model, path)
    loaded = load_model(path, workspace)
    for name, value in loaded.model.graph.initializers.items():
        assert value.const_value is not None
        assert np.array_equal(value.const_value.numpy(), numpy_helper.to_array(inline[name]))


def test_packed_float_data_move_as_well(folder: Path, workspace: Path) -> None:
    b = GraphBuilder()
    b.input("x", [1000])
    array = np.arange(1000, dtype=np.float32)
    b.initializers.append(helper.make_tensor("c", TensorProto.FLOAT, [1000], array))
    numbers = list(range(1000))
    b.initializers.append(helper.make_tensor("i", TensorProto.INT64, [1000], numbers))
    b.node("Gather", ["c", "i"], "g")
    b.node("Add", ["x", "g"], "y")
    b.output("y")
    assert b.initializers[0].float_data
    loaded = load_model(b.save(folder), workspace)
    tensors = {name: v.const_value for name, v in loaded.model.graph.initializers.items()}
    assert isinstance(tensors["c"], ir.ExternalTensor)
    assert np.array_equal(tensors["c"].numpy(), array)
    assert run(loaded.runnable, {"x": array})[0][-1] == 1998


def everything() -> onnx.ModelProto:
    """A model that uses every field that a loader could lose."""
    b = GraphBuilder()
    b.input("x", ["N", 300])
    b.input("choice", [], TensorProto.BOOL)
    b.weight("w", 300)
    b.nodes.append(helper.make_node("Mul", ["x", "w"], ["m"]))
    attributes = {
        "an_int": 3,
        "a_float": 0.5,
        "a_text": "text",
        "a_tensor": numpy_helper.from_array(np.arange(400, dtype=np.int32), "t"),
        "some_ints": [1, 2],
        "some_floats": [1.5, 2.5],
        "some_texts": ["a", "b"],
        "some_tensors": [numpy_helper.from_array(np.ones(3, np.float16), "u")],
        "a_type": helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 2]),
    }
    b.node("Custom", ["m", ""], "k", domain="my.domain", **attributes)

    def branch(op_type: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op_type}_out", 1, ["N", 300])
        node = helper.make_node(op_type, ["k"], [f"{op_type}_out"], name=f"in_branch_{op_type}")
        return helper.make_graph([node], op_type, [], [out], doc_string="a branch")

    b.node("If", ["choice"], "i", then_branch=branch("Relu"), else_branch=branch("Neg"))
    b.node("Local", ["i"], "y", domain="local", overload="v2")
    b.output("y", ["N", 300])
    model = b.model(author="someone", purpose="to lose nothing")
    body = helper.make_node("Abs", ["a"], ["b"], name="body")
    model.functions.append(
        helper.make_function(
            "local", "Local", ["a"], ["b"], [body], [helper.make_opsetid("", 13)],
            doc_string="a function", overload="v2",
        )
    )  # fmt: skip
    for domain in ("my.domain", "local"):
        model.opset_import.append(helper.make_opsetid(domain, 1))
    model.ir_version = 11
    model.producer_name, model.producer_version = "producer", "1.2"
    model.domain, model.model_version, model.doc_string = "org.example", 7, "a model"
    graph = model.graph
    graph.doc_string = "a graph"
    graph.metadata_props.add(key="of", value="the graph")
    graph.node[0].doc_string = "a node"
    graph.node[0].metadata_props.add(key="of", value="the node")
    graph.initializer[0].doc_string = "a tensor"
    graph.input[0].doc_string = "an input"
    graph.value_info.append(helper.make_tensor_value_info("m", 1, ["N", 300]))
    annotation = graph.quantization_annotation.add(tensor_name="m")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    configuration = model.configuration.add()
    configuration.name, configuration.num_devices = "two", 2
    return model


def normalized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring into one form what may be written in several."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    infos = {info.name: info for info in graph.value_info}
    for tensor in graph.initializer:
        infos.pop(tensor.name, None)
        for field in ("external_data", "data_location", "raw_data"):
            tensor.ClearField(field)
    del graph.value_info[:]
    graph.value_info.extend(infos[name] for name in sorted(infos))
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    for tensor in [a.t for node in graph.node for a in node.attribute if a.HasField("t")]:
        for field in ("external_data", "data_location", "raw_data"):
            tensor.ClearField(field)
    return model


def test_no_field_is_lost(folder: Path, workspace: Path) -> None:
    model = everything()
    path = folder / "model.onnx"
    onnx.save(model, path)
    loaded = load_model(path, workspace)
    again = normalized(ir.to_proto(loaded.model))
    assert again.graph.node[0].name == "Mul:m"
    again.graph.node[0].ClearField("name")
    assert again == normalized(model)
    tensor = loaded.model.graph[1].attributes["a_tensor"].as_tensor()
    assert np.array_equal(tensor.numpy(), np.arange(400))


def test_every_node_has_a_name_of_its_own(folder: Path, workspace: Path) -> None:
    b = GraphBuilder()
    b.input("x", [4])
    for number, name in enumerate(["twin", "", "twin", "twin#2", "twin", "Relu:v1"]):
        b.node("Relu", [f"v{number - 1}" if number else "x"], f"v{number}", name=name)
    b.output("v5")
    loaded = load_model(b.save(folder), workspace)
    spoken = [node.name for node in loaded.nodes]
    assert spoken == ["twin", "Relu:v1", "twin", "twin#2", "twin", "Relu:v1"]
    internal = [node.name for node in loaded.model.graph]
    assert len(set(internal)) == 6
    assert internal[3] == "twin#2"
    again = reload_graph(loaded)
    assert again is not loaded.model
    assert [node.name for node in again.graph] == internal


def test_nodes_of_subgraphs_are_the_users_too(folder: Path, workspace: Path) -> None:
    path = folder / "model.onnx"
    onnx.save(everything(), path)
    names = [node.name for node in load_model(path, workspace).nodes]
    assert {"in_branch_Relu", "in_branch_Neg", "if_i"} <= set(names)
    assert "body" not in names


def test_training_graph_is_left_out_with_a_word(folder: Path, workspace: Path) -> None:
    model = residual().model()
    model.training_info.add()
    path = folder / "model.onnx"
    onnx.save(model, path)
    (warning,) = load_model(path, workspace).warnings
    assert warning.code == "TRAINING_INFO_LEFT_OUT"


def test_default_domain_under_its_long_name(folder: Path, workspace: Path) -> None:
    model = residual().model()
    model.opset_import[0].domain = "ai.onnx"
    path = folder / "model.onnx"
    onnx.save(model, path)
    loaded = load_model(path, workspace)
    assert loaded.opset == 13
    assert loaded.model.opset_imports == {"": 13}


# --- sparse tensors ---------------------------------------------------------------------------


def sparse(
    values: Array, indices: Array, shape: list[int], name: str = "s"
) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(values, name), numpy_helper.from_array(indices), shape
    )


SPARSE = {
    "flat": sparse(np.array([1.5, -2.0], np.float32), np.array([1, 5]), [2, 3]),
    "by axes": sparse(np.array([1.5, -2.0], np.float32), np.array([[0, 1], [1, 2]]), [2, 3]),
}


@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_sparse_tensors_become_dense(kind: str, place: str, folder: Path, workspace: Path) -> None:
    b = GraphBuilder()
    b.input("x", [2, 3])
    if place == "constant":
        b.node("Constant", [], "s", sparse_value=SPARSE[kind])
    b.node("Add", ["x", "s"], "y")
    b.output("y")
    model = b.model()
    if place == "initializer":
        model.graph.sparse_initializer.append(SPARSE[kind])
    path = folder / "model.onnx"
    onnx.save(model, path)
    loaded = load_model(path, workspace)
    onnx.save(ir.to_proto(loaded.model), workspace / "again.onnx")
    result = run(workspace / "again.onnx", {"x": np.zeros((2, 3), np.float32)})[0]
    assert result.tolist() == [[0, 1.5, 0], [0, 0, -2]]


def test_large_sparse_tensors_go_to_disk(folder: Path, workspace: Path) -> None:
    model = GraphBuilder()
    model.input("x", [100, 100])
    model.node("Add", ["x", "s"], "y")
    model.output("y")
    proto = model.model()
    values = sparse(np.ones(2, np.float32), np.array([7, 9999]), [100, 100])
    proto.graph.sparse_initializer.append(values)
    onnx.save(proto, folder / "model.onnx")
    tensor = load_model(folder / "model.onnx", workspace).model.graph.initializers["s"].const_value
    assert isinstance(tensor, ir.ExternalTensor)
    assert tensor.numpy().sum() == 2


@pytest.mark.parametrize(
    ("tensor", "reason", "text"),
    [
        (sparse(np.ones(1, np.float32), np.array([6]), [2, 3]), "MODEL_INVALID", "'s' contradicts"),
        (
            sparse(np.ones(1, np.float32), np.array([6]), [1 << 20, 1 << 20]),
            "MODEL_UNSUPPORTED",
            "'s' would take 4398046511104 bytes",
        ),
    ],
)
def test_sparse_tensors_that_cannot_be(
    tensor: onnx.SparseTensorProto, reason: str, text: str, folder: Path, workspace: Path
) -> None:
    model = residual().model()
    model.graph.sparse_initializer.append(tensor)
    onnx.save(model, folder / "model.onnx")
    assert text in refused(folder / "model.onnx", workspace, reason)


def test_sparse_attributes_of_other_operators_are_refused(folder: Path, workspace: Path) -> None:
    b = GraphBuilder()
    b.input("x", [2, 3])
    b.node("Custom", ["x"], "y", name="odd", domain="my.domain", sparse=SPARSE["flat"])
    b.output("y")
    onnx.save(b.model(), folder / "model.onnx")
    assert "of node 'odd'" in refused(folder / "model.onnx", workspace, "MODEL_UNSUPPORTED")
