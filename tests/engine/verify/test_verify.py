"""Results are loaded and run as they are shipped, and compared with the original."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper
from support.engine import dynamic, quantize, static
from support.graphs import Array, GraphBuilder, normal_batches, residual
from support.learned import fake_quantized
from support.quantized import CLASSIFIER_NODES, classifier

from zeropoint.engine import Options, QatOptions
from zeropoint.engine.errors import VerificationError
from zeropoint.engine.load import input_ranges
from zeropoint.engine.numbers import QParams
from zeropoint.engine.report import DecisionKind, KernelCount, VerificationState
from zeropoint.engine.runtime import Session
from zeropoint.engine.samples import StoredBatch, store_batch
from zeropoint.engine.twins import NodeTwin, build_twins
from zeropoint.engine.verify import (
    COMPARE,
    DONE,
    KERNELS,
    LOAD,
    ORIGINAL,
    ContainedVerifier,
    ReferenceRequest,
    TwinModel,
    TwinNode,
    Verified,
    VerifyRequest,
    compare,
    run_original,
    verify,
)

SHAPES = {"x": (4, 3, 8, 8)}


def _saved(b: GraphBuilder, folder: Path, name: str) -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(b.model(), path)
    return path


def _stored(folder: Path, batches: list[dict[str, Array]]) -> tuple[StoredBatch, ...]:
    return tuple(
        store_batch(batch, folder / f"batch-{index}.batch") for index, batch in enumerate(batches)
    )


def _request(
    folder: Path, original: GraphBuilder, shipped: GraphBuilder, batches: list[dict[str, Array]]
) -> VerifyRequest:
    reference = ReferenceRequest(
        original=_saved(original, folder, "original"),
        scratch=folder,
        batches=_stored(folder, batches),
        inputs=input_ranges(ir.load(folder / "original.onnx").graph),
    )
    return VerifyRequest(
        reference=reference, shipped=_saved(shipped, folder, "shipped"), nodes=CLASSIFIER_NODES
    )


def _original(request: VerifyRequest) -> Path:
    assert request.reference.original is not None
    return request.reference.original


def _at_once(request: VerifyRequest) -> VerifyRequest:
    return dataclasses.replace(
        request, reference=dataclasses.replace(request.reference, at_once=True, threads=2)
    )


def _twins(folder: Path, original: Path) -> TwinModel:
    activation = QParams(np.array(0.03, np.float32), np.array(128, np.uint8))
    twins = [NodeTwin(chain=(name,), inputs={(name, 0): activation}) for name in CLASSIFIER_NODES]
    return build_twins(ir.load(original), twins, folder / "twins.onnx", lambda n: n.name or "")


def test_outputs_are_compared_on_samples(tmp_path: Path) -> None:
    batches = normal_batches(SHAPES, count=3)
    request = _request(tmp_path, classifier(quantized=False), classifier(quantized=True), batches)
    found = verify(request)
    verification = found.verification
    assert (verification.state, verification.message) == (VerificationState.COMPARED, "")
    assert verification.batches == 3
    logits, label = verification.outputs
    original, shipped = Session(_original(request)), Session(request.shipped)
    pairs = [(original.run(batch)[0], shipped.run(batch)[0]) for batch in batches]
    x, y = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    expected = compare(x, y).similarity
    assert logits.similarity.sqnr_db == pytest.approx(expected.sqnr_db, abs=1e-6)
    assert logits.similarity.max_abs_difference == expected.max_abs_difference
    decided = logits.decisions
    assert decided is not None
    assert (decided.kind, decided.count) == (DecisionKind.ARGMAX, 12)
    assert decided.agreement == np.mean(x.argmax(1) == y.argmax(1))
    assert decided.low < decided.agreement <= decided.high
    assert (logits.name, label.name) == ("logits", "label")
    assert 20 < logits.similarity.sqnr_db < 60
    assert logits.by_sample is not None
    assert logits.by_sample.samples == 12
    assert verification.sqnr_db == logits.by_sample.median_db
    assert verification.kernels == (
        KernelCount(op_type="Conv", nodes=1, integer=1),
        KernelCount(op_type="MatMul", nodes=1, integer=1),
    )
    assert found.float_nodes == ()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    request = _request(
        tmp_path,
        classifier(quantized=False),
        classifier(quantized=True),
        normal_batches(SHAPES, count=2),
    )
    before = set(tmp_path.iterdir())
    verify(request)
    assert set(tmp_path.iterdir()) == before


def test_where_the_optimized_graph_cannot_be_written_only_counts_are_missing(
    tmp_path: Path,
) -> None:
    request = _request(
        tmp_path,
        classifier(quantized=False),
        classifier(quantized=True),
        normal_batches(SHAPES, count=1),
    )
    (tmp_path / "optimized.onnx").mkdir()
    verification = verify(request).verification
    assert verification.state is VerificationState.COMPARED
    assert verification.sqnr_db is not None
    assert verification.kernels == ()
    assert "kernel counts are missing" in verification.message


def test_a_wrong_result_is_seen(tmp_path: Path) -> None:
    request = _request(
        tmp_path,
        classifier(quantized=False),
        classifier(quantized=True, error=2.0),
        normal_batches(SHAPES, count=2),
    )
    verification = verify(request).verification
    assert verification.sqnr_db is not None
    assert verification.sqnr_db < 5


def test_figures_per_node(tmp_path: Path) -> None:
    request = _request(
        tmp_path,
        classifier(quantized=False),
        classifier(quantized=True),
        normal_batches(SHAPES, count=3),
    )
    twins = _twins(tmp_path, _original(request))
    with_twins = dataclasses.replace(request, twins=twins, nodes={})
    nodes = verify(with_twins).verification.nodes
    assert {node.name for node in nodes} == {"conv", "head"}
    assert all(10 < node.similarity.sqnr_db < 60 for node in nodes)
    twins.path.write_bytes(b"not a model")
    verification = verify(with_twins).verification
    assert verification.state is VerificationState.COMPARED
    assert verification.nodes == ()
    assert "figures per node are missing" in verification.message


def test_without_samples_inputs_are_made_up(tmp_path: Path) -> None:
    request = _request(tmp_path, classifier(quantized=False), classifier(quantized=True), [])
    verification = verify(request).verification
    assert verification.state is VerificationState.GENERATED
    assert "x [1, 3, 8, 8]" in verification.message
    assert verification.batches == 3
    assert verification.sqnr_db is not None
    assert 20 < verification.sqnr_db < 60


def test_samples_that_the_original_refuses_are_left_out(tmp_path: Path) -> None:
    good, wrong = normal_batches(SHAPES, 1)[0], normal_batches({"x": (4, 3, 9, 9)}, 1)[0]
    models = classifier(quantized=False), classifier(quantized=True)
    some = verify(_request(tmp_path, *models, [wrong, good])).verification
    assert (some.state, some.batches) == (VerificationState.COMPARED, 1)
    none = verify(_request(tmp_path, *models, [wrong])).verification
    assert none.state is VerificationState.GENERATED


def test_where_nothing_can_be_run_the_result_is_loaded(tmp_path: Path) -> None:
    request = _request(tmp_path, classifier(quantized=False), classifier(quantized=True), [])
    nothing = ReferenceRequest(original=None, scratch=tmp_path)
    only_loading = dataclasses.replace(request, reference=nothing)
    verification = verify(only_loading).verification
    assert verification.state is VerificationState.NOT_RUN
    assert verification.message
    assert verification.sqnr_db is None
    assert [count.integer for count in verification.kernels] == [1, 1]


def test_text_is_made_up_where_there_are_no_samples(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("text", ["N"], TensorProto.STRING)
    b.output(b.node("Identity", ["text"], "y"), dtype=TensorProto.STRING)
    verification = verify(_request(tmp_path, b, b, [])).verification
    assert verification.state is VerificationState.GENERATED


def test_text_is_compared_where_there_are_samples(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("text", ["N"], TensorProto.STRING)
    b.output(b.node("Identity", ["text"], "y"), dtype=TensorProto.STRING)
    batches = [{"text": np.array(["a", "bcd"], dtype=object)}]
    verification = verify(_request(tmp_path, b, b, batches)).verification
    assert verification.state is VerificationState.COMPARED
    assert verification.sqnr_db == math.inf


@pytest.mark.parametrize("damage", ["garbage", "unknown operator", "missing weights"])
def test_a_result_that_does_not_load_is_refused(damage: str, tmp_path: Path) -> None:
    shipped = classifier(quantized=True)
    if damage == "unknown operator":
        shipped.nodes[-1].op_type = "ArgLargest"
    request = _request(
        tmp_path, classifier(quantized=False), shipped, normal_batches(SHAPES, count=1)
    )
    if damage == "garbage":
        request.shipped.write_bytes(b"\x08garbage")
    if damage == "missing weights":
        model = classifier(quantized=True).model()
        onnx.save(
            model, request.shipped, save_as_external_data=True, location="w", size_threshold=0
        )
        (tmp_path / "w").unlink()
    with pytest.raises(VerificationError) as caught:
        verify(request)
    assert caught.value.reason == "RESULT_NOT_RUNNABLE"


def test_a_result_that_fails_where_the_original_runs_is_refused(tmp_path: Path) -> None:
    shipped = classifier(quantized=True)
    shape = shipped.constant("shape", np.array([-1, 7], np.int64))
    shipped.node("Reshape", ["logits", shape], "reshaped")
    shipped.nodes[-2].input[0] = "reshaped"
    shipped.nodes[-2], shipped.nodes[-1] = shipped.nodes[-1], shipped.nodes[-2]
    request = _request(
        tmp_path, classifier(quantized=False), shipped, normal_batches(SHAPES, count=1)
    )
    with pytest.raises(VerificationError) as caught:
        verify(request)
    assert caught.value.reason == "RESULT_NOT_RUNNABLE"
    assert caught.value.metadata["batch"] == "1"
    assert "Reshape" in caught.value.message


def _splitter(scale: float) -> GraphBuilder:
    """A sequence of the halves of x * scale, and its first half."""
    b = GraphBuilder()
    b.input("x", ["N", 4])
    b.node("Mul", ["x", b.constant("scale", np.array(scale, np.float32))], "scaled")
    b.node("SplitToSequence", ["scaled"], "halves", axis=1)
    b.outputs.append(helper.make_tensor_sequence_value_info("halves", TensorProto.FLOAT, None))
    return b


def test_sequences_are_compared_element_by_element(tmp_path: Path) -> None:
    batches = normal_batches({"x": (2, 4)}, count=2)
    verification = verify(_request(tmp_path, _splitter(1.0), _splitter(0.9), batches)).verification
    assert verification.sqnr_db == pytest.approx(20.0, abs=1e-3)


def _selector(threshold: float) -> GraphBuilder:
    """The values above a threshold: how many there are depends on the data."""
    b = GraphBuilder()
    b.input("x", [8])
    limit = b.constant("limit", np.array(threshold, np.float32))
    mask = b.node("Greater", ["x", limit], "mask")
    b.output(b.node("Compress", ["x", mask], "y"))
    return b


def test_samples_whose_output_has_another_shape_are_counted_and_left_out(tmp_path: Path) -> None:
    batches = [{"x": np.arange(8, dtype=np.float32)}]
    same = verify(_request(tmp_path, _selector(2.0), _selector(2.5), batches)).verification
    assert same.sqnr_db == math.inf
    request = _request(tmp_path, _selector(2.0), _selector(3.5), batches)
    changed = verify(request).verification
    assert (changed.sqnr_db, changed.outputs[0].by_sample) == (None, None)
    assert changed.outputs[0].shape_changed == 1
    batches.append({"x": np.arange(8, dtype=np.float32) * 10})
    request = _request(tmp_path, _selector(2.0), _selector(3.5), batches)
    some = verify(request).verification
    assert (some.sqnr_db, some.outputs[0].shape_changed) == (math.inf, 1)


def test_empty_outputs_are_equal(tmp_path: Path) -> None:
    batches = [{"x": np.zeros(8, np.float32)}]
    verification = verify(_request(tmp_path, _selector(2.0), _selector(2.5), batches)).verification
    assert verification.sqnr_db == math.inf


def test_integer_outputs_do_not_decide_where_there_are_floats(tmp_path: Path) -> None:
    original, shipped = classifier(quantized=False), classifier(quantized=False)
    shipped.nodes[-1].op_type = "ArgMin"
    batches = normal_batches(SHAPES, count=1)
    verification = verify(_request(tmp_path, original, shipped, batches)).verification
    assert verification.sqnr_db == math.inf
    assert verification.outputs[1].similarity.sqnr_db < 20


def test_stages_are_told_with_what_was_found(tmp_path: Path) -> None:
    told: list[tuple[str, Verified]] = []
    request = _request(
        tmp_path,
        classifier(quantized=False),
        classifier(quantized=True),
        normal_batches(SHAPES, count=1),
    )
    found = verify(request, lambda stage, so_far: told.append((stage, so_far)))
    assert [stage for stage, _ in told] == [ORIGINAL, LOAD, COMPARE, KERNELS, "speed", DONE]
    by_stage = dict(told)
    assert by_stage[COMPARE].verification.state is VerificationState.NOT_RUN
    assert by_stage[KERNELS].verification.sqnr_db == found.verification.sqnr_db
    assert by_stage[DONE] == found


def test_the_same_is_found_with_several_batches_and_the_twins_at_once(tmp_path: Path) -> None:
    batches = normal_batches(SHAPES, count=3)
    request = _request(tmp_path, classifier(quantized=False), classifier(quantized=True), batches)
    request = dataclasses.replace(request, twins=_twins(tmp_path, _original(request)))
    apart = verify(request)
    together = verify(_at_once(request))
    assert together.verification.kernels == apart.verification.kernels
    assert together.float_nodes == apart.float_nodes
    assert together.verification.batches == 3
    assert together.verification.sqnr_db == pytest.approx(apart.verification.sqnr_db, rel=1e-5)
    names = [node.name for node in apart.verification.nodes]
    assert names
    assert [node.name for node in together.verification.nodes] == names


def test_with_several_at_once_a_batch_that_fails_is_named_and_one_of_the_original_left_out(
    tmp_path: Path,
) -> None:
    good = normal_batches(SHAPES, count=3)
    request = _request(
        tmp_path,
        classifier(quantized=False),
        classifier(quantized=True),
        [good[0], {"x": np.zeros((1, 2), np.float32)}, *good[1:]],
    )
    assert verify(_at_once(request)).verification.batches == 3
    shipped = classifier(quantized=True)
    shipped.inputs[0].type.tensor_type.shape.dim[0].dim_value = len(good[0]["x"])
    few = {"x": good[0]["x"][:1]}
    request = _request(tmp_path, classifier(quantized=False), shipped, [*good, few])
    with pytest.raises(VerificationError) as caught:
        verify(_at_once(request))
    assert caught.value.metadata["batch"] == "4"


def test_figures_per_node_that_fail_beside_the_result_are_told(tmp_path: Path) -> None:
    batches = normal_batches(SHAPES, count=1)
    request = _request(tmp_path, classifier(quantized=False), classifier(quantized=True), batches)
    twins = TwinModel(
        path=tmp_path / "nowhere.onnx",
        nodes=(TwinNode(name="conv", op_type="Conv"),),
    )
    found = verify(_at_once(dataclasses.replace(request, twins=twins))).verification
    assert found.state is VerificationState.COMPARED
    assert "figures per node are missing" in found.message


def test_the_original_may_have_been_run_before(tmp_path: Path) -> None:
    request = _request(
        tmp_path,
        classifier(quantized=False),
        classifier(quantized=True),
        normal_batches(SHAPES, count=2),
    )
    request = _at_once(request)
    expected = verify(request)
    reference = run_original(request.reference)
    _original(request).unlink()
    stages: list[str] = []
    assert verify(request, lambda stage, _: stages.append(stage), reference) == expected
    assert ORIGINAL not in stages


def test_the_weights_of_the_optimized_graph_are_not_written(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 256])
    b.output(b.node("MatMul", ["x", b.weight("w", 256, 256)], "y", name="product"))
    request = _request(tmp_path, b, b, normal_batches({"x": (2, 256)}, count=1))
    sizes: list[int] = []

    def look(stage: str, _found: Verified) -> None:
        if stage == KERNELS:
            files = tmp_path.glob("optimized.onnx*")
            sizes.append(sum(file.stat().st_size for file in files))

    request = dataclasses.replace(request, nodes={"product": "MatMul"})
    found = verify(request, look).verification
    assert [(count.nodes, count.integer) for count in found.kernels] == [(1, 0)]
    assert 0 < sizes[0] < 256 * 256
    assert not list(tmp_path.glob("optimized.onnx*"))


@pytest.mark.parametrize(
    ("options", "model", "side"),
    [
        (static(), residual(), 16),
        (dynamic(), residual(), 16),
        (QatOptions(), fake_quantized(), 8),
        (QatOptions(calibrate=True), fake_quantized(whole=False), 8),
    ],
    ids=["static", "dynamic", "trained", "completed"],
)
def test_a_job_is_verified_alike_in_this_process_and_in_one_of_its_own(
    tmp_path: Path, options: Options, model: GraphBuilder, side: int
) -> None:
    """Models are trusted or not; what is found of them is the same."""
    source, batches = model.save(tmp_path), normal_batches({"x": (2, 3, side, side)}, count=2)
    contained = quantize(source, batches, options, tmp_path / "own", verifier=ContainedVerifier)
    here = quantize(source, batches, options, tmp_path / "here")
    assert here.report.verification == contained.report.verification
    assert here.report.digest == contained.report.digest
