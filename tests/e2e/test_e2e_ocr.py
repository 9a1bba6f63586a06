"""The three models of PP-OCR, over gRPC: each comes back, loads, runs and does what it did."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import Array, kernels, run, sqnr_db
from support.models import (
    Batch,
    classifier,
    detector,
    detector_batches,
    reader,
    recognizer,
    recognizer_batches,
)

from zeropoint.client import (
    QuantizationResult,
    QuantType,
    Report,
    quantize_dynamic,
    quantize_static,
)
from zeropoint.client.demo.images import crop
from zeropoint.client.demo.ocr import Reader, open_session
from zeropoint.client.demo.pages import pages
from zeropoint.client.options import StaticKeywords

PER_CHANNEL = StaticKeywords(
    per_channel=True, weight_type=QuantType.QInt8, reduce_range=True, accuracy="off"
)
"""Codes of 7 bits: no processor saturates, so that all compute the same."""

PER_TENSOR = StaticKeywords(per_channel=False, accuracy="off")
"""What was asked for, also where it is bad."""


def classifier_batches(count: int) -> Iterator[Batch]:
    """Yield the left part of one line a batch, every other upside down: x [1, 3, 48, 192]."""
    for number, batch in enumerate(recognizer_batches(count)):
        x = batch["x"][..., :192]
        yield {"x": np.ascontiguousarray(x[..., ::-1, ::-1] if number % 2 else x)}


@dataclass
class Case:
    """A model, data for it, and the greatest share of its bytes that a result may have.

    Scales for channels are worth more data: `more` comes on top.
    """

    path: Path
    batches: list[Batch]
    more: list[Batch] = field(default_factory=list)
    share: float = 0.35

    @functools.cached_property
    def float_output(self) -> Array:
        [output] = run(self.path, self.batches[0])
        return output


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    lines = list(recognizer_batches(24))
    return {
        "detector": Case(detector(), list(detector_batches(2))),
        "recogniser": Case(recognizer(), lines[:6], lines[6:]),
        # Half a megabyte, of which the graph takes much.
        "classifier": Case(classifier(), list(classifier_batches(4)), share=0.6),
    }


Static = Callable[[str, bool], QuantizationResult]


@pytest.fixture(scope="module")
def static(
    cases: dict[str, Case], address: str, tmp_path_factory: pytest.TempPathFactory
) -> Static:
    """Quantizes a case, with scales for channels or without, once."""

    @functools.cache
    def quantize(name: str, per_channel: bool) -> QuantizationResult:
        case, options = cases[name], PER_CHANNEL if per_channel else PER_TENSOR
        before = case.path.read_bytes()
        batches = [*case.batches, *(case.more if per_channel else ())]
        target = tmp_path_factory.mktemp("static") / "out.onnx"
        result = quantize_static(case.path, target, batches, server=address, **options)
        assert case.path.read_bytes() == before
        return result

    return quantize


def integer(report: Report) -> dict[str, tuple[int, int]]:
    """Return how many nodes of each type there are, and how many run on integers."""
    return {one.op_type: (one.nodes, one.integer) for one in report.verification.kernels}


def output_of(result: QuantizationResult, case: Case) -> Array:
    """Load and run a result at ONNX Runtime's default level; return its output."""
    onnx.checker.check_model(result.model)
    [output] = run(result.model, case.batches[0])
    assert output.shape == case.float_output.shape
    assert output.dtype == np.float32
    assert np.isfinite(output).all()
    assert result.report.result_bytes == result.model.stat().st_size
    assert result.report.result_bytes < case.share * result.report.source_bytes
    return output


@pytest.mark.parametrize(
    ("name", "per_channel", "floor"),
    [
        pytest.param("detector", False, 8, marks=pytest.mark.soak),
        ("detector", True, 10),
        ("classifier", False, 20),
        ("classifier", True, 20),
        ("recogniser", False, 4),
        ("recogniser", True, 6),
    ],
)
def test_static(
    cases: dict[str, Case],
    static: Static,
    tmp_path: Path,
    name: str,
    per_channel: bool,
    floor: float,
) -> None:
    case, result = cases[name], static(name, per_channel)
    assert sqnr_db(case.float_output, output_of(result, case)) > floor

    report = result.report
    assert report.verification.state.value == "compared"
    assert report.sqnr_db is not None
    assert report.calibration is not None
    assert report.calibration.batches == len(case.batches) + per_channel * len(case.more)
    found = integer(report)
    assert found["Conv"][0] > 0
    assert all(
        nodes == whole for op, (nodes, whole) in found.items() if op in ("Conv", "MatMul", "Gemm")
    ), found
    # What the report says is what ONNX Runtime does.
    counted = kernels(result.model, tmp_path)
    assert counted["Conv"] == counted["FusedConv"] == counted["MatMul"] == counted["Gemm"] == 0
    assert counted["QLinearConv"] == found["Conv"][0]


def test_order_changes_no_byte(
    cases: dict[str, Case], static: Static, address: str, tmp_path: Path
) -> None:
    case, expected = cases["classifier"], static("classifier", False)
    [first, *others] = case.batches
    turned = [*others[::-1], first]
    got = quantize_static(case.path, tmp_path / "out.onnx", turned, server=address, **PER_TENSOR)
    assert got.model.read_bytes() == expected.model.read_bytes()
    assert got.report.digest == expected.report.digest


def test_a_recogniser_with_one_scale_for_each_weight_is_warned_of(static: Static) -> None:
    result = static("recogniser", False)
    assert result.report.sqnr_db is not None
    assert result.report.sqnr_db < 10
    [warning] = [one for one in result.report.warnings if one.code == "SQNR_LOW"]
    assert f"{result.report.sqnr_db:.1f} dB" in warning.message
    assert "per_channel=True" in warning.message
    assert warning.nodes
    assert all(repr(node) in warning.message for node in warning.nodes)
    assert warning.message in " ".join(str(result.report).split())


def texts(reader: Reader) -> list[str]:
    """Read lines that calibration did not see."""
    drawn = pages(2, first=1000)
    return [reader.text(crop(page.image, line.box)) for page in drawn for line in page.lines]


def test_a_recogniser_with_a_scale_for_each_channel_reads_the_same(static: Static) -> None:
    before = texts(reader())
    quantized = open_session(static("recogniser", True).model, threads=1)
    assert texts(replace(reader(), recognizer=quantized)) == before
    assert len(before) > 10
    assert len(set("".join(before))) > 20


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("detector", marks=pytest.mark.soak),
        pytest.param("recogniser", marks=pytest.mark.soak),
        "classifier",
    ],
)
def test_dynamic(cases: dict[str, Case], address: str, tmp_path: Path, name: str) -> None:
    case = cases[name]
    result = quantize_dynamic(
        case.path,
        tmp_path / "out.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        verification_data=case.batches[:1],
        accuracy="off",
        server=address,
    )
    assert sqnr_db(case.float_output, output_of(result, case)) > 5
    assert result.report.verification.state.value == "compared"
    assert result.report.verification.batches == 1
    found = integer(result.report)
    assert found["Conv"][0] > found["Conv"][1] == 0  # slower than float, and not named
