"""Cutting batches: only where samples do not depend on each other, and nothing is lost."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from support.graphs import GraphBuilder, residual
from support.models import detector, recognizer

from zeropoint.engine.load import load_model
from zeropoint.engine.observe import ExposedModel, Observer, SplitCheck, is_samplewise
from zeropoint.engine.observe import batch_layout as layout
from zeropoint.engine.prepare import infer_shapes, prepare_model

AMPLE = 1 << 30
TENSORS = ("x", "r1", "r2", "sum", "r4", "y")


def samplewise(b: GraphBuilder, *batched: str) -> bool:
    model = ir.from_proto(b.model())
    infer_shapes(model)
    return is_samplewise(model.graph, batched or ("x",))


def single(op_type: str, inputs: Sequence[str], b: GraphBuilder, **attributes: Any) -> bool:
    b.node(op_type, [*inputs], "y", **attributes)
    b.output("y", None)
    return samplewise(b)


def rows(*shape: int | str) -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", list(shape) or ["N", 4, 6])
    return b


def test_a_convolutional_network_is() -> None:
    assert samplewise(residual())


@pytest.mark.parametrize(
    ("op_type", "constants", "attributes", "expected"),
    [
        ("Softmax", (), {"axis": -1}, True),
        ("Softmax", (), {"axis": 0}, False),
        ("Softmax", (), {"axis": -3}, False),
        ("ReduceMean", (), {"axes": [1, 2]}, True),
        ("ReduceMean", (), {"axes": [0]}, False),
        ("ReduceMean", (), {}, False),
        ("CumSum", (np.array(0),), {}, False),
        ("NonZero", (), {}, False),
        ("Transpose", (), {"perm": [0, 2, 1]}, True),
        ("Transpose", (), {"perm": [1, 0, 2]}, False),
        ("Transpose", (), {}, False),
        ("Flatten", (), {"axis": 1}, True),
        ("Flatten", (), {"axis": 0}, False),
        ("Add", (np.ones((4, 6), np.float32),), {}, True),
        ("Add", (np.ones((1, 4, 6), np.float32),), {}, True),
        ("Add", (np.ones((2, 4, 6), np.float32),), {}, False),
        ("Add", (np.ones((3, 1, 4, 6), np.float32),), {}, False),
        ("Gather", (np.array([0, 1]),), {"axis": 1}, True),
        ("Gather", (np.array([0, 0]),), {"axis": 0}, False),
        ("MatMul", (np.ones((6, 2), np.float32),), {}, True),
        ("Unsqueeze", (np.array([1]),), {}, True),
        ("Unsqueeze", (np.array([0]),), {}, False),
        ("Unsqueeze", (np.array([-4]),), {}, False),
        ("Squeeze", (), {}, False),
        ("Slice", (np.array([0]), np.array([2]), np.array([1])), {}, True),
        ("Slice", (np.array([0]), np.array([2]), np.array([0])), {}, False),
        ("Slice", (np.array([0, 0, 0]), np.array([9, 2, 2])), {}, False),
    ],
)
def test_operators(
    op_type: str, constants: Sequence[NDArray[Any]], attributes: dict[str, Any], expected: bool
) -> None:
    b = rows()
    names = [b.constant(f"k{index}", array) for index, array in enumerate(constants)]
    assert single(op_type, ["x", *names], b, **attributes) is expected


def test_rows_of_a_table_are() -> None:
    b = GraphBuilder()
    b.input("x", ["N", 7], TensorProto.INT64)
    assert single("Gather", [b.weight("table", 30, 8), "x"], b)


def test_the_share_of_a_batch_is_not() -> None:
    """x / N depends on how many samples there are."""
    b = rows("N", 4)
    b.node("Shape", ["x"], "shape")
    b.node("Gather", ["shape", b.constant("zero", np.array(0))], "count")
    b.node("Cast", ["count"], "number", to=TensorProto.FLOAT)
    assert not single("Div", ["x", "number"], b)


def test_a_product_over_the_batch_is_not() -> None:
    b = rows("N", 4)
    b.node("Transpose", ["x"], "t", perm=[1, 0])
    assert not single("MatMul", ["t", "x"], b)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (detector, True),
        (recognizer, False),  # its attention has the batch behind query, key and value
    ],
)
def test_ocr_networks(path: Any, expected: bool, tmp_path: Path) -> None:
    loaded = load_model(path(), tmp_path)
    prepared = prepare_model(loaded, min_opset=10, workspace=tmp_path)
    outputs = tuple(value.name or "" for value in prepared.model.graph.outputs)
    exposed = ExposedModel(prepared.model, outputs, tmp_path)
    assert SplitCheck(prepared.model, exposed).allows() is expected


def allowed(b: GraphBuilder, tensors: Sequence[str], folder: Path) -> bool:
    model = ir.from_proto(b.model())
    infer_shapes(model)
    return SplitCheck(model, ExposedModel(model, tensors, folder)).allows()


def test_the_values_must_agree(tmp_path: Path) -> None:
    """A Reshape that mixes samples is on the list, and is found by running it."""
    b = rows("N", 4)
    b.node("Reshape", ["x", b.constant("shape", np.array([4, -1]))], "mixed")
    b.node("Softmax", ["mixed"], "soft", axis=-1)
    b.node("Reshape", ["soft", b.constant("back", np.array([-1, 4]))], "y")
    b.output("y", ["N", 4])
    assert samplewise(b)
    assert not allowed(b, ("soft", "y"), tmp_path)
    assert allowed(residual(), TENSORS, tmp_path)


def test_a_fixed_batch_is_not_cut(tmp_path: Path) -> None:
    b = rows(2, 4)
    b.node("Relu", ["x"], "y")
    b.output("y", [2, 4])
    assert not allowed(b, ("x", "y"), tmp_path)


def watch(folder: Path, batches: Sequence[dict[str, Any]], threads: int = 1) -> Observer:
    model = ir.from_proto(residual().model())
    infer_shapes(model)
    watching = Observer(model, TENSORS, workspace=folder, threads=threads, observe_bytes=AMPLE)
    for index, batch in enumerate(batches):
        watching.submit(batch, index + 1)
    return watching


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut where a part would be three samples or so."""
    monkeypatch.setattr(layout, "PART_BYTES", 120_000)


def image_batches(sizes: Sequence[int]) -> list[dict[str, Any]]:
    generator = np.random.default_rng(5)
    return [{"x": generator.normal(size=(n, 3, 16, 16)).astype(np.float32)} for n in sizes]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("threads", [1, 3])
def test_parts_see_what_the_whole_sees(tmp_path: Path, threads: int) -> None:
    batches = image_batches([7, 1, 20])
    watching = watch(tmp_path, batches, threads)
    assert watching._layout(batches[2]).rows in range(1, 10)
    found = watching.sketches()
    watching.close()
    for name, sketch in watch_whole(tmp_path, batches).items():
        assert found[name].elements == sketch.elements
        assert found[name].minimum == pytest.approx(sketch.minimum, rel=1e-4, abs=1e-5)
        assert found[name].maximum == pytest.approx(sketch.maximum, rel=1e-4, abs=1e-5)
    assert found["x"] == watch_whole(tmp_path, batches)["x"]


def watch_whole(folder: Path, batches: Sequence[dict[str, Any]]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "PART_BYTES", AMPLE)
        watching = watch(folder, batches)
        sketches = watching.sketches()
        watching.close()
        return sketches


@pytest.mark.usefixtures("small_parts")
def test_order_and_threads_change_no_bit(tmp_path: Path) -> None:
    batches = image_batches([7, 1, 20, 4])
    seen = []
    for threads in (1, 2, 3):
        random.Random(threads).shuffle(batches)
        watching = watch(tmp_path, batches, threads)
        seen.append({name: each.to_bytes() for name, each in watching.sketches().items()})
        watching.close()
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_is_not_finite_is_reported_with_its_batch(tmp_path: Path) -> None:
    batches = image_batches([3, 20])
    batches[1]["x"][17, 0, 0, 0] = np.inf
    watching = watch(tmp_path, batches, 2)
    assert watching.non_finite()["x"] == (2,)
    watching.close()
