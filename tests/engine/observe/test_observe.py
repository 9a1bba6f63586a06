"""Observing: the same statistics as counting by hand, in any grouping, and all or nothing."""

import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from support.graphs import GraphBuilder, normal_batches, residual

from zeropoint.engine.errors import BatchError, ModelError
from zeropoint.engine.observe import ExposedModel, LayoutRule, Observer
from zeropoint.engine.runtime import RuntimeRefusal, Session, read_refusal
from zeropoint.sketch import Sketch

Array = NDArray[Any]
Batches = Sequence[Mapping[str, Array]]

TENSORS = ("x", "c1", "r1", "c2", "r2", "sum", "pool", "r4", "gap", "flat", "y")
AMPLE = 1 << 30


def observer(
    builder: GraphBuilder,
    tensors: Sequence[str],
    workspace: Path,
    *,
    threads: int = 1,
    observe_bytes: int = AMPLE,
) -> Observer:
    return Observer(
        ir.from_proto(builder.model()),
        tensors,
        workspace=workspace,
        threads=threads,
        observe_bytes=observe_bytes,
    )


def sketch_of(*arrays: Array) -> Sketch:
    sketch = Sketch()
    for array in arrays:
        sketch.update(array)
    return sketch


def by_hand(
    builder: GraphBuilder, tensors: Sequence[str], batches: Batches, folder: Path
) -> dict[str, Sketch]:
    """Run the model with every tensor visible, and count."""
    model = builder.model()
    known = {value.name for value in (*model.graph.output, *model.graph.input)}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in tensors if name not in known
    )
    onnx.save(model, folder / "by_hand.onnx")
    session = Session(folder / "by_hand.onnx")
    seen = [
        dict(zip(session.outputs, session.run(batch), strict=True)) | dict(batch)
        for batch in batches
    ]
    return {name: sketch_of(*(values[name] for values in seen)) for name in tensors}


def image_batches(sizes: Sequence[int], seed: int = 7) -> list[dict[str, Array]]:
    return [
        normal_batches({"x": (size, 3, 16, 16)}, 1, seed + index)[0]
        for index, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sketches_are_those_of_all_activations(tmp_path: Path, threads: int) -> None:
    """Whatever the number of threads, each batch is run by one: the same bits as by hand."""
    batches = image_batches([2, 1, 5, 2])
    watching = observer(residual(), TENSORS, tmp_path, threads=threads)
    for batch in batches:
        watching.submit(batch)
    sketches = watching.sketches()
    watching.close()
    assert dict(sketches) == by_hand(residual(), TENSORS, batches, tmp_path)


def test_nothing_but_inputs_and_outputs_can_be_observed(tmp_path: Path) -> None:
    batches = image_batches([2, 3])
    watching = observer(residual(), ("x", "y"), tmp_path)
    for batch in batches:
        watching.observe(batch)
    plain = Session(residual().save(tmp_path))
    outputs = [plain.run(batch)[0] for batch in batches]
    assert watching.sketches()["x"] == sketch_of(*(batch["x"] for batch in batches))
    assert watching.sketches()["y"] == sketch_of(*outputs)
    watching.close()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("observe_bytes", [AMPLE, 300_000, 60_000, 1])
def test_order_changes_no_bit_in_any_grouping(
    tmp_path: Path, threads: int, observe_bytes: int
) -> None:
    """Batches of 1 to 40 images are cut into different numbers of groups."""
    batches = image_batches([1, 40, 7, 40, 3, 19])
    seen = []
    for seed in range(3):
        random.Random(seed).shuffle(batches)
        watching = observer(
            residual(), TENSORS, tmp_path, threads=threads, observe_bytes=observe_bytes
        )
        for batch in batches:
            watching.observe(batch)
        seen.append({name: sketch.to_bytes() for name, sketch in watching.sketches().items()})
        watching.close()
    assert seen[0] == seen[1] == seen[2]


def test_groups_see_what_one_group_sees(tmp_path: Path) -> None:
    batches = image_batches([8, 8])
    expected = by_hand(residual(), TENSORS, batches, tmp_path)
    watching = observer(residual(), TENSORS, tmp_path, threads=2, observe_bytes=60_000)
    for batch in batches:
        watching.observe(batch)
    for name, sketch in watching.sketches().items():
        assert sketch.elements == expected[name].elements
        found, wanted = (
            (sketch.minimum, sketch.maximum),
            (
                expected[name].minimum,
                expected[name].maximum,
            ),
        )
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    written = {path.name for path in tmp_path.glob("observed-*")}
    assert len(written) > 2
    assert len({name.split("-of-")[1].split(".")[0] for name in written}) == 1


def test_groups_follow_from_shapes_and_budget(tmp_path: Path) -> None:
    exposed = ExposedModel(ir.from_proto(residual().model()), TENSORS, tmp_path)
    rule = LayoutRule(exposed, threads=2, observe_bytes=300_000, splits=lambda: False)
    layouts = {size: rule.choose({"x": (size, 3, 16, 16)}) for size in (1, 7, 19, 40)}
    assert layouts[1].groups == layouts[1].threads == 1
    assert layouts[40].groups > layouts[7].groups
    assert layouts[40].threads == 2
    for size, layout in layouts.items():
        sizes = exposed.sizes({"x": (size, 3, 16, 16)})
        members = [exposed.members(layout.groups, group) for group in range(layout.groups)]
        assert sorted(name for group in members for name in group) == sorted(exposed.hidden)
        totals = [sum(sizes[name] for name in group) for group in members]
        assert max(totals) <= 300_000 or layout.groups == exposed.most_groups


def test_a_group_is_written_once(tmp_path: Path) -> None:
    """Another thread may be loading it."""
    exposed = ExposedModel(ir.from_proto(residual().model()), TENSORS, tmp_path)
    path, wanted = exposed.write(2, 1)
    path.write_bytes(b"loading")
    assert exposed.write(2, 1) == (path, wanted)
    assert path.read_bytes() == b"loading"


def test_sizes_are_those_of_the_arrays(tmp_path: Path) -> None:
    exposed = ExposedModel(ir.from_proto(residual().model()), TENSORS, tmp_path)
    session = Session(exposed.write(1, 0)[0])
    (batch,) = image_batches([5])
    arrays = dict(zip(session.outputs, session.run(batch), strict=True))
    sizes = exposed.sizes({"x": (5, 3, 16, 16)})
    assert sizes == {name: arrays[name].nbytes for name in exposed.hidden}


def test_a_size_that_depends_on_data_is_taken_as_the_largest(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 8])
    b.node("Relu", ["x"], "r")
    b.node("NonZero", ["r"], "where")
    b.node("Cast", ["where"], "floats", to=TensorProto.FLOAT)
    b.node("Abs", ["floats"], "abs")
    b.node("ReduceSum", ["abs"], "y")
    b.output("y")
    exposed = ExposedModel(ir.from_proto(b.model()), ("r", "abs"), tmp_path)
    sizes = exposed.sizes({"x": (4, 8)})
    assert sizes["r"] == 128
    assert sizes["abs"] >= 128


def test_sessions_are_small_beside_the_weights(tmp_path: Path) -> None:
    """All groups share one file of weights."""
    b = GraphBuilder()
    b.input("x", ["N", 512])
    b.node("MatMul", ["x", b.weight("w1", 512, 512)], "m1")
    b.node("Relu", ["m1"], "r1")
    b.node("MatMul", ["r1", b.weight("w2", 512, 512)], "y")
    b.output("y", ["N", 512])
    model = ir.from_proto(b.model())
    ir.external_data.unload_from_model(model, tmp_path, "weights.data")
    watching = Observer(
        model, ("m1", "r1"), workspace=tmp_path, threads=1, observe_bytes=4 * 512 * 4
    )
    watching.observe({"x": np.ones((4, 512), np.float32)})
    written = sorted(tmp_path.glob("observed-*"))
    assert len(written) == 2
    assert all(path.stat().st_size < 4096 for path in written)
    assert len(watching._sessions) == 1
    assert {sketch.elements for sketch in watching.sketches().values()} == {2048}


def failing_model() -> GraphBuilder:
    """A Gather whose indices come with the batch."""
    b = GraphBuilder()
    b.input("x", ["N", 4])
    b.input("rows", ["M"], TensorProto.INT64)
    b.node("MatMul", ["x", b.weight("w", 4, 4)], "m")
    b.node("Gather", ["m", "rows"], "g", name="pick rows")
    b.node("Relu", ["g"], "y")
    b.output("y", ["M", 4])
    return b


def rows_batch(*rows: int) -> dict[str, Array]:
    return {"x": np.arange(8, dtype=np.float32).reshape(2, 4), "rows": np.array(rows)}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("observe_bytes", [AMPLE, 1])
def test_a_batch_that_does_not_run_is_not_counted(
    tmp_path: Path, threads: int, observe_bytes: int
) -> None:
    watching = observer(
        failing_model(), ("x", "m", "g"), tmp_path, threads=threads, observe_bytes=observe_bytes
    )
    watching.observe(rows_batch(0, 1))
    before = {name: sketch.to_bytes() for name, sketch in watching.sketches().items()}
    with pytest.raises(BatchError, match=r"Gather node 'pick rows': .*idx=5") as raised:
        watching.observe(rows_batch(0, 5))
    assert raised.value.reason == "BATCH_RUN_FAILED"
    assert raised.value.metadata["node"] == "pick rows"
    assert "onnxruntime" not in raised.value.message
    after = {name: sketch.to_bytes() for name, sketch in watching.sketches().items()}
    assert before == after
    watching.observe(rows_batch(1))
    assert watching.sketches()["x"].elements == 16
    watching.close()


def test_a_failure_in_a_later_group_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when memory runs out: the groups before have been counted already."""
    watching = observer(residual(), TENSORS, tmp_path, threads=2, observe_bytes=60_000)
    (batch,) = image_batches([8])
    watching.observe(batch)
    before = {name: sketch.to_bytes() for name, sketch in watching.sketches().items()}
    run, calls = Session.run, []

    def failing(session: Session, feeds: Mapping[str, Array], names: Sequence[str]) -> list[Any]:
        calls.append(session)
        if len(calls) == 3:
            raise RuntimeRefusal("bad allocation")
        return run(session, feeds, names)

    monkeypatch.setattr(Session, "run", failing)
    with pytest.raises(BatchError, match="bad allocation"):
        watching.observe(batch)
    after = {name: sketch.to_bytes() for name, sketch in watching.sketches().items()}
    assert before == after
    watching.close()


def test_the_caller_may_reuse_the_memory_of_a_batch(tmp_path: Path) -> None:
    batches = image_batches([30, 30, 30])
    memory = np.empty_like(batches[0]["x"])
    watching = observer(residual(), TENSORS, tmp_path, threads=2)
    for batch in batches:
        memory[...] = batch["x"]
        watching.observe({"x": memory})
        memory.fill(1e9)
    assert dict(watching.sketches()) == by_hand(residual(), TENSORS, batches, tmp_path)
    watching.close()


def test_values_that_are_not_finite_are_told_apart(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", [4])
    b.node("Log", ["x"], "log")
    b.node("Relu", ["log"], "y")
    b.output("y", [4])
    watching = observer(b, ("log",), tmp_path)
    watching.observe({"x": np.array([-1, 0, 1, np.inf], np.float32)})
    sketch = watching.sketches()["log"]
    assert (sketch.nan, sketch.negative_infinity, sketch.positive_infinity) == (1, 1, 1)
    assert (sketch.minimum, sketch.maximum) == (0.0, 0.0)


def test_float16_activations(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4], TensorProto.FLOAT16)
    b.node("MatMul", ["x", b.constant("w", np.eye(4, dtype=np.float16))], "m")
    b.node("Neg", ["m"], "y")
    b.output("y", ["N", 4], TensorProto.FLOAT16)
    watching = observer(b, ("x", "m", "y"), tmp_path)
    x = np.array([[1, 2.5, -3, 65504]], np.float16)
    watching.observe({"x": x})
    assert watching.sketches()["m"] == sketch_of(x) == watching.sketches()["x"]
    assert watching.sketches()["y"] == sketch_of(-x)


def test_empty_batches_add_nothing(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 4])
    b.node("MatMul", ["x", b.weight("w", 4, 2)], "m")
    b.node("Relu", ["m"], "y")
    b.output("y", ["N", 2])
    watching = observer(b, ("x", "m", "y"), tmp_path)
    watching.observe({"x": np.zeros((0, 4), np.float32)})
    assert all(sketch == Sketch() for sketch in watching.sketches().values())


def test_a_model_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    watching = observer(residual(), ("no such tensor",), tmp_path)
    with pytest.raises(ModelError) as raised:
        watching.observe(image_batches([1])[0])
    assert raised.value.reason == "MODEL_NOT_RUNNABLE"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Non-zero status code returned while running Add node. Name:'add1' Status Message: "
            "/onnxruntime_src/onnxruntime/core/providers/cpu/math/element_wise_ops.h:563 void "
            "onnxruntime::BroadcastIterator::Init(ptrdiff_t, ptrdiff_t) axis == 1 || axis == "
            "largest was false. Attempting to broadcast an axis by a dimension other than 1. 3 by "
            "5\n",
            "Add node 'add1': axis == 1 || axis == largest was false. Attempting to broadcast an "
            "axis by a dimension other than 1. 3 by 5",
        ),
        (
            "Non-zero status code returned while running MatMul node. Name:'mm' Status Message: "
            "matmul_helper.h:59 Compute MatMul dimension mismatch",
            "MatMul node 'mm': MatMul dimension mismatch",
        ),
        ("Invalid rank for input: a Got: 3 Expected: 2", None),
    ],
)
def test_messages_are_made_readable(message: str, expected: str | None) -> None:
    assert str(read_refusal(message)) == (expected or message)


PEAK_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np, onnx_ir as ir
from support.graphs import residual
from zeropoint.engine.observe import Observer

tensors = ("x", "c1", "r1", "c2", "r2", "sum", "pool", "r4", "y")
watching = Observer(ir.from_proto(residual().model()), tensors, workspace=Path(sys.argv[1]),
                    threads=2, observe_bytes=1 << 30)
generator = np.random.default_rng(0)
for count in (16, 240):
    for _ in range(count):
        watching.observe({"x": generator.standard_normal((32, 3, 16, 16)).astype(np.float32)})
    watching.sketches()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_peak_memory_does_not_grow_with_batches(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK_MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    few, many = map(int, done.stdout.split())
    assert many <= 1.05 * few


def test_bands_are_apart_until_they_are_released(tmp_path: Path) -> None:
    """Also one that is told to begin after its release: its batches join the others."""
    batches = normal_batches({"x": (2, 3, 16, 16)}, 6)
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = observer(residual(), TENSORS, tmp_path / "whole")
    parts = observer(residual(), TENSORS, tmp_path / "parts")
    bands: list[int | None] = [None, 1, 2, 3, None, 1]
    for band, batch in zip(bands, batches, strict=True):
        whole.observe(batch)
        parts.submit(batch, band=partial(lambda found: found, band)).result()
    assert len(parts.apart()) == 3
    parts.release(2)
    assert len(parts.apart()) == 2
    before = {name: sketch.copy() for name, sketch in parts.sketches().items()}
    parts.submit(batches[0], band=lambda: 1).result()
    whole.observe(batches[0])
    assert len(parts.apart()) == 2
    assert all(parts.sketches()[name] != sketch for name, sketch in before.items())
    assert parts.snapshot(before) == dict(whole.sketches())
    parts.release()
    assert not parts.apart()
    assert parts.sketches() == whole.sketches()
    whole.close()
    parts.close()
