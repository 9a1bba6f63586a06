"""What a manifest may name."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.server.failure import JobError
from zeropoint.server.manifest import Manifest, ModelFile

parts = st.text(st.sampled_from("ab.-_ é/\\\n\0~$"), max_size=6)


def of(*paths: str, size: int = 1) -> Manifest:
    return Manifest(tuple(ModelFile(path=path, size=size, sha256=bytes(32)) for path in paths))


def reason(manifest: Manifest, *, most_files: int = 10, most_bytes: int = 1000) -> str | None:
    try:
        manifest.check(most_files=most_files, most_bytes=most_bytes)
    except JobError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    "paths",
    [
        (),
        ("",),
        ("/etc/passwd",),
        ("../model.onnx",),
        ("folder/model.onnx",),
        ("model.onnx", "a/../b"),
        ("model.onnx", "a//b"),
        ("model.onnx", "./b"),
        ("model.onnx", "a/"),
        ("model.onnx", "..\\b"),
        ("model.onnx", "a\0b"),
        ("model.onnx", "model.onnx"),
        ("model.onnx", "a", "a/b"),
        ("model.onnx", "model.onnx/b"),
        ("x" * 256,),
        ("model.onnx", "/".join(["x" * 200] * 6)),
        ("model.onnx", "a/" * 32 + "b"),
    ],
)
def test_refused(paths: tuple[str, ...]) -> None:
    assert reason(of(*paths)) == "MANIFEST_INVALID"


@pytest.mark.parametrize("paths", [("m",), ("modèle.onnx", "weights/a.bin", "weights/b.bin")])
def test_taken(paths: tuple[str, ...]) -> None:
    assert reason(of(*paths)) is None


def test_limits_have_reasons_of_their_own() -> None:
    assert reason(of("a", "b"), most_files=1) == "TOO_MANY_FILES"
    assert reason(of("a", "b", size=6), most_bytes=11) == "MODEL_TOO_LARGE"
    assert reason(of("a", "b", size=6), most_bytes=12) is None


def test_a_digest_has_32_bytes() -> None:
    file = ModelFile(path="m", size=1, sha256=bytes(20))
    assert reason(Manifest((file,))) == "MANIFEST_INVALID"


@given(st.lists(parts, min_size=1, max_size=3))
def test_what_is_taken_stays_below_its_folder(paths: list[str]) -> None:
    if reason(of(*paths)) is None:
        root = Path("/somewhere/model")
        for path in paths:
            target = PurePosixPath(root / path)
            assert target.is_relative_to(root)
            assert ".." not in target.parts
            assert str(target) == f"{root}/{path}"
