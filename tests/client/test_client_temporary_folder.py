"""A folder of which nothing stays, however its process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zeropoint.client.temporary_folder import TemporaryFolder

PROGRAM = """
import sys, time
from zeropoint.client.temporary_folder import TemporaryFolder
folder = TemporaryFolder("kind-")
(folder.path / "large").write_bytes(bytes(1000))
print(folder.path, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_it_is_private_and_goes(tmp_path: Path) -> None:
    folder = TemporaryFolder("kind-")
    assert folder.path.parent == tmp_path
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "inside").mkdir()
    folder.remove()
    folder.remove()
    assert not list(tmp_path.iterdir())


def test_others_that_are_held_stay(tmp_path: Path) -> None:
    first, second = TemporaryFolder("kind-"), TemporaryFolder("kind-")
    assert first.path.is_dir()
    first.remove()
    assert second.path.is_dir()
    second.remove()


def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "kind-link").symlink_to(tmp_path / "other")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        text=True,
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        held = TemporaryFolder("kind-")
        assert (left / "large").exists()  # its process lives
        process.kill()
    held.remove()
    TemporaryFolder("kind-").remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kind-link", "other"]


def test_no_folder_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError):
        TemporaryFolder("kind-")
