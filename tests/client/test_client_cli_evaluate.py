"""A program that tells what a model is worth."""

import shlex
import sys
from pathlib import Path

import onnx
import pytest
from support.fake_service import FakeServer, Script
from typer.testing import CliRunner

from zeropoint.client import EvaluationError, OptionError
from zeropoint.client.cli.app import app
from zeropoint.client.cli.evaluate import evaluated_by


def python(code: str) -> str:
    """Return the command that runs a program with a model's path."""
    return shlex.join([sys.executable, "-c", code]) + " {model}"


def test_none_is_none() -> None:
    assert evaluated_by(None) is None


def test_the_last_line_is_the_number(tmp_path: Path) -> None:
    model = tmp_path / "a model with 'odd' name.onnx"
    model.write_bytes(b"12345")
    code = "import sys; print('loading'); print(len(open(sys.argv[1]).read()) / 4); print()"
    evaluate = evaluated_by(python(code))
    assert evaluate is not None
    assert evaluate(model) == 1.25


def test_minus_infinity_is_a_number() -> None:
    evaluate = evaluated_by(python("print('-inf')"))
    assert evaluate is not None
    assert evaluate(Path("x")) == float("-inf")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (python("print('good')"), "printed 'good' last"),
        (python("pass"), "printed '' last"),
        (python("print(1); raise SystemExit(3)"), "exit code 3"),
        ("/nowhere/at-all {model}", "cannot be started"),
    ],
)
def test_programs_that_tell_nothing(command: str, message: str) -> None:
    evaluate = evaluated_by(command)
    assert evaluate is not None
    with pytest.raises(EvaluationError, match=message):
        evaluate(Path("model.onnx"))


@pytest.mark.parametrize(
    ("command", "message"), [("score.py", "has no {model}"), ("score 'x {model}", "be split")]
)
def test_commands_that_make_no_sense(command: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        evaluated_by(command)


def test_the_command_line(tmp_path: Path) -> None:
    script = Script(candidates=(b"candidate",))
    server = FakeServer(script)
    (tmp_path / "m.onnx").write_bytes(onnx.ModelProto(doc_string="m").SerializeToString())
    score = python("import sys; print(len(open(sys.argv[1], 'rb').read()))")
    told = CliRunner().invoke(
        app,
        [
            *("quantize", "dynamic", str(tmp_path / "m.onnx"), str(tmp_path / "o.onnx")),
            *("--evaluate", score, "--max-drop", "0.5", "--server", server.target),
        ],
    )
    server.stop()
    assert told.exit_code == 0, told.output
    assert script.values == [(tmp_path / "m.onnx").stat().st_size, len(b"candidate")]
    assert script.seen[0].start.dynamic_options.accuracy.max_drop == 0.5
    assert "search" in told.stderr


def test_a_program_that_fails_ends_the_job(tmp_path: Path) -> None:
    server = FakeServer(Script(candidates=(b"candidate",)))
    (tmp_path / "m.onnx").write_bytes(onnx.ModelProto(doc_string="m").SerializeToString())
    arguments = ["quantize", "dynamic", str(tmp_path / "m.onnx"), str(tmp_path / "o.onnx")]
    told = CliRunner().invoke(
        app, [*arguments, "--evaluate", python("raise SystemExit(3)"), "--server", server.target]
    )
    server.stop()
    assert told.exit_code == 4
    assert "exit code 3" in told.stderr
