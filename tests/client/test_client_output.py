"""The result is written whole and verified, or not at all."""

import hashlib
import os
import resource
from pathlib import Path

import pytest

from zeropoint import v1
from zeropoint.client import OptionError, OutputError, ServerError, ZeropointError
from zeropoint.client.model_files import SourceFile, open_model
from zeropoint.client.output import ResultFiles

Sources = tuple[SourceFile, ...]


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    with open_model(path) as files:
        return files


def manifest(**files: bytes) -> v1.ModelManifest:
    return v1.ModelManifest(
        files=[
            v1.ModelFile(path=path, size=len(data), sha256=hashlib.sha256(data).digest())
            for path, data in files.items()
        ]
    )


def chunk(data: bytes, file: int = 0, offset: int = 0) -> v1.ModelChunk:
    return v1.ModelChunk(file=file, offset=offset, data=data)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_appear_together(tmp_path: Path, sources: Sources) -> None:
    target = tmp_path / "out.onnx"
    target.write_bytes(b"old")
    with ResultFiles(target, sources) as output:
        output.open(manifest(ignored=b"model", weights=b"12345678"))
        output.write(chunk(b"1234", file=1))
        output.write(chunk(b"model"))
        before = output.whole
        output.write(chunk(b"5678", file=1, offset=4))
        assert (before, output.whole) == (False, True)
        assert target.read_bytes() == b"old"
        assert output.commit() == (target, tmp_path / "weights")
    assert target.read_bytes() == b"model"
    assert (tmp_path / "weights").read_bytes() == b"12345678"
    assert names(tmp_path) == {"model.onnx", "out.onnx", "weights"}


def test_a_calibration_appears_with_the_result(tmp_path: Path, sources: Sources) -> None:
    target, cache = tmp_path / "out.onnx", tmp_path / "cache"
    with ResultFiles(target, sources, cache) as output:
        output.open(manifest(ignored=b"model", weights=b"1234"), manifest(any=b"kept").files[0])
        assert output.size == 13
        output.write(chunk(b"model"))
        output.write(chunk(b"1234", file=1))
        before = output.whole
        output.write(chunk(b"kept", file=2))
        assert (before, output.whole) == (False, True)
        assert not cache.exists()
        assert output.commit() == (target, tmp_path / "weights")
    assert cache.read_bytes() == b"kept"
    assert names(tmp_path) == {"model.onnx", "out.onnx", "weights", "cache"}


@pytest.mark.parametrize("asked", [True, False])
def test_a_calibration_comes_when_it_is_asked_for(
    tmp_path: Path, sources: Sources, asked: bool
) -> None:
    cache = tmp_path / "cache" if asked else None
    kept = None if asked else manifest(any=b"kept").files[0]
    with (
        ResultFiles(tmp_path / "out.onnx", sources, cache) as output,
        pytest.raises(ServerError, match="calibration"),
    ):
        output.open(manifest(ignored=b"model"), kept)


def test_a_result_that_is_not_committed_leaves_no_calibration(
    tmp_path: Path, sources: Sources
) -> None:
    with ResultFiles(tmp_path / "out.onnx", sources, tmp_path / "cache") as output:
        output.open(manifest(ignored=b"model"), manifest(any=b"kept").files[0])
        output.write(chunk(b"kept", file=1))
    assert names(tmp_path) == {"model.onnx"}


def test_the_calibration_s_place_is_checked_before_anything_is_sent(
    tmp_path: Path, sources: Sources
) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        ResultFiles(tmp_path / "out.onnx", sources, tmp_path / "none" / "cache")
    with pytest.raises(OptionError, match="model_output, too"):
        ResultFiles(tmp_path / "out.onnx", sources, tmp_path / "out.onnx")


def test_permissions_are_those_of_new_files(tmp_path: Path, sources: Sources) -> None:
    umask = os.umask(0o027)
    try:
        with ResultFiles(tmp_path / "out.onnx", sources) as output:
            output.open(manifest(m=b""))
            output.commit()
    finally:
        os.umask(umask)
    assert (tmp_path / "out.onnx").stat().st_mode & 0o777 == 0o640


def test_damaged_results_leave_nothing(tmp_path: Path, sources: Sources) -> None:
    with ResultFiles(tmp_path / "out.onnx", sources) as output:
        output.open(manifest(model=b"model"))
        output.write(chunk(b"modem"))
        with pytest.raises(ServerError, match="arrived damaged"):
            output.commit()
    assert names(tmp_path) == {"model.onnx"}


@pytest.mark.parametrize(
    "wrong", [chunk(b"x", offset=1), chunk(b"x", file=1), chunk(b"too long for it")]
)
def test_chunks_out_of_place_are_refused(
    tmp_path: Path, sources: Sources, wrong: v1.ModelChunk
) -> None:
    with ResultFiles(tmp_path / "out.onnx", sources) as output:
        output.open(manifest(model=b"model"))
        with pytest.raises(ServerError, match="out of place"):
            output.write(wrong)
    assert names(tmp_path) == {"model.onnx"}


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", "", "a\\b"])
def test_data_files_stay_in_the_folder(tmp_path: Path, sources: Sources, name: str) -> None:
    with (
        ResultFiles(tmp_path / "out.onnx", sources) as output,
        pytest.raises(ServerError, match="outside the result's folder"),
    ):
        output.open(manifest(**{"model": b"m", name: b"d"}))
    assert names(tmp_path) == {"model.onnx"}


def test_the_users_model_is_never_touched(tmp_path: Path, sources: Sources) -> None:
    model = sources[0].path
    (tmp_path / "link.onnx").symlink_to(model)
    for target in (model, tmp_path / "link.onnx", tmp_path / "x" / ".." / "model.onnx"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(OptionError, match="choose another") as caught:
            ResultFiles(target, sources)
        assert caught.value.reason == "OPTION_CONFLICT"
    with (
        ResultFiles(tmp_path / "out.onnx", sources) as output,
        pytest.raises(OutputError, match="would replace another file"),
    ):
        output.open(manifest(**{"m": b"", "model.onnx": b"d"}))


def test_places_that_cannot_be_written_are_refused_at_once(
    tmp_path: Path, sources: Sources
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "none" / "out.onnx", tmp_path, tmp_path / "pipe"):
        with pytest.raises(ZeropointError) as caught:
            ResultFiles(target, sources)
        assert caught.value.reason == "OUTPUT_NOT_WRITABLE"


def test_full_disks_are_told(tmp_path: Path, sources: Sources) -> None:
    """A limit on the size of files stands for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ResultFiles(tmp_path / "out.onnx", sources) as output:
        output.open(manifest(m=bytes(1 << 20)))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(OutputError, match="cannot be written: File too large"):
                output.write(chunk(bytes(1 << 20)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == {"model.onnx"}


def test_the_name_of_the_result_is_told_where_the_contract_takes_it(
    tmp_path: Path, sources: Sources
) -> None:
    assert ResultFiles(tmp_path / "größer.onnx", sources).name == "größer.onnx"
    for odd in ("a\\b.onnx", "a\nb.onnx", "x" * 241, os.fsdecode(b"\xff.onnx")):
        assert ResultFiles(tmp_path / odd, sources).name == ""
