"""Files on the server: uploads, reservations, and what dead servers leave."""

import errno
import fcntl
import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeropoint.server.failure import JobError
from zeropoint.server.manifest import Manifest, ModelFile
from zeropoint.server.messages import ModelChunk
from zeropoint.server.storage import JobFolder, Scratch, Upload


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path / "scratch", budget=1000)


def manifest(files: dict[str, bytes]) -> Manifest:
    return Manifest(
        tuple(
            ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).digest())
            for path, data in files.items()
        )
    )


def write(upload: Upload, chunk: ModelChunk) -> None:
    upload.accept(chunk)
    upload.store(chunk)


def stored(folder: JobFolder) -> dict[str, bytes]:
    files = (path for path in folder.model.rglob("*") if path.is_file())
    return {str(path.relative_to(folder.model)): path.read_bytes() for path in files}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    contents=st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    data=st.data(),
)
def test_files_come_in_any_order_of_chunks(
    scratch: Scratch, contents: list[bytes], data: st.DataObject
) -> None:
    files = {f"folder/{i}" if i else "model.onnx": one for i, one in enumerate(contents)}
    folder = scratch.job_folder()
    upload = Upload(manifest(files), folder)
    sent = [0] * len(contents)
    while not upload.complete:
        unfinished = [i for i, one in enumerate(contents) if sent[i] < len(one)]
        index = data.draw(st.sampled_from(unfinished))
        end = sent[index] + data.draw(st.integers(1, 15))
        part = contents[index][sent[index] : end]
        write(upload, ModelChunk(file=index, offset=sent[index], data=part))
        sent[index] += len(part)
    assert stored(folder) == files
    assert upload.arrived
    assert upload.committed == tuple(map(len, contents))
    folder.remove()


def test_a_file_whose_digest_differs_never_enters(scratch: Scratch) -> None:
    folder = scratch.job_folder()
    upload = Upload(manifest({"model.onnx": b"abcd"}), folder)
    write(upload, ModelChunk(file=0, offset=0, data=b"abc"))
    with pytest.raises(JobError, match="UPLOAD_CORRUPT"):
        write(upload, ModelChunk(file=0, offset=3, data=b"X"))
    assert stored(folder) == {}


@pytest.mark.parametrize(
    "chunk",
    [
        ModelChunk(file=1, offset=0, data=b"a"),
        ModelChunk(file=0, offset=1, data=b"a"),
        ModelChunk(file=0, offset=0, data=b"abcde"),
        ModelChunk(file=0, offset=0, data=b""),
    ],
)
def test_a_chunk_that_does_not_continue_is_a_violation(scratch: Scratch, chunk: ModelChunk) -> None:
    upload = Upload(manifest({"model.onnx": b"abcd"}), scratch.job_folder())
    with pytest.raises(JobError, match="PROTOCOL_VIOLATION"):
        write(upload, chunk)
    assert upload.committed == (0,)


def test_only_this_user_can_look(scratch: Scratch, tmp_path: Path) -> None:
    folder = scratch.job_folder()
    Upload(manifest({"model.onnx": b"", "deep/er/w.bin": b""}), folder)
    for path in (tmp_path / "scratch", folder.path.parent, folder.path, folder.model):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_disk_is_reserved_and_given_back(scratch: Scratch) -> None:
    with scratch.reserved(200), pytest.raises(JobError, match="SCRATCH_FULL"), scratch.reserved(51):
        pass
    with scratch.reserved(250):
        pass


def test_a_dead_server_is_cleaned_up_after_and_a_living_one_is_not(tmp_path: Path) -> None:
    root = tmp_path / "scratch"
    living = Scratch(root, 0)
    kept = living.job_folder()
    dead = root / "server-dead"
    (dead / "job-1" / "model").mkdir(parents=True)
    (dead / "lock").touch()
    outside = tmp_path / "precious"
    outside.write_text("precious")
    (dead / "job-1" / "model" / "link").symlink_to(outside)
    (root / "server-link").symlink_to(tmp_path)
    (root / "other").mkdir()

    Scratch(root, 0).remove()

    assert not dead.exists()
    assert kept.path.exists()
    assert (root / "other").exists()
    assert outside.read_text() == "precious"
    living.remove()
    assert not kept.path.exists()


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "scratch").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        Scratch(tmp_path / "scratch", 0)


def test_a_folder_that_others_can_write_to_is_refused_and_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(PermissionError):
        Scratch(shared, 0)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert list(shared.iterdir()) == []


def test_the_lock_is_not_inherited(scratch: Scratch, tmp_path: Path) -> None:
    (lock,) = (tmp_path / "scratch").glob("server-*/lock")
    links = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    held = [int(one.name) for one in links if one.readlink() == lock]
    assert [os.get_inheritable(descriptor) for descriptor in held] == [False]
    with lock.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_folders_that_could_not_be_removed_are_swept_away(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, ended = scratch.job_folder(), scratch.job_folder()
    with monkeypatch.context() as full:
        full.setattr("shutil.rmtree", lambda *_arguments, **_options: None)
        assert not scratch.give_back(ended)
        assert not scratch.sweep()
    assert scratch.sweep()
    assert running.model.is_dir()
    assert not ended.path.exists()
    assert scratch.give_back(running)


def test_a_folder_that_cannot_be_made_leaves_nothing(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: JobFolder) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(JobFolder, "make", full)
    with pytest.raises(OSError, match="full"):
        scratch.job_folder()
    assert [path.name for path in scratch.folder.iterdir()] == ["lock"]
