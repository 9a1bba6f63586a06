"""Models with maps, and with attributes of very many numbers, as classic machine learning has."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from support.engine import quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import ModelError, NothingToQuantize
from zeropoint.engine.wire import rewrite_tensors

BATCHES = list(normal_batches({"x": (4, 8)}))


def zipped(*, layers: bool) -> onnx.ModelProto:
    """Class probabilities as a map; behind a layer, or of the input itself."""
    b = GraphBuilder(13)
    b.input("x", ["N", 8])
    b.node("MatMul" if layers else "Identity", ["x", b.weight("w", 8, 8)][: 1 + layers], "h")
    b.node("ZipMap", ["h"], "map", domain="ai.onnx.ml", classlabels_int64s=list(range(8)))
    b.node("Identity", ["h"], "y")
    b.output("y")
    model = b.model()
    kind = helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, None))
    kind = helper.make_sequence_type_proto(kind)
    model.graph.output.append(helper.make_value_info("map", kind))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return model


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def test_what_stands_before_a_map_is_quantized(tmp_path: Path) -> None:
    source = saved(zipped(layers=True), tmp_path)
    result = quantize(source, BATCHES, static(), tmp_path / "job")
    assert result.states()["matmul_h"] == "quantized"
    for batch in BATCHES:
        reference, other = run(source, batch), run(result.path, batch)
        assert sqnr_db(reference[0], other[0]) > 30
        assert [list(entry) for entry in other[1]] == [list(range(8))] * 4


def test_a_map_alone_leaves_nothing_to_quantize(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not prepared for it: trees of hundreds of megabytes would take a minute to load."""
    source = saved(zipped(layers=False), tmp_path)
    monkeypatch.delattr("zeropoint.engine.prepare.prepare.infer_shapes")
    with pytest.raises(NothingToQuantize, match="ZipMap has no integer form"):
        quantize(source, BATCHES, static(), tmp_path / "job")


def test_an_input_that_is_a_map_is_refused_by_name(tmp_path: Path) -> None:
    model = zipped(layers=True)
    kind = helper.make_map_type_proto(8, helper.make_tensor_type_proto(1, None))
    model.graph.input.append(helper.make_value_info("words", kind))
    node = helper.make_node("DictVectorizer", ["words"], ["v"], domain="ai.onnx.ml")
    node.attribute.append(helper.make_attribute("string_vocabulary", ["a", "b"]))
    model.graph.node.append(node)
    with pytest.raises(ModelError, match="Input 'words' of the model is a map") as caught:
        quantize(saved(model, tmp_path), BATCHES, static(), tmp_path / "job")
    assert caught.value.reason == "MODEL_UNSUPPORTED"


def test_texts_of_libraries_are_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_model: onnx.ModelProto) -> None:
        raise RuntimeError("deep in the graph") from NotImplementedError("Please contribute")

    monkeypatch.setattr("onnx_ir.serde.deserialize_model", refuse)
    with pytest.raises(ModelError, match="a type of value that cannot be taken yet") as caught:
        quantize(saved(zipped(layers=True), tmp_path), BATCHES, static(), tmp_path / "job")
    assert caught.value.reason == "MODEL_UNSUPPORTED"
    assert "contribute" not in caught.value.message


def test_tensors_behind_runs_of_scalars_are_found() -> None:
    """Numbers of every length and words of every kind, with tensors between them."""
    rng = np.random.default_rng(0)
    numbers = [int(value) for value in rng.integers(-(2**62), 2**62, 3000) >> rng.integers(0, 62)]
    words = [b"LEAF", b"BRANCH", b"", b"x" * 100, *(bytes([i]) * (i % 7) for i in range(60))]
    node = onnx.NodeProto(op_type="Tree", domain="ai.onnx.ml")
    attribute = node.attribute.add(name="all", ints=numbers, strings=words * 40)
    attribute.floats.extend(rng.standard_normal(3000))
    for size in (10, 3000):
        attribute.tensors.add(name=f"t{size}", data_type=1, dims=[size], raw_data=bytes(4 * size))
    attribute.tensors.add(name="t", data_type=1, dims=[1], raw_data=b"1234", data_location=1)
    model = onnx.ModelProto(graph=onnx.GraphProto(node=[node, node]))
    content = model.SerializeToString()
    seen: list[str] = []

    def look(view: memoryview) -> None:
        seen.append(onnx.TensorProto.FromString(bytes(view)).name)

    assert b"".join(rewrite_tensors(memoryview(content), look, threshold=1024)) == content
    assert seen == ["t3000", "t"] * 2

    def rename(view: memoryview) -> list[bytes]:
        tensor = onnx.TensorProto.FromString(bytes(view))
        return [onnx.TensorProto(name=tensor.name + "!").SerializeToString()]

    pieces = rewrite_tensors(memoryview(content), rename, threshold=1024)
    changed = onnx.ModelProto.FromString(b"".join(pieces))
    for before, after in zip(model.graph.node, changed.graph.node, strict=True):
        one, other = before.attribute[0], after.attribute[0]
        assert (one.ints, one.floats, one.strings) == (other.ints, other.floats, other.strings)
        assert [tensor.name for tensor in other.tensors] == ["t10", "t3000!", "t!"]
