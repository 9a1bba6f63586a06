"""The command line: its version and help, and how it reaches a server."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import onnx
import pytest
import typer
from support.fake_service import Script
from typer.testing import CliRunner, Result

from zeropoint import v1
from zeropoint.client import QuantizationClient
from zeropoint.client.cli.app import app
from zeropoint.client.cli.connection import connection


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZEROPOINT_SERVER", raising=False)
    (tmp_path / "m.onnx").write_bytes(onnx.ModelProto(doc_string="m").SerializeToString())
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"zeropoint {version('zeropoint')}\n")


@pytest.mark.parametrize("command", [(), ("quantize",), ("quantize", "static"), ("inspect",)])
def test_help_names_all_in_80_columns(command: tuple[str, ...]) -> None:
    group: Any = typer.main.get_command(app)
    for name in command:
        group = group.commands[name]
    text = CliRunner(env={"COLUMNS": "80"}).invoke(app, [*command, "--help"]).output
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("[ARGS]...", "")
    names = [option for parameter in group.params for option in parameter.opts]
    names += list(getattr(group, "commands", ()))
    assert len(names) > 1
    for name in names:
        assert re.search(rf"(^|[\s/]){re.escape(name)}([\s,/=]|$)", text, re.MULTILINE), name


def test_a_token_comes_from_argument_variable_or_file(
    folder: Path, server: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "token").write_text("of-the-file\n")
    job = ("quantize", "dynamic", "m.onnx", "o.onnx", "--server", server)
    for arguments, token in (
        (("--token", "of-the-argument"), "of-the-argument"),
        (("--token-file", "token"), "of-the-file"),
        ((), "of-the-variable"),
    ):
        monkeypatch.setenv("ZEROPOINT_TOKEN", "of-the-variable")
        result = run(*job, *arguments)
        assert result.exit_code == 0, result.output
        assert script.metadata["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--token-file", "none", "--server", "127.0.0.1:1"), "none cannot be read"),
        (("--ca-file", "none", "--server", "127.0.0.1:1"), "none cannot be read"),
        (("--tls",), "name it with --server"),
        (("--server", "quant.example:1", "--token", "t"), "--tls on the command line"),
        (("--server", "127.0.0.1"), "write 127.0.0.1:50051"),
    ],
)
def test_what_is_wrong_with_a_connection_is_told(
    folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    result = run("quantize", "dynamic", "m.onnx", "o.onnx", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_token_travels_with_tls(folder: Path) -> None:
    (folder / "ca.pem").write_bytes(b"")
    reached = connection("quant.example:1", "t", None, tls=True, ca_file=None)
    assert isinstance(reached["credentials"], grpc.ChannelCredentials)
    trusting = connection("quant.example:1", "t", None, tls=False, ca_file=folder / "ca.pem")
    assert isinstance(trusting["credentials"], grpc.ChannelCredentials)
    QuantizationClient("quant.example:1", token="t", credentials=reached["credentials"]).close()


def test_what_a_model_s_author_wrote_does_not_steer_the_terminal(
    folder: Path, server: str, script: Script
) -> None:
    message = "The node \x1b[2Jgone\u202e is odd."
    script.fail_at = "start"
    script.failure = v1.Failure(reason="MODEL_UNSUPPORTED", message=message, job="job-7")
    job = ("quantize", "dynamic", "m.onnx", "o.onnx", "--server", server, "--json")
    result = run(*job)
    assert result.exit_code == 3
    assert r"error: The node \x1b[2Jgone\u202e is odd. [MODEL_UNSUPPORTED, job-7]" in result.stderr
    assert json.loads(result.stdout)["error"] == {
        "reason": "MODEL_UNSUPPORTED",
        "message": message,
        "metadata": {},
        "retryable": False,
        "retry_delay": None,
        "job": "job-7",
        "notes": [],
    }
    assert result.stdout.isascii()
