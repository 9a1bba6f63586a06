"""Calibrations as files: the same model again without data, and no other; strict to the byte."""

import hashlib
import itertools
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine import dynamic, open_here, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches, residual

from zeropoint.engine import (
    CalibrationError,
    CalibrationMethod,
    JobResult,
    JobSettings,
    NodeSelection,
    OptionError,
    QuantType,
    StaticOptions,
    VerificationState,
)
from zeropoint.engine.observe import Calibration, Statistics, TensorStatistics, observable_tensors
from zeropoint.engine.plan import plan_model
from zeropoint.sketch import Sketch

BATCHES = normal_batches({"x": (2, 3, 16, 16)})


def streamed(
    source: Path, workspace: Path, options: StaticOptions, *, keep: bool = True
) -> JobResult:
    workspace.mkdir()
    settings = JobSettings(workspace=workspace, keep_calibration=keep)
    with open_here(source, options, settings) as job:
        for batch in BATCHES:
            job.observe(batch)
        return job.finish()


def recalled(
    source: Path, workspace: Path, options: StaticOptions, calibration: Path | None
) -> JobResult:
    workspace.mkdir()
    with open_here(source, options, JobSettings(workspace=workspace), calibration) as job:
        return job.finish()


# Whole jobs


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    source = residual(opset=12).save(tmp_path)
    options = static(per_channel=True)
    first = streamed(source, tmp_path / "data", options)
    again = recalled(source, tmp_path / "none", options, first.calibration)
    assert again.files[0].read_bytes() == first.files[0].read_bytes()
    assert again.report.digest == first.report.digest
    assert first.report.calibration is not None
    moved = replace(first.report.calibration, convergence=None)  # of batches, which it has none of
    assert again.report.calibration == moved
    assert first.report.verification.state is VerificationState.COMPARED
    assert again.report.verification.state is VerificationState.GENERATED
    assert again.calibration is None


OTHERS = [
    static(per_channel=True),
    static(weight_type=QuantType.QUINT8),
    static(activation_type=QuantType.QINT8),
    static(calibrate_method=CalibrationMethod.PERCENTILE, percentile=99.9),
    static(calibration_range_symmetric=True),
    static(selection=NodeSelection(nodes_to_exclude=("relu_r1", "conv_c3"))),
    static(selection=NodeSelection(nodes_to_exclude=("flatten_flat", "maxpool_pool"))),
    static(selection=NodeSelection(op_types_to_quantize=("Conv",)), per_channel=True),
    static(selection=NodeSelection(op_types_to_quantize=("Add", "MaxPool", "Relu"))),
]


def test_other_options_need_no_data(tmp_path: Path) -> None:
    """Gathered at opset 12; per-channel models are converted to 13 first."""
    source = residual(opset=12).save(tmp_path)
    calibration = streamed(source, tmp_path / "data", static()).calibration
    for number, options in enumerate(OTHERS):
        result = recalled(source, tmp_path / str(number), options, calibration)
        reference, quantized = run(source, BATCHES[0])[0], run(result.files[0], BATCHES[0])[0]
        assert sqnr_db(reference, quantized) > 15, options


def test_a_kept_calibration_can_be_kept_again(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    first = streamed(source, tmp_path / "data", static())
    assert first.calibration is not None
    (tmp_path / "again").mkdir()
    settings = JobSettings(workspace=tmp_path / "again", keep_calibration=True)
    with open_here(source, static(), settings, first.calibration) as job:
        again = job.finish()
    assert again.calibration is not None
    assert again.calibration.read_bytes() == first.calibration.read_bytes()


def test_nothing_is_kept_unasked(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    assert streamed(source, tmp_path / "data", static(), keep=False).calibration is None


def test_order_of_batches_does_not_change_a_byte(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    files: list[bytes] = []
    for batches in (BATCHES, BATCHES[::-1]):
        workspace = tmp_path / f"job-{len(files)}"
        workspace.mkdir()
        settings = JobSettings(workspace=workspace, threads=2, keep_calibration=True)
        with open_here(source, static(), settings) as job:
            for batch in batches:
                job.observe(batch)
            kept = job.finish().calibration
        assert kept is not None
        files.append(kept.read_bytes())
    assert files[0] == files[1]


def test_nan_and_infinities_are_told_again(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    bad = {"x": BATCHES[0]["x"].copy()}
    bad["x"][0, 0, 0, :2] = [np.nan, np.inf]
    (tmp_path / "data").mkdir()
    settings = JobSettings(workspace=tmp_path / "data", keep_calibration=True)
    with open_here(source, static(), settings) as job:
        for batch in (BATCHES[0], bad, BATCHES[1]):
            job.observe(batch)
        first = job.finish()
    again = recalled(source, tmp_path / "none", static(), first.calibration)
    assert again.report.calibration is not None
    assert first.report.calibration is not None
    assert set(again.report.calibration.non_finite) == set(first.report.calibration.non_finite)
    seen = {tensor.name: tensor for tensor in again.report.calibration.non_finite}
    assert (seen["x"].nan, seen["x"].positive_infinity, seen["x"].batches) == (1, 1, (2,))


def test_batches_are_refused(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    calibration = streamed(source, tmp_path / "data", static()).calibration
    (tmp_path / "none").mkdir()
    settings = JobSettings(workspace=tmp_path / "none")
    with (
        open_here(source, static(), settings, calibration) as job,
        pytest.raises(OptionError, match="takes no batches"),
    ):
        job.observe(BATCHES[0])


def test_dynamic_quantization_has_none(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        open_here(tmp_path / "m", dynamic(), JobSettings(workspace=tmp_path), tmp_path / "c")
    assert caught.value.reason == "OPTION_CONFLICT"


# Of which model


def test_another_model_is_refused(tmp_path: Path) -> None:
    calibration = streamed(residual().save(tmp_path), tmp_path / "data", static()).calibration
    (tmp_path / "other").mkdir()
    builder = residual()
    builder.conv("r4", "unused", 8, 8)
    other = builder.save(tmp_path / "other")
    with pytest.raises(CalibrationError) as caught:
        recalled(other, tmp_path / "none", static(), calibration)
    assert caught.value.reason == "CALIBRATION_MISMATCH"
    assert hashlib.sha256(other.read_bytes()).hexdigest()[:12] in caught.value.message


def test_other_weights_beside_the_same_file_are_another_model(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(
        residual().model(),
        source,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    calibration = streamed(source, tmp_path / "data", static()).calibration
    recalled(source, tmp_path / "same", static(), calibration)
    weights = tmp_path / "weights.bin"
    weights.write_bytes((-np.fromfile(weights, np.float32)).tobytes())
    with pytest.raises(CalibrationError) as caught:
        recalled(source, tmp_path / "other", static(), calibration)
    assert caught.value.reason == "CALIBRATION_MISMATCH"


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    path = streamed(source, tmp_path / "data", static()).calibration
    assert path is not None
    whole = Calibration.from_bytes(path.read_bytes())
    tensors = {name: seen for name, seen in whole.statistics.tensors.items() if name != "r3"}
    path.write_bytes(replaced(whole, tensors=tensors).to_bytes())
    with pytest.raises(CalibrationError, match="'r3'") as caught:
        recalled(source, tmp_path / "none", static(), path)
    assert caught.value.reason == "CALIBRATION_INCOMPLETE"


def test_names_that_preparation_made_hold_for_the_same_preparation_only(tmp_path: Path) -> None:
    """A Gemm whose bias is a matrix is split: the tensor in between has no name of the user's."""
    b = GraphBuilder(opset=12)
    b.input("x", [5, 16])
    b.node("Gemm", ["x", b.weight("w", 16, 4), b.weight("c", 5, 4)], "y")
    b.node("Gemm", ["y", b.weight("v", 4, 4)], "z")
    b.output("z", [5, 4])
    source = b.save(tmp_path)
    settings = JobSettings(workspace=tmp_path / "data", keep_calibration=True)
    settings.workspace.mkdir()
    add = NodeSelection(op_types_to_quantize=("Gemm", "Add"))
    with open_here(source, static(selection=add), settings) as job:
        for batch in normal_batches({"x": (5, 16)}):
            job.observe(batch)
        path = job.finish().calibration
    assert path is not None
    made = [n for n, t in read(path).statistics.tensors.items() if not t.own]
    assert made
    recalled(source, tmp_path / "same", static(selection=add), path)
    with pytest.raises(CalibrationError) as caught:
        recalled(source, tmp_path / "other", static(selection=add, per_channel=True), path)
    assert caught.value.reason == "CALIBRATION_INCOMPLETE"
    assert caught.value.metadata["tensor"] in made


@pytest.mark.parametrize("opset", [10, 12, 13])
def test_what_any_plan_wants_is_observed(tmp_path: Path, opset: int) -> None:
    """Every node by itself excluded, and chosen, and every operator type, at both opsets."""
    builder = residual()
    builder.nodes = [node for node in builder.nodes if node.op_type != "Clip" or opset > 10]
    if opset == 10:  # Clip has attributes there
        builder.node("Clip", ["c4"], "r4", min=0.0, max=6.0)
        builder.nodes.insert(-4, builder.nodes.pop())
    builder.opset = opset
    source = builder.save(tmp_path)
    names = [node.name for node in builder.nodes]
    selections = [
        NodeSelection(),
        *(NodeSelection(nodes_to_exclude=(name,)) for name in names),
        *(NodeSelection(nodes_to_quantize=(name,)) for name in names),
        *(NodeSelection(op_types_to_quantize=(n.op_type,)) for n in builder.nodes),
    ]
    (tmp_path / "all").mkdir()
    whole = plan_model(source, static(), tmp_path / "all")
    observed = set(observable_tensors(whole.prepared.model, whole.bodies))
    for number, (selection, per_channel) in enumerate(itertools.product(selections, [False, True])):
        workspace = tmp_path / str(number)
        workspace.mkdir()
        plan = plan_model(source, static(selection=selection, per_channel=per_channel), workspace)
        assert set(plan.plan.observed) <= observed, selection


# The format


def replaced(calibration: Calibration, **fields: object) -> Calibration:
    statistics = replace(calibration.statistics, **fields)  # type: ignore[arg-type]  # of any kind
    return replace(calibration, statistics=statistics)


def read(path: Path) -> Calibration:
    return Calibration.from_bytes(path.read_bytes())


def sketch_of(*values: float) -> Sketch:
    sketch = Sketch()
    sketch.update(np.array(values, np.float32))
    return sketch


def example() -> Calibration:
    """The one that docs/calibration-format.md spells out."""
    tensors = {
        "y": TensorStatistics(sketch=sketch_of(1.0), own=False),
        "x": TensorStatistics(sketch=sketch_of(0.0, np.nan), non_finite_batches=(2,)),
    }
    return Calibration(
        model_sha256=b"\x11" * 32,
        preparation=b"\x22" * 32,
        statistics=Statistics(batches=3, rejected=1, tensors=tensors),
    )


def test_the_bytes_are_those_of_the_page() -> None:
    page = Path(__file__).parents[3] / "docs" / "calibration-format.md"
    [block] = page.read_text().split("## An example")[1].split("```")[1:2]
    spelled = (re.match(r"((?:[0-9A-F]{2} ?)+)", line) for line in block.strip().splitlines())
    content = b"".join(bytes.fromhex(match[1]) for match in spelled if match)
    assert example().to_bytes() == content + hashlib.sha256(content).digest()


def test_a_file_comes_back() -> None:
    back = Calibration.from_bytes(example().to_bytes())
    assert back == example()
    assert list(back.statistics.tensors) == ["x", "y"]


def test_any_damage_is_found() -> None:
    data = example().to_bytes()
    for position in range(len(data)):
        for damaged in (
            data[:position],
            data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :],
        ):
            with pytest.raises(CalibrationError) as caught:
                Calibration.from_bytes(damaged)
            assert caught.value.reason == "CALIBRATION_INVALID"


@given(st.data())
def test_whatever_is_taken_is_what_would_be_written(data: st.DataObject) -> None:
    """Changes that come with the right digest: no two files mean the same."""
    content = bytearray(example().to_bytes()[:-32])
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    content = content[:cut] + data.draw(st.binary(max_size=2))
    forged = bytes(content) + hashlib.sha256(content).digest()
    with suppress(CalibrationError):
        assert Calibration.from_bytes(forged).to_bytes() == forged


def test_a_later_version_is_told_apart() -> None:
    data = bytearray(example().to_bytes())
    data[4] = 2
    with pytest.raises(CalibrationError, match="version 2 is unknown"):
        Calibration.from_bytes(bytes(data))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    source = residual().save(tmp_path)
    with pytest.raises(CalibrationError, match="cannot be read") as caught:
        recalled(source, tmp_path / "none", static(), tmp_path)
    assert caught.value.reason == "CALIBRATION_INVALID"
