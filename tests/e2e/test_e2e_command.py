"""The `zeropoint` command as a process: its data, its JSON, its exit codes, its end."""

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.black_box import ZEROPOINT, command, environment, processes, remains
from support.engine import run, sqnr_db
from support.graphs import normal_batches, residual
from support.servers import ServerProcess
from support.waiting import eventually

SAMPLES = normal_batches({"x": (8, 3, 16, 16)}, count=1)[0]["x"]
READER = """
import numpy as np

class Reader:
    def __init__(self):
        self.rows = iter(np.load("samples.npy"))

    def get_next(self):
        row = next(self.rows, None)
        return None if row is None else {"x": row[None]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, and the same data in every form."""
    residual().save(tmp_path)
    np.save(tmp_path / "samples.npy", SAMPLES)
    np.savez(tmp_path / "samples.npz", x=SAMPLES)
    (tmp_path / "mine.py").write_text(READER)
    for form in ("npy", "npz"):
        (tmp_path / form).mkdir()
    for number, row in enumerate(SAMPLES):
        np.save(tmp_path / "npy" / f"{number}.npy", row[None])
        np.savez(tmp_path / "npz" / f"{number}.npz", x=row[None])
    return tmp_path


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one JSON document on standard output."""
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_data_in_every_form(folder: Path, address: str) -> None:
    forms = ("samples.npz", "npy", "npz", "mine:Reader")
    models = {}
    for number, data in enumerate(forms):
        done = command(
            *("quantize", "static", "model.onnx", f"{number}.onnx", "--data", data),
            *("--per-channel", "--weight-type", "QInt8", "--json", "--server", address),
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        found = answer(done)
        assert found["files"] == [f"{number}.onnx"]
        assert found["rejected"] == []
        assert found["report"]["calibration"]["batches"] == len(SAMPLES)
        assert "calibrate" in done.stderr
        models[data] = (folder / f"{number}.onnx").read_bytes()
    assert len(set(models.values())) == 1, {name: len(data) for name, data in models.items()}


def test_dynamic_and_inspect(folder: Path, address: str) -> None:
    done = command("quantize", "dynamic", "model.onnx", "out.onnx", "--server", address, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "out.onnx" in done.stdout
    assert "SQNR" in done.stdout
    feeds = {"x": SAMPLES}
    [expected], [got] = (run(folder / f, feeds) for f in ("model.onnx", "out.onnx"))
    assert sqnr_db(expected, got) > 15
    done = command("inspect", "model.onnx", "--json", "--server", address, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert answer(done)["signature"]["inputs"][0]["name"] == "x"
    assert {node["name"] for node in answer(done)["plan"]["nodes"]} == {
        node.name for node in residual().nodes
    }


STATIC = ("quantize", "static", "model.onnx", "out.onnx")
GOOD = (*STATIC, "--data", "samples.npz")


@pytest.mark.parametrize(
    ("code", "reason", "arguments"),
    [
        (1, "SERVER_UNREACHABLE", (*GOOD, "--server", "127.0.0.1:1", "--timeout", "1")),
        (2, None, (*GOOD, "--no-such-flag")),
        (2, "OUTPUT_NOT_WRITABLE", ("quantize", "dynamic", "model.onnx", "no/folder/out.onnx")),
        (3, "MODEL_INVALID", ("quantize", "dynamic", "mine.py", "out.onnx")),
        (4, "NO_BATCHES", (*STATIC, "--data", "wrong.npz")),
        (5, "SQNR_TOO_LOW", (*GOOD, "--strict", "--min-sqnr-db", "200", "--accuracy", "off")),
        (6, "DEADLINE_EXCEEDED", (*GOOD, "--timeout", "0.01")),
    ],
)
def test_exit_codes(
    folder: Path, address: str, code: int, reason: str | None, arguments: tuple[str, ...]
) -> None:
    np.savez(folder / "wrong.npz", y=SAMPLES)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = command(*arguments, "--json", cwd=folder, ZEROPOINT_SERVER=address)
    assert done.returncode == code, done.stderr
    if reason is not None:
        assert answer(done)["error"]["reason"] == reason
        assert answer(done)["error"]["message"] in done.stderr
    assert "Traceback" not in done.stderr
    after = {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if "__pyc" not in str(path)
    }
    assert after == before


def test_ctrl_c_cancels_and_leaves_nothing(folder: Path, remote: ServerProcess) -> None:
    (folder / "slow.py").write_text(
        "import time\n"
        "import numpy as np\n"
        "def batches():\n"
        "    while True:\n"
        "        print('batch', flush=True)\n"
        "        time.sleep(0.05)\n"
        "        yield {'x': np.ones((1, 3, 16, 16), np.float32)}\n"
    )
    with subprocess.Popen(
        [str(ZEROPOINT), *STATIC, "--data", "slow:batches", "--server", remote.address],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert client.stdout.readline() == "batch\n"
        client.send_signal(signal.SIGINT)
        assert client.wait() == 130
        assert client.stderr.read().endswith("cancelled\n")
    assert eventually(lambda: not remains(remote))
    assert not list(folder.glob("*out.onnx*"))


def test_a_server_that_is_started_by_hand(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    arguments = ["serve", "--listen", address, "--scratch", str(folder / "scratch")]
    with subprocess.Popen(
        [str(ZEROPOINT), *arguments], env=environment(), stderr=subprocess.PIPE
    ) as served:
        try:
            assert eventually(lambda: listens(address))
            done = command(*GOOD, "--server", address, cwd=folder)
            assert done.returncode == 0, done.stderr
            served.send_signal(signal.SIGTERM)
            assert served.wait() == 0
        finally:
            served.kill()
    assert not processes(folder / "scratch")
    assert not list((folder / "scratch").glob("server-*"))


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
