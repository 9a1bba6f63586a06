"""The command line on accuracy: its options, earlier decisions, sensitivity, and the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.fake_service import Script
from support.reports import mended
from typer.testing import CliRunner, Result

from zeropoint import v1
from zeropoint.client import Phase, Progress
from zeropoint.client.cli import display
from zeropoint.client.cli.app import app
from zeropoint.v1 import mirror

DECISIONS = '{"version":1,"floats":["conv1"]}'
COMMANDS = {"static": ["--data", "data.npz"], "dynamic": [], "qat": []}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model, data and a report in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZEROPOINT_SERVER", raising=False)
    (tmp_path / "m.onnx").write_bytes(onnx.ModelProto(doc_string="m").SerializeToString())
    np.savez(tmp_path / "data.npz", x=np.arange(10, dtype=np.float32).reshape(5, 2))
    (tmp_path / "decided.json").write_text(DECISIONS + "\n")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def asked(script: Script, kind: str) -> tuple[v1.AccuracyOptions, v1.VerifyOptions]:
    options = getattr(script.seen[0].start, f"{kind}_options")
    return options.accuracy, options.verify


@pytest.mark.parametrize("kind", COMMANDS)
def test_by_default_accuracy_is_guarded(
    kind: str, folder: Path, server: str, script: Script
) -> None:
    result = run("quantize", kind, "m.onnx", "o.onnx", *COMMANDS[kind], "--server", server)
    assert result.exit_code == 0, result.output
    accuracy, verify = asked(script, kind)
    assert accuracy == v1.AccuracyOptions(
        mode=v1.ACCURACY_MODE_GUARD, objective=v1.OBJECTIVE_LATENCY
    )
    assert not verify.HasField("min_agreement")
    assert not verify.state
    assert sorted(path.name for path in folder.iterdir()) == [
        "data.npz", "decided.json", "m.onnx", "o.onnx",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", COMMANDS)
def test_what_is_asked_of_accuracy_is_sent(
    kind: str, folder: Path, server: str, script: Script
) -> None:
    options = "--accuracy Auto --objective size --min-agreement 0.9 --sensitivity --state hn=h0"
    result = run(
        *("quantize", kind, "m.onnx", "o.onnx", *COMMANDS[kind], *options.split()),
        *("--decisions", "decided.json", "--report", "page.html", "--server", server),
    )
    assert result.exit_code == 0, result.output
    accuracy, verify = asked(script, kind)
    assert accuracy == v1.AccuracyOptions(
        mode=v1.ACCURACY_MODE_AUTO,
        objective=v1.OBJECTIVE_SIZE,
        sensitivity=True,
        decisions=DECISIONS,
    )
    assert verify.min_agreement == 0.9
    assert list(verify.state) == [v1.StatePair(output="hn", input="h0")]
    assert "page        page.html" in result.stderr
    assert (folder / "page.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("wrong", [["hn"], ["hn=h0", "hn=c0"]])
def test_a_state_is_given_by_pairs(wrong: list[str], folder: Path, server: str) -> None:
    assert folder.is_dir()
    pairs = [word for pair in wrong for word in ("--state", pair)]
    result = run("quantize", "dynamic", "m.onnx", "o.onnx", *pairs, "--server", server)
    assert result.exit_code == 2
    assert "must be of the form OUTPUT=INPUT" in result.output


@pytest.mark.parametrize("wrapped", [True, False])
def test_decisions_are_taken_from_a_report(
    wrapped: bool, folder: Path, server: str, script: Script
) -> None:
    script.accuracy = v1.Accuracy(mode=v1.ACCURACY_MODE_GUARD, floor=v1.Floor())
    script.accuracy.decisions = DECISIONS
    static = ["quantize", "static", "m.onnx", "o.onnx", "--data", "data.npz", "--server", server]
    first = json.loads(run(*static, "--json").stdout)
    (folder / "r.json").write_text(json.dumps(first if wrapped else first["report"]))
    script.seen.clear()
    result = run(*static, "--decisions", "r.json")
    assert result.exit_code == 0, result.output
    assert asked(script, "static")[0].decisions == DECISIONS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"report": {"accuracy": null}}', "nothing was decided"),
        (b'{"accuracy": {"decisions": ""}}', "nothing was decided"),
    ],
)
def test_files_without_decisions_are_refused(
    text: bytes | None, message: str, folder: Path, server: str, script: Script
) -> None:
    if text is not None:
        (folder / "r.json").write_bytes(text)
    model = ["m.onnx", "o.onnx", "--data", "data.npz", "--decisions", "r.json"]
    result = run("quantize", "static", *model, "--server", server)
    assert (result.exit_code, script.seen) == (2, [])
    assert message in result.stderr


@pytest.mark.parametrize("text", ['"decided"', "[1]", '{"version": 1}', "decided"])
def test_any_other_text_is_left_to_the_server(
    text: str, folder: Path, server: str, script: Script
) -> None:
    (folder / "r.json").write_text(text)
    model = ["m.onnx", "o.onnx", "--data", "data.npz", "--decisions", "r.json"]
    assert run("quantize", "static", *model, "--server", server).exit_code == 0
    assert asked(script, "static")[0].decisions == text


def test_a_page_that_cannot_be_written_is_told_before_the_job(
    folder: Path, server: str, script: Script
) -> None:
    model = ["m.onnx", "o.onnx", "--data", "data.npz", "--report", "none/page.html"]
    result = run("quantize", "static", *model, "--server", server)
    assert (result.exit_code, script.seen) == (2, [])
    assert "none/page.html cannot be written" in result.stderr


def _measured(script: Script) -> None:
    accuracy = mended(60).accuracy
    assert accuracy is not None
    script.accuracy = mirror.write(v1.Accuracy, accuracy)


def test_sensitivity_is_a_table_and_keeps_no_model(
    folder: Path, server: str, script: Script
) -> None:
    _measured(script)
    arguments = ["sensitivity", "m.onnx", "--data", "data.npz", "--limit", "2", "--server", server]
    result = run(*arguments, "--report", "page.html")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0].strip() == "at outputs"
    cells = "6.5 dB - 10.5 dB 26.5 dB 1.6% 0.2% /blocks.0/layer.2 (MatMul)"
    assert " ".join(lines[1].split()) == cells
    assert lines[2].strip() == "tried: stays float: 6.2 -> 11.8 dB"
    assert lines[-1] == "and 59 nodes more: --limit, or --json for all"
    assert (folder / "page.html").is_file()
    assert not [path for path in folder.iterdir() if path.name.startswith("result")]
    accuracy, _ = asked(script, "static")
    assert (accuracy.mode, accuracy.sensitivity) == (v1.ACCURACY_MODE_OFF, True)
    assert script.rpcs == ["static"]


def test_sensitivity_as_json(folder: Path, server: str, script: Script) -> None:
    _measured(script)
    result = run("sensitivity", "m.onnx", "--data", "data.npz", "--json", "--server", server)
    first, *others = json.loads(result.stdout)["nodes"]
    assert first["name"] == "/blocks.0/layer.2"
    assert first["effects"] == [{"output": "y", "sqnr_db": 6.5}]
    assert (first["weight_db"], first["activation_db"]) == (10.5, 26.5)
    assert (first["isolated_db"], first["share"], first["clipped_share"]) == (None, 0.016, 0.002)
    assert len(others) == 60


def test_without_measured_effects_the_table_says_so(folder: Path, server: str) -> None:
    result = run("sensitivity", "m.onnx", "--data", "data.npz", "--server", server)
    assert result.exit_code == 0, result.output
    assert "conv1 (Conv)" in result.stdout
    assert result.stdout.rstrip().endswith("the order is that of each by itself")


def test_what_is_being_tried_is_shown(capsys: Any) -> None:
    with display.progress_display() as show:
        show(Progress(phase=Phase.SEARCH, done=3, total=20, message="conv1 float"))
    assert capsys.readouterr().err == "search 3/20 conv1 float\n"
