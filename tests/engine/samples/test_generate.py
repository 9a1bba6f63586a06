"""Made-up inputs: within what the graph allows, and such that the model runs."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from support.graphs import Array, GraphBuilder, residual

from zeropoint.engine.load import input_ranges
from zeropoint.engine.runtime import Session
from zeropoint.engine.samples import CannotGenerate, generate_batches

Batch = dict[str, Array]


def _generate(b: GraphBuilder, folder: Path, count: int = 2) -> tuple[Batch, ...]:
    path = b.save(folder)
    ranges = input_ranges(ir.load(path).graph)
    return tuple(dict(batch) for batch in generate_batches(ranges, Session(path).run, count))


def test_batches_are_normal_differ_and_repeat(tmp_path: Path) -> None:
    first, second = _generate(residual(), tmp_path)
    assert first["x"].shape == (1, 3, 16, 16)
    assert first["x"].dtype == np.float32
    assert abs(float(first["x"].std()) - 1.0) < 0.1
    assert not np.array_equal(first["x"], second["x"])
    again = _generate(residual(), tmp_path)
    np.testing.assert_array_equal(again[0]["x"], first["x"])
    np.testing.assert_array_equal(again[1]["x"], second["x"])


def test_axes_of_one_symbol_have_one_size(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("a", ["N", "T", 4])
    b.input("b", ["N", "T", 4])
    b.output(b.node("Mul", ["a", "b"], "y"))
    (batch,) = _generate(b, tmp_path, 1)
    assert batch["a"].shape == batch["b"].shape
    assert batch["a"].shape[1] > 1


def test_a_symbol_that_is_a_sum_is_the_sum(tmp_path: Path) -> None:
    """As in decoders that take what they computed before as an input."""
    b = GraphBuilder()
    b.input("past", ["N", "past", 4])
    b.input("new", ["N", "length", 4])
    b.input("mask", ["N", "past + length", 1])
    joined = b.node("Concat", ["past", "new"], "joined", axis=1)
    b.output(b.node("Mul", [joined, "mask"], "y"))
    (batch,) = _generate(b, tmp_path, 1)
    assert batch["mask"].shape[1] == batch["past"].shape[1] + batch["new"].shape[1]


def _equal_sizes_needed(size: int, other: int) -> GraphBuilder:
    """Runs only where the two unknown axes of x have these sizes."""
    b = GraphBuilder()
    b.input("x", ["N", "H", "W"])
    shape = b.constant("shape", np.array([-1, size * other], np.int64))
    flat = b.node("Reshape", [b.node("Add", ["x", b.weight("w", size, other)], "sum"), shape], "y")
    b.output(flat)
    return b


@pytest.mark.parametrize(("size", "other"), [(48, 48), (1, 224), (8, 16), (32, 1)])
def test_sizes_are_tried_until_the_model_runs(size: int, other: int, tmp_path: Path) -> None:
    b = _equal_sizes_needed(size, other)
    (batch,) = _generate(b, tmp_path, 1)
    Session(tmp_path / "model.onnx").run(batch)
    assert batch["x"].shape[0] == 1


def test_many_unknown_axes_do_not_explode(tmp_path: Path) -> None:
    b = GraphBuilder()
    names = [b.input(f"x{index}", ["N", f"T{index}"]) for index in range(40)]
    wide = b.node("Concat", names, "wide", axis=1)
    shape = b.constant("shape", np.array([1, 100_003], np.int64))
    b.output(b.node("Reshape", [wide, shape], "y"))
    with pytest.raises(CannotGenerate):
        _generate(b, tmp_path)


@pytest.mark.parametrize("table_rows", [3, 50])
def test_indices_stay_within_their_table(table_rows: int, tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("ids", ["N", "T"], TensorProto.INT64)
    b.input("mask", ["N", "T"], TensorProto.INT64)
    wide = b.node("Cast", ["ids"], "wide", to=TensorProto.INT32)
    rows = b.node("Gather", [b.weight("table", table_rows, 4), wide], "rows")
    mask = b.node("Cast", ["mask"], "as_float", to=TensorProto.FLOAT)
    axes = b.constant("axes", np.array([2], np.int64))
    b.output(b.node("Mul", [rows, b.node("Unsqueeze", [mask, axes], "column")], "y"))
    for batch in _generate(b, tmp_path, 4):
        assert batch["ids"].min() >= 0
        assert batch["ids"].max() < table_rows
        assert len(np.unique(batch["ids"])) > 1
        assert (batch["mask"] == 1).all()


def test_integers_are_among_the_constants_that_they_are_compared_with(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("rate", [], TensorProto.INT64)
    b.output(b.node("Equal", ["rate", b.constant("c", np.array(16000))], "y"), dtype=9)
    assert {int(batch["rate"]) for batch in _generate(b, tmp_path, 3)} == {16000}


def test_bytes_take_all_values(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("image", ["N", 3, "H", "W"], TensorProto.UINT8)
    b.output(b.node("Cast", ["image"], "y", to=TensorProto.FLOAT))
    (batch,) = _generate(b, tmp_path, 1)
    assert (batch["image"].min(), batch["image"].max()) == (0, 255)


def test_bools_and_halves(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("flag", ["N", "T"], TensorProto.BOOL)
    b.input("x", ["N", "T"], TensorProto.FLOAT16)
    zero = b.constant("zero", np.array(0, np.float16))
    b.output(b.node("Where", ["flag", "x", zero], "y"), dtype=TensorProto.FLOAT16)
    (batch,) = _generate(b, tmp_path, 1)
    assert batch["flag"].dtype == np.bool_
    assert 0 < int(batch["flag"].sum()) < batch["flag"].size
    assert batch["x"].dtype == np.float16


def test_sizes_that_weights_fix_are_not_guessed(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", "C", "H", "W"])
    scaled = b.node("Mul", ["x", b.constant("c", np.array(0.5, np.float32))], "scaled")
    b.output(b.conv(scaled, "y", 5, 2))
    (known,) = input_ranges(ir.load(b.save(tmp_path)).graph)
    assert known.spec.shape is not None
    assert known.spec.shape[1] == 5
    (batch,) = _generate(b, tmp_path, 1)
    assert batch["x"].shape[:2] == (1, 5)


def test_limits_are_seen_inside_subgraphs(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("ids", ["T"], TensorProto.INT64)
    b.input("flag", [], TensorProto.BOOL)
    b.weight("table", 9, 2)
    b.node("If", ["flag"], "y", then_branch=_branch("a"), else_branch=_branch("b"))
    b.output("y")
    known, _ = input_ranges(ir.load(b.save(tmp_path)).graph)
    assert known.below == 9


def _branch(name: str) -> onnx.GraphProto:
    node = helper.make_node("Gather", ["table", "ids"], [f"rows_{name}"])
    output = helper.make_tensor_value_info(f"rows_{name}", TensorProto.FLOAT, None)
    return helper.make_graph([node], name, [], [output])


def test_inputs_with_defaults_are_left_alone(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4])
    b.input("w", [4, 2])
    b.output(b.node("MatMul", ["x", b.weight("w", 4, 2)], "y"))
    (batch,) = _generate(b, tmp_path, 1)
    assert list(batch) == ["x"]


@pytest.mark.parametrize("listed", [["red", "green"], []])
def test_text_is_among_what_it_is_looked_up_among(listed: list[str], tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("text", ["N", "T"], TensorProto.STRING)
    b.node("Identity", ["text"], "same")
    if listed:
        keys = {"keys_strings": listed, "values_int64s": [0, 1]}
        b.node("LabelEncoder", ["same"], "y", domain="ai.onnx.ml", **keys)
    b.output("y" if listed else "same", dtype=TensorProto.INT64 if listed else TensorProto.STRING)
    model = b.model()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    onnx.save(model, tmp_path / "model.onnx")
    ranges = input_ranges(ir.load(tmp_path / "model.onnx").graph)
    (batch,) = generate_batches(ranges, Session(tmp_path / "model.onnx").run, 1)
    assert batch["text"].shape == (1, 32)
    words = set(batch["text"].reshape(-1).tolist())
    assert words == set(listed) if listed else len(words) > 1


def test_a_model_that_never_runs_is_given_up_with_the_reason(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", "T"])
    shape = b.constant("shape", np.array([1, 100_003], np.int64))
    b.output(b.node("Reshape", ["x", shape], "y"))
    with pytest.raises(CannotGenerate, match="Reshape"):
        _generate(b, tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_prove_nothing(value: float, tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4])
    b.output(b.node("Add", ["x", b.constant("c", np.array(value, np.float32))], "y"))
    with pytest.raises(CannotGenerate, match="no finite outputs"):
        _generate(b, tmp_path)


def test_a_model_without_inputs_needs_none(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.output(b.node("Identity", [b.weight("w", 2)], "y"))
    assert _generate(b, tmp_path, 1) == ({},)
