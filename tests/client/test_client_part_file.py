"""Files of a result that are not whole yet: nothing of them stays, however a process ends."""

import fcntl
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zeropoint.client import part_file
from zeropoint.client.part_file import PartFile

DATA = b"quantized"
SHA256 = hashlib.sha256(DATA).digest()
LEFT = ".out.onnx.0123abcd.part"

# A process that is killed while its result grows.
KILLED = """
import os, signal, sys
from pathlib import Path
from zeropoint.client import part_file
if sys.argv[2] == "named":
    part_file._unnamed = lambda folder: None
part = part_file.PartFile(Path(sys.argv[1], "out.onnx"), 9, bytes(32))
part.append(b"quan")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["unnamed", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With files that have no name, and where the system has none such."""
    if request.param == "named":
        monkeypatch.setattr(part_file, "_unnamed", lambda folder: None)
    return str(request.param)


def written(folder: Path) -> PartFile:
    part = PartFile(folder / "out.onnx", len(DATA), SHA256)
    part.append(DATA)
    part.verify()
    return part


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("there", [False, True])
def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path, way: str, there: bool) -> None:
    target = tmp_path / "out.onnx"
    if there:
        target.write_bytes(b"old")
    part = written(tmp_path)
    assert target.exists() is there
    part.move()
    part.discard()
    assert target.read_bytes() == DATA
    assert names(tmp_path) == {"out.onnx"}


def test_a_link_in_its_place_is_replaced(tmp_path: Path, way: str) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / "out.onnx").symlink_to(tmp_path / "elsewhere")
    written(tmp_path).move()
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    assert not (tmp_path / "out.onnx").is_symlink()


def test_a_file_that_is_discarded_leaves_nothing(tmp_path: Path, way: str) -> None:
    written(tmp_path).discard()
    assert names(tmp_path) == set()


def test_nothing_stays_of_a_process_that_was_killed(tmp_path: Path, way: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), way], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == (0 if way == "unnamed" else 1)
    written(tmp_path).move()
    assert names(tmp_path) == {"out.onnx"}


def test_what_another_process_writes_is_left_alone(tmp_path: Path, way: str) -> None:
    (tmp_path / LEFT).write_bytes(b"half")
    with (tmp_path / LEFT).open("rb") as held:
        fcntl.flock(held.fileno(), fcntl.LOCK_EX)
        written(tmp_path).move()
        assert names(tmp_path) == {"out.onnx", LEFT}
    written(tmp_path).move()
    assert names(tmp_path) == {"out.onnx"}


@pytest.mark.parametrize(
    "name", [".out.onnx.part", "out.onnx.0123abcd.part", ".out_onnx.0123abcd.part", ".out.onnx.x"]
)
def test_other_files_are_left_alone(tmp_path: Path, way: str, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    written(tmp_path).move()
    assert names(tmp_path) == {"out.onnx", name}


def test_two_writers_of_one_place_do_not_meet(tmp_path: Path, way: str) -> None:
    first, second = written(tmp_path), written(tmp_path)
    second.move()
    first.move()
    assert (tmp_path / "out.onnx").read_bytes() == DATA
    assert names(tmp_path) == {"out.onnx"}


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, way: str) -> None:
    with pytest.raises(OSError, match="No such file"):
        PartFile(tmp_path / "none" / "out.onnx", 0, b"")
    assert names(tmp_path) == set()
