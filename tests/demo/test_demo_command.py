"""The demo from end to end: a real server, both models, pages that calibration did not see."""

import io
import json
import sys
from dataclasses import replace

import pytest
from rich.console import Console
from support.models import rapidocr_models

from zeropoint.client import ZeropointError
from zeropoint.client.demo.command import OPTIONS, demonstrate
from zeropoint.client.demo.display import present
from zeropoint.client.demo.outcome import DemoOutcome

LOG = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def outcome() -> DemoOutcome:
    """What is found where nothing is searched: four samples give less than the floor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIONS, "accuracy", "off")
        return demonstrate(LOG, models=rapidocr_models(), server=None, samples=4)


@pytest.mark.soak
def test_what_is_mended_reads_the_same_text_too() -> None:
    outcome = demonstrate(LOG, models=rapidocr_models(), server=None, samples=4)
    assert outcome.agreement == 1
    accuracy = [model.job.report.accuracy for model in outcome.models]
    assert all(found is not None and found.searched for found in accuracy)


def shown(outcome: DemoOutcome, *, json_output: bool = False) -> tuple[int, str]:
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    return present(console, outcome, json_output=json_output), stream.getvalue()


def test_quantized_models_read_the_same_text(outcome: DemoOutcome) -> None:
    assert len(outcome.lines) >= 20
    assert [line.quantized_text for line in outcome.lines] == [
        line.written for line in outcome.lines
    ]


def test_both_models_shrink_and_run_on_integers(outcome: DemoOutcome) -> None:
    detector, recognizer = (model.job for model in outcome.models)
    for job in (detector, recognizer):
        report = job.report
        assert report.result_bytes < 0.35 * report.source_bytes
        assert report.sqnr_db is not None
        assert report.sqnr_db > 7.5  # of the few lines retained; single ones have 9 to 26 dB
        assert report.calibration is not None
        assert report.calibration.batches == job.batches
        convolutions = {kernel.op_type: kernel for kernel in report.verification.kernels}["Conv"]
        assert convolutions.integer == convolutions.nodes > 0
    assert detector.batches == 4
    assert recognizer.batches > 25


def test_the_tables_say_what_was_found(outcome: DemoOutcome) -> None:
    code, text = shown(outcome)
    assert code == 0
    count = len(outcome.lines)
    assert f"{count} of {count} lines read the same before and after" in text
    for model in outcome.models:
        assert f"{model.job.report.sqnr_db:.1f} dB" in text
        assert all(node.reason in text for node in model.job.report.skipped)


def test_one_line_read_otherwise_fails_the_demo(outcome: DemoOutcome) -> None:
    other = replace(outcome.lines[0], quantized_text="something else")
    failed = replace(outcome, lines=(other, *outcome.lines[1:]))
    code, text = shown(failed)
    assert code == 1
    assert f"{len(failed.lines) - 1} of {len(failed.lines)} lines read the same" in text
    assert "something else" in text


def test_the_json_document_is_whole(outcome: DemoOutcome) -> None:
    code, text = shown(outcome, json_output=True)
    document = json.loads(text)
    assert code == 0
    assert document["agreement"] == 1
    assert [line["float_text"] for line in document["lines"]] == [
        line.float_text for line in outcome.lines
    ]
    assert [model["name"] for model in document["models"]] == ["detector", "recogniser"]
    for values, model in zip(document["models"], outcome.models, strict=True):
        assert values["report"]["digest"] == model.job.report.digest.hex()
        counted = sum(sum(group["op_types"].values()) for group in values["float_nodes"])
        assert counted == len(model.job.report.skipped)


def test_a_server_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeropoint.client.retry._UNREACHABLE_SECONDS", 0.5)
    with pytest.raises(ZeropointError) as caught:
        demonstrate(
            Console(file=io.StringIO()), models=rapidocr_models(), server="127.0.0.1:1", samples=1
        )
    assert caught.value.reason == "SERVER_UNREACHABLE"


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "font_roboto", None)
    with pytest.raises(ZeropointError, match="font_roboto") as caught:
        demonstrate(Console(file=io.StringIO()), models=rapidocr_models(), server=None, samples=1)
    assert caught.value.reason == "DEPENDENCY_MISSING"
