"""The command line: arguments become options, answers and errors come out as documented."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from support.fake_service import JOB, RESULT, Script
from support.waiting import eventually
from typer.testing import CliRunner, Result

from zeropoint import v1
from zeropoint.client import (
    Convergence,
    ModelError,
    Phase,
    Progress,
    embedded,
    errors,
)
from zeropoint.client.cli import display
from zeropoint.client.cli.app import app
from zeropoint.client.cli.data import open_data

GUARD = v1.AccuracyOptions(mode=v1.ACCURACY_MODE_GUARD, objective=v1.OBJECTIVE_LATENCY)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model and data in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delenv("ZEROPOINT_SERVER", raising=False)
    (tmp_path / "m.onnx").write_bytes(onnx.ModelProto(doc_string="m").SerializeToString())
    np.savez(tmp_path / "data.npz", x=np.arange(10, dtype=np.float32).reshape(5, 2))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def batches(script: Script) -> list[list[float]]:
    return [np.frombuffer(data, np.float32).tolist() for _, data in script.batches]


def test_static(folder: Path, server: str, script: Script) -> None:
    arguments = ["static", "m.onnx", "o.onnx", "--data", "data.npz", "--batch-size", "2"]
    options = (
        "--activation-type qint8 --weight-type QInt8 --per-channel --op-type Conv --op-type MatMul "
        "--node a* --exclude b --method Percentile --percentile 99.9 --weight-asymmetric "
        "--activation-symmetric --range-symmetric --min-sqnr-db 20 --strict --reduce-range"
    )
    result = run("quantize", *arguments, *options.split(), "--server", server)
    assert result.exit_code == 0, result.output
    assert (folder / "o.onnx").read_bytes() == RESULT
    assert batches(script) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert "SQNR" in result.stdout
    assert "written     o.onnx" in result.stdout
    assert "calibrate" in result.stderr
    sent = script.seen[0].start.static_options
    selection = v1.NodeSelection(
        op_types_to_quantize=["Conv", "MatMul"], nodes_to_quantize=["a*"], nodes_to_exclude=["b"]
    )
    assert sent == v1.StaticOptions(
        selection=selection,
        quant_format=v1.QUANT_FORMAT_QDQ,
        activation_type=v1.QUANT_TYPE_QINT8,
        activation_symmetric=True,
        weight=v1.WeightOptions(
            quant_type=v1.QUANT_TYPE_QINT8, per_channel=True, reduce_range=True, symmetric=False
        ),
        calibrate_method=v1.CALIBRATION_METHOD_PERCENTILE,
        percentile=99.9,
        calibration_range_symmetric=True,
        qdq=v1.QdqOptions(),
        verify=v1.VerifyOptions(min_sqnr_db=20, strict=True),
        accuracy=GUARD,
    )


def test_extra_options(folder: Path, server: str, script: Script) -> None:
    overrides = '{"x": [{"scale": 0.5, "zero_point": 3}]}'
    pairs = ["QuantizeBias=false", "DedicatedQDQPair=True", "MinimumRealRange=1e-4"]
    pairs += ['OpTypesToExcludeOutputQuantization=["Conv"]', f"TensorQuantOverrides={overrides}"]
    given = [argument for pair in pairs for argument in ("--extra-option", pair)]
    for command in (["quantize", "static", "m.onnx", "o.onnx", "--data", "data.npz"], ["inspect"]):
        model = [] if len(command) > 1 else ["m.onnx"]
        result = run(*command, *model, *given, "--server", server)
        assert result.exit_code == 0, result.output
    sent = script.seen[0].start.static_options
    assert sent.qdq == v1.QdqOptions(quantize_bias=False, dedicated_pair=True)
    assert sent.minimum_real_range == sent.weight.minimum_real_range == 1e-4
    assert sent.selection.op_types_to_exclude_output_quantization == ["Conv"]
    assert list(sent.tensor_quant_overrides) == [
        v1.TensorQuantOverride(tensor_name="x", scale=[0.5], zero_point=[3])
    ]


def test_dynamic_as_json(
    folder: Path, server: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROPOINT_SERVER", server)
    result = run("quantize", "dynamic", "m.onnx", "o.onnx", "--data", "data.npz", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["files"] == ["o.onnx"]
    assert answer["report"]["verification"]["sqnr_db"] == 31.5
    assert answer["rejected"] == []
    assert len(script.batches) == 5


def test_qat(folder: Path, server: str, script: Script) -> None:
    arguments = ["qat", "m.onnx", "o.onnx", "--data", "data.npz", "--batch-size", "5"]
    options = (
        "--calibrate --quant-format integerops --activation-type qint8 --weight-type QUInt8 "
        "--per-tensor --op-type Conv --node a* --exclude b --quantize-bias --min-sqnr-db 20 "
        "--strict"
    )
    result = run("quantize", *arguments, *options.split(), "--server", server)
    assert result.exit_code == 0, result.output
    assert "trained     7 of 8 tensors exact" in result.stdout
    assert len(script.batches) == 1
    selection = v1.NodeSelection(
        op_types_to_quantize=["Conv"], nodes_to_quantize=["a*"], nodes_to_exclude=["b"]
    )
    assert script.seen[0].start.qat_options == v1.QatOptions(
        selection=selection,
        quant_format=v1.QUANT_FORMAT_INTEGER_OPS,
        activation_type=v1.QUANT_TYPE_QINT8,
        weight_type=v1.QUANT_TYPE_QUINT8,
        per_channel=False,
        quantize_bias=True,
        calibrate=True,
        verify=v1.VerifyOptions(min_sqnr_db=20, strict=True),
        accuracy=GUARD,
    )


def test_qat_keeps_what_was_learned(folder: Path, server: str, script: Script) -> None:
    arguments = ["qat", "m.onnx", "o.onnx", "--exact", "--data", "data.npz"]
    assert run("quantize", *arguments, "--server", server).exit_code == 0
    asked = v1.QatOptions(
        selection=v1.NodeSelection(),
        quant_format=v1.QUANT_FORMAT_QDQ,
        exact=True,
        verify=v1.VerifyOptions(),
        accuracy=GUARD,
    )
    assert script.seen[0].start.qat_options == asked
    assert len(script.batches) == 5


def test_calibrating_needs_data(folder: Path, server: str) -> None:
    result = run("quantize", "qat", "m.onnx", "o.onnx", "--calibrate", "--server", server)
    assert result.exit_code == 2
    assert "--data" in result.stderr


def test_inspect(folder: Path, server: str, script: Script) -> None:
    result = run("inspect", "m.onnx", "--server", server)
    assert result.exit_code == 0, result.output
    assert "x: float32[batch, 3, ?]" in result.stdout
    result = run("inspect", "m.onnx", "--dynamic", "--json", "--server", server)
    assert json.loads(result.stdout)["opset"] == 11
    assert script.seen[2].start.WhichOneof("options") == "dynamic_options"
    result = run("inspect", "m.onnx", "--qat", "--per-channel", "--server", server)
    assert result.exit_code == 0, result.output
    asked = script.seen[4].start.qat_options
    assert (asked.per_channel, asked.weight_type) == (True, v1.QUANT_TYPE_UNSPECIFIED)


def test_inspect_refuses_what_has_no_effect(folder: Path, server: str) -> None:
    result = run("inspect", "m.onnx", "--dynamic", "--activation-type", "QInt8")
    assert result.exit_code == 2
    assert "activation_type" in result.stderr
    result = run("inspect", "m.onnx", "--qat", "--reduce-range")
    assert (result.exit_code, "reduce_range" in result.stderr) == (2, True)
    assert run("inspect", "m.onnx", "--qat", "--dynamic").exit_code == 2


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("NODE_UNKNOWN", 2),
        ("MODEL_UNSUPPORTED", 3),
        ("NOTHING_TO_QUANTIZE", 3),
        ("NO_BATCHES", 4),
        ("SQNR_TOO_LOW", 5),
        ("SERVER_BUSY", 6),
        ("INTERNAL", 1),
        ("CANCELLED", 130),
    ],
)
def test_exit_codes(folder: Path, server: str, script: Script, reason: str, code: int) -> None:
    script.fail_at, script.failure = "finish", v1.Failure(reason=reason, message="so it is")
    arguments = ["static", "m.onnx", "o.onnx", "--data", "data.npz", "--server", server, "--json"]
    result = run("quantize", *arguments)
    assert result.exit_code == code
    assert f"error: so it is [{reason}, {JOB}]" in result.stderr
    assert json.loads(result.stdout)["error"]["reason"] == reason
    assert not (folder / "o.onnx").exists()


def test_every_class_of_errors_has_its_exit_code() -> None:
    codes = {kind.__name__: display.exit_code(kind("R", "m")) for kind in errors.REASONS.values()}
    assert codes == {
        "OptionError": 2,
        "OutputError": 2,
        "EvaluationError": 4,
        "ModelFileError": 3,
        "DeadlineError": 6,
        "ModelError": 3,
        "DataError": 4,
        "QualityError": 5,
        "LimitError": 6,
        "WorkerError": 1,
        "ServerError": 1,
        "UnavailableError": 1,
        "AuthenticationError": 1,
        "CancelledError": 130,
    }


SYMMETRIC = ("m.onnx", "o.onnx", "--data", "data.npz", "--weight-symmetric")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["m.onnx", "o.onnx"], 2, "--data"),
        (["m.onnx", "o.onnx", "--calibration-cache", "none"], 2, "none is not there yet"),
        (["m.onnx", "o.onnx", "--data", "none.npz"], 4, "none.npz is no calibration data"),
        (["m.onnx", "o.onnx", "--data", "nowhere:reader"], 4, "nowhere"),
        (["m.onnx", "o.onnx", "--data", "json:nothing"], 4, "nothing"),
        (["m.onnx", "o.onnx", "--data", ".", "--batch-size", "2"], 2, "--batch-size"),
        (["m.onnx", "o.onnx", "--data", "empty"], 4, "neither .npy nor .npz"),
        (["m.onnx", "o.onnx", "--data", "data.npz", "--percentile", "9"], 2, "Percentile"),
        (["m.onnx", "o.onnx", "--data", "data.npz", "--extra-option", "Bias"], 2, "KEY=VALUE"),
        (["m.onnx", "o.onnx", "--data", "data.npz", "--extra-option", "A=b"], 2, "no extra option"),
        (
            ["m.onnx", "o.onnx", "--data", "data.npz", "--extra-option", "QuantizeBias=no"],
            2,
            "QuantizeBias must be True or False",
        ),
        (
            [*SYMMETRIC, "--extra-option", "WeightSymmetric=true"],
            2,
            "WeightSymmetric is given twice",
        ),
        (["none.onnx", "o.onnx", "--data", "data.npz"], 3, "none.onnx"),
        (["m.onnx", "m.onnx", "--data", "data.npz"], 2, "choose another"),
        (["m.onnx", "no/o.onnx", "--data", "data.npz"], 2, "no/o.onnx"),
    ],
)
def test_mistakes_are_told(
    folder: Path, server: str, arguments: list[str], code: int, text: str
) -> None:
    (folder / "empty").mkdir()
    result = run("quantize", "static", *arguments, "--server", server)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert "Traceback" not in result.output


def test_folders_of_batches(folder: Path, server: str, script: Script) -> None:
    (folder / "batches").mkdir()
    for number in (2, 1):
        np.save(folder / "batches" / f"{number}.npy", np.full(2, number, np.float32))
    np.savez(folder / "batches" / "3.npz", x=np.full(2, 3, np.float32))
    (folder / "batches" / "notes.txt").write_text("no data")
    arguments = ["static", "m.onnx", "o.onnx", "--data", "batches", "--server", server]
    assert run("quantize", *arguments).exit_code == 0
    assert batches(script) == [[1, 1], [2, 2], [3, 3]]
    assert script.batches[0][0].tensors[0].name == "x"


def test_one_npy_file(folder: Path, server: str, script: Script) -> None:
    np.save(folder / "data.npy", np.arange(3, dtype=np.float32))
    arguments = ["static", "m.onnx", "o.onnx", "--data", "data.npy", "--server", server]
    assert run("quantize", *arguments).exit_code == 0
    assert batches(script) == [[0], [1], [2]]


READERS = """
import numpy as np

class Reader:
    def __init__(self):
        self.left = 2
    def get_next(self):
        self.left -= 1
        return {"x": np.full(1, self.left, np.float32)} if self.left >= 0 else None

instance = Reader()
def make():
    return Reader()
listed = [{"x": np.ones(1, np.float32)}]
def generate():
    yield from listed
"""


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("Reader", [[1], [0]]),
        ("instance", [[1], [0]]),
        ("make", [[1], [0]]),
        ("listed", [[1]]),
        ("generate", [[1]]),
    ],
)
def test_readers_of_the_users(
    folder: Path, server: str, script: Script, attribute: str, expected: Any
) -> None:
    sys.modules.pop("my_readers", None)
    (folder / "my_readers.py").write_text(READERS)
    data = f"my_readers:{attribute}"
    arguments = ["static", "m.onnx", "o.onnx", "--data", data, "--server", server]
    assert run("quantize", *arguments).exit_code == 0
    assert batches(script) == expected


@pytest.mark.parametrize(
    "arrays", [{"a": np.zeros((2, 1)), "b": np.zeros((3, 1))}, {"a": np.zeros(())}, {}]
)
def test_arrays_must_agree_on_the_samples(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(errors.DataError, match="samples along their first axis"):
        open_data(str(tmp_path / "d.npz"), None)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"text"])
def test_files_that_are_no_arrays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(errors.DataError, match="cannot be read as numpy data"):
        open_data(str(tmp_path / "d.npz"), None)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(errors.DataError, match="cannot be read as numpy data"):
        open_data(str(tmp_path / "d.npy"), None)


def test_serve_is_the_server() -> None:
    command = [sys.executable, "-c", "from zeropoint.client.cli import main; main()", "serve"]
    done = subprocess.run([*command, "--help"], capture_output=True, check=True)
    assert b"usage: python -m zeropoint.server" in done.stdout


def test_serve_needs_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_NEEDED", ("no_such_package",))
    result = run("serve", "--listen", "127.0.0.1:0")
    assert result.exit_code == 1
    assert "pip install 'zeropoint[server]'" in result.stderr


def test_progress_says_nothing_twice_and_counts_no_single_step(capsys: Any) -> None:
    with display.progress_display() as show:
        show(Progress(phase=Phase.CALIBRATE, done=2, total=8, message="2 batches"))
        show(Progress(phase=Phase.QUANTIZE, done=0, total=1, message="choosing parameters"))
    assert capsys.readouterr().err == "calibrate 2/8\nquantize choosing parameters\n"


def test_data_that_only_verify_are_named_once(folder: Path, server: str, script: Script) -> None:
    both = ["--data", "data.npz", "--verification-data", "data.npz", "--server", server]
    refused = run("quantize", "qat", "m.onnx", "o.onnx", *both)
    assert "give one. [OPTION_CONFLICT]" in refused.stderr
    assert run("quantize", "qat", "m.onnx", "o.onnx", *both, "--calibrate").exit_code == 0
    sent = (r for r in script.seen if r.WhichOneof("message") == "batch_header")
    flags = [request.batch_header.verification_only for request in sent]
    assert flags == [False] * 5 + [True] * 5


def test_an_error_is_one_line_and_each_note_another(capsys: Any) -> None:
    """A line break in the name of a node forges none."""
    name = "conv\nwritten     model.int8.onnx"
    error = ModelError("MODEL_INVALID", f"Node {name} has no input.")
    error.add_note(f"Batch 1 was rejected: {name}")
    with pytest.raises(typer.Exit), display.exit_codes(json_output=False):
        raise error
    shown = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in shown] == ["error", "Batch 1 was rejected"]
    assert all("conv\\nwritten" in line for line in shown)


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with display.progress_display() as show:
        show(Progress(phase=Phase.UPLOAD, done=3_000_000, total=3_000_000))
        show(Progress(phase=Phase.CALIBRATE, done=2, total=8, message="converging"))
    text = capsys.readouterr().err
    assert "3/3 MB" in text
    assert "2/8" in text
    assert "converging" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_how_far_ranges_still_move_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, terminal: bool
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "120")
    moving = Convergence(moving_share=0.0312, batches=8)
    with display.progress_display() as show:
        show(Progress(phase=Phase.CALIBRATE, done=16, total=64, convergence=moving))
    assert "ranges: 3.1 % still move" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_command_cleanly(
    folder: Path, server: str, script: Script, number: int, code: int
) -> None:
    script.silent_after_start = True
    command = [sys.executable, "-m", "zeropoint.client.cli.app"]
    command = [sys.executable, "-c", "from zeropoint.client.cli import main; main()"]
    arguments = ["quantize", "dynamic", "m.onnx", "o.onnx", "--server", server]
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, cwd=folder)
    assert eventually(lambda: script.seen)
    os.kill(process.pid, number)
    _, stderr = process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in stderr
    assert script.cancelled.wait()
    assert sorted(path.name for path in folder.iterdir()) == ["data.npz", "m.onnx"]
