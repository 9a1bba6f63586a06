"""Figures that tell quantization's own error from everything else, through whole jobs."""

import math
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.engine import Feeds, dynamic, quantize, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import Options, StaticOptions, VerifyOptions
from zeropoint.engine.errors import VerificationError
from zeropoint.engine.report import ComparedAs, OutputFigures, Verdict, VerificationState


def _classifier(*, saturating: str = "Softmax", scale: float = 3.0) -> GraphBuilder:
    """Two layers and ten classes: x float [N, 16] -> y float [N, 10], of which many are sure."""
    b = GraphBuilder(seed=5)
    b.input("x", ["N", 16])
    b.node("Relu", [b.node("MatMul", ["x", b.weight("w", 16, 64)], "h")], "r")
    b.node("MatMul", ["r", b.weight("v", 64, 10, scale=scale)], "logits")
    b.output(b.node(saturating, ["logits"], "y"), ["N", 10])
    return b


def _first(outputs: tuple[OutputFigures, ...]) -> OutputFigures:
    return outputs[0]


@pytest.mark.parametrize("saturating", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_the_figure_does_not_depend_on_how_many_batches_there_are(
    saturating: str, folder: Path, workspace: Path
) -> None:
    source = _classifier(saturating=saturating).save(folder)
    figures, pooled = [], []
    for count in (2, 4, 8, 16, 32):
        batches = normal_batches({"x": (4, 16)}, count=count, seed=count)
        result = quantize(source, batches, StaticOptions(), workspace / str(count))
        assert result.warned == set()
        report = result.report
        assert report.verification.sqnr_db is not None
        figures.append(report.verification.sqnr_db)
        pooled.append(_first(report.verification.outputs).similarity.sqnr_db)
    assert max(figures) - min(figures) < 6, (figures, pooled)


def test_samples_of_a_batch_are_told_apart_and_batches_where_they_are_not(
    folder: Path, workspace: Path
) -> None:
    batches = normal_batches({"x": (4, 16)}, count=4)
    apart = quantize(_classifier().save(folder), batches, static(), workspace / "apart").report
    assert _first(apart.verification.outputs).by_sample.samples == 8  # type: ignore[union-attr]
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.weight("w", 16, 8)], "h")
    b.node("ReduceMean", ["h"], "mean", axes=[0], keepdims=1)
    b.output(b.node("Sub", ["h", "mean"], "y"), ["N", 8])
    joined = quantize(b.save(folder), batches, static(), workspace / "joined").report
    assert _first(joined.verification.outputs).by_sample.samples == 2  # type: ignore[union-attr]


def _random_numbers() -> GraphBuilder:
    """Noise is added to the input, but not for the second output."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    weight = b.weight("w", 16, 8)
    b.node("Add", ["x", b.node("RandomNormalLike", ["x"], "z")], "a")
    b.output(b.node("MatMul", ["a", weight], "noisy"), ["N", 8])
    b.output(b.node("MatMul", ["x", weight], "steady"), ["N", 8])
    return b


@pytest.mark.parametrize("options", [StaticOptions(), dynamic()])
def test_outputs_that_the_original_does_not_repeat_are_no_loss(
    options: Options, folder: Path, workspace: Path
) -> None:
    batches = normal_batches({"x": (4, 16)})
    report = quantize(_random_numbers().save(folder), batches, options, workspace).report
    noisy, steady = report.verification.outputs
    assert noisy.repeat_db is not None
    assert noisy.repeat_db < 10
    assert steady.repeat_db is None
    assert (report.verification.sqnr_db or 0) > 20
    assert [w.code for w in report.warnings if w.code in ("SQNR_LOW", "NOT_REPEATABLE")] == [
        "NOT_REPEATABLE"
    ]


def test_a_result_of_random_outputs_alone_is_unverified_and_strict_says_why(
    folder: Path, workspace: Path
) -> None:
    b = _random_numbers()
    del b.outputs[1:], b.nodes[-1:]
    source, batches = b.save(folder), normal_batches({"x": (4, 16)})
    report = quantize(source, batches, static(), workspace / "lax").report
    assert (report.verdict, report.verification.sqnr_db) == (Verdict.UNVERIFIED, None)
    strict = static(verify=VerifyOptions(strict=True))
    with pytest.raises(VerificationError, match="random numbers") as caught:
        quantize(source, batches, strict, workspace / "strict")
    assert caught.value.reason == "NOT_VERIFIED"


def _broken(batches: list[dict[str, np.ndarray]], value: float) -> None:
    for index in (1, 4):
        batches[index]["x"][0, 3] = value


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("options", [StaticOptions(), dynamic()])
def test_batches_with_nan_or_infinities_take_no_part_and_are_named_once(
    value: float, options: Options, folder: Path, workspace: Path
) -> None:
    batches = normal_batches({"x": (4, 16)})
    _broken(batches, value)
    report = quantize(_classifier().save(folder), batches, options, workspace).report
    assert (report.verification.sqnr_db or 0) > 20
    codes = [warning.code for warning in report.warnings]
    assert codes.count("NON_FINITE_BATCHES") == 1
    assert "SQNR_LOW" not in codes
    (warning,) = (w for w in report.warnings if w.code == "NON_FINITE_BATCHES")
    assert "batches 2, 5" in warning.message


def test_infinities_that_belong_to_the_model_are_compared(folder: Path, workspace: Path) -> None:
    """A mask of -infinity, in every batch, as an input and as part of an output."""
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.input("mask", [8])
    b.node("MatMul", ["x", b.weight("w", 16, 8)], "h")
    b.output(b.node("Add", ["h", "mask"], "y"), ["N", 8])
    mask = np.array([0, 0, -np.inf, 0, 0, -np.inf, 0, 0], np.float32)
    batches: list[Feeds] = [{**x, "mask": mask} for x in normal_batches({"x": (4, 16)})]
    report = quantize(b.save(folder), batches, static(), workspace).report
    assert report.verification.state is VerificationState.COMPARED
    assert 20 < (report.verification.sqnr_db or 0) < 60
    assert "NON_FINITE_BATCHES" not in [warning.code for warning in report.warnings]


def test_an_infinite_output_of_one_batch_is_left_out_by_number(
    folder: Path, workspace: Path
) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("MatMul", ["x", b.weight("w", 16, 8)], "h")
    b.output(b.node("Exp", ["h"], "y"), ["N", 8])
    batches = normal_batches({"x": (2, 16)}, count=4)
    batches[2]["x"] *= 1000
    report = quantize(b.save(folder), batches, dynamic(), workspace).report
    assert report.verification.non_finite_batches == (3,)
    assert (report.verification.sqnr_db or 0) > 20


@pytest.mark.parametrize("samples", [True, False])
def test_maps_are_compared_with_and_without_samples(
    samples: bool, folder: Path, workspace: Path
) -> None:
    b = _classifier()
    b.outputs.clear()
    b.node("ZipMap", ["y"], "maps", domain="ai.onnx.ml", classlabels_int64s=list(range(10)))
    value = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    b.outputs.append(helper.make_value_info("maps", helper.make_sequence_type_proto(value)))
    model = b.model()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    batches = normal_batches({"x": (4, 16)}) if samples else []
    report = quantize(path, batches, dynamic(), workspace).report
    expected = VerificationState.COMPARED if samples else VerificationState.GENERATED
    assert report.verification.state is expected
    maps = _first(report.verification.outputs)
    assert maps.compared_as is ComparedAs.LOGITS
    assert maps.decisions is not None
    assert (report.verification.sqnr_db or 0) > 20
