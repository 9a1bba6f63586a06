"""The parts of models' files, known again by their content."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from zeropoint.engine.files import Span, model_spans
from zeropoint.engine.wire import WireError

WEIGHT = np.arange(1024, dtype=np.float32)


def model(name: str, weight: np.ndarray, *, where: str = "initializer") -> onnx.ModelProto:
    """Return a model that adds a weight, which lies where it is said, to its input."""
    tensor = numpy_helper.from_array(weight, name)
    nodes = [helper.make_node("Add", ["x", name], ["y"], name="add")]
    initializers = [tensor]
    if where == "attribute":
        nodes.insert(0, helper.make_node("Constant", [], [name], value=tensor))
        initializers = []
    if where == "floats":
        initializers = [helper.make_tensor(name, 1, weight.shape, weight)]
    value = helper.make_tensor_value_info("x", 1, [1024])
    result = helper.make_tensor_value_info("y", 1, [1024])
    return helper.make_model(helper.make_graph(nodes, "g", [value], [result], initializers))


def saved(folder: Path, proto: onnx.ModelProto) -> Path:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


def with_data(spans: list[Span]) -> dict[bytes, bytes]:
    """Return the parts that a whole part is made of, by their digests."""
    return {inner.digest: span.digest for span in spans for inner in span.inner}


@pytest.mark.parametrize("where", ["initializer", "attribute", "floats"])
def test_data_of_a_tensor_are_known_wherever_they_lie(tmp_path: Path, where: str) -> None:
    plain = saved(tmp_path / "a", model("w", WEIGHT))
    other = saved(tmp_path / "b", model("renamed", WEIGHT, where=where))
    [first], [second] = model_spans([plain]), model_spans([other])
    assert list(with_data(first)) == list(with_data(second))
    [span] = [inner for span in second for inner in span.inner]
    assert other.read_bytes()[span.begin : span.end] == WEIGHT.tobytes()
    assert with_data(first)[span.digest] != with_data(second)[span.digest]


def test_data_outside_are_parts_of_their_file(tmp_path: Path) -> None:
    inside = saved(tmp_path / "a", model("w", WEIGHT))
    outside = tmp_path / "b" / "model.onnx"
    outside.parent.mkdir()
    onnx.save(model("w", WEIGHT), outside, save_as_external_data=True, location="deep.data")
    spans = model_spans([outside, tmp_path / "b" / "deep.data"])
    [data] = spans[1]
    assert (data.file, data.begin, data.end) == (1, 0, WEIGHT.nbytes)
    assert data.digest in with_data(model_spans([inside])[0])


def test_parts_are_in_order_and_apart(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", model("w", WEIGHT))
    [spans] = model_spans([path])
    ends = [0, *(span.end for span in spans)]
    assert all(span.begin >= end for span, end in zip(spans, ends, strict=False))
    assert sum(span.end - span.begin for span in spans) > WEIGHT.nbytes
    assert ends[-1] <= path.stat().st_size


def test_a_change_of_one_value_changes_one_part(tmp_path: Path) -> None:
    changed = WEIGHT.copy()
    changed[500] += 1
    [before] = model_spans([saved(tmp_path / "a", model("w", WEIGHT))])
    [after] = model_spans([saved(tmp_path / "b", model("w", changed))])
    different = [a.digest != b.digest for a, b in zip(before, after, strict=True)]
    assert sum(different) == 1


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(WireError):
        model_spans([path])
