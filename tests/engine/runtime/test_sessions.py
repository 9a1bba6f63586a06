"""Sessions: quiet, and with one kind of error."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import GraphBuilder, normal_batches
from support.quantized import classifier

from zeropoint.engine.runtime import RuntimeRefusal, Session


def test_outputs_come_by_name_or_all(tmp_path: Path) -> None:
    session = Session(classifier(quantized=False).save(tmp_path))
    (batch,) = normal_batches({"x": (2, 3, 8, 8)}, count=1)
    assert session.outputs == ("logits", "label")
    logits, label = session.run(batch)
    np.testing.assert_array_equal(logits.argmax(1), label)
    (only,) = session.run(batch, ["label"])
    np.testing.assert_array_equal(only, label)


@pytest.mark.parametrize("content", [b"", b"\x08garbage", b"\x08\x08"])
def test_what_is_no_model_is_refused_quietly(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(RuntimeRefusal) as caught:
        Session(path)
    assert "ONNXRuntimeError" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_inputs_that_do_not_fit_are_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    b = GraphBuilder()
    b.input("x", ["N", "T"])
    b.output(b.node("MatMul", ["x", b.weight("w", 4, 2)], "y"))
    session = Session(b.save(tmp_path))
    for feeds in (
        {"x": np.ones((2, 5), np.float32)},
        {"x": np.ones((2, 4))},
        {"x": np.ones(4, np.float32)},
        {"z": np.ones((2, 4), np.float32)},
        {},
    ):
        with pytest.raises(RuntimeRefusal):
            session.run(feeds)
    assert capfd.readouterr() == ("", "")


def test_the_optimized_graph_is_written_apart_from_its_weights(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 64])
    b.output(b.node("MatMul", ["x", b.weight("w", 64, 64)], "y"))
    optimized = tmp_path / "optimized.onnx"
    Session(b.save(tmp_path), optimized=optimized)
    assert optimized.stat().st_size < 64 * 64
    assert onnx.load(optimized).graph.node


def _op_types(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_pairs_stay_as_they_are_written_where_asked(tmp_path: Path) -> None:
    path = classifier(quantized=True).save(tmp_path)
    optimized = tmp_path / "optimized.onnx"
    Session(path, optimized=optimized)
    assert "QLinearConv" in _op_types(optimized)
    Session(path, optimized=optimized, as_written=True)
    assert {"Conv", "MatMul", "DequantizeLinear"} <= _op_types(optimized)
