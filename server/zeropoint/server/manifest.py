"""The files that one side says it will send, checked before a byte of them is taken."""

import re
from dataclasses import dataclass

from zeropoint.server.failure import JobError

_LONGEST_PATH = 1024
_LONGEST_PART = 255
_MOST_PARTS = 32
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model: relative path with "/" between parts, size in bytes, SHA-256."""

    path: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model: the ONNX file first, then its external data files; and a calibration of it."""

    files: tuple[ModelFile, ...]
    calibration: ModelFile | None = None

    @property
    def sent(self) -> tuple[ModelFile, ...]:
        """All files in the order in which they are sent: the calibration is the last."""
        return self.files if self.calibration is None else (*self.files, self.calibration)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.sent)

    def check(self, *, most_files: int, most_bytes: int) -> None:
        """Refuse what cannot be stored safely or is too large.

        Raises:
            JobError: MANIFEST_INVALID, TOO_MANY_FILES or MODEL_TOO_LARGE.
        """
        if not self.files:
            raise JobError("MANIFEST_INVALID", "The manifest names no file; send the ONNX file.")
        if len(self.files) > most_files:
            raise JobError(
                "TOO_MANY_FILES",
                f"The manifest names {len(self.files)} files; this server takes {most_files}.",
                files=len(self.files),
                limit=most_files,
            )
        if self.size > most_bytes:
            raise JobError(
                "MODEL_TOO_LARGE",
                f"The model has {self.size} bytes; this server takes {most_bytes}.",
                bytes=self.size,
                limit=most_bytes,
            )
        self._check_paths()
        if self.calibration is not None and len(self.calibration.sha256) != 32:
            raise JobError("MANIFEST_INVALID", "The calibration has no SHA-256 of 32 bytes.")

    def _check_paths(self) -> None:
        seen: set[str] = set()
        for index, file in enumerate(self.files):
            problem = _problem(file) or ("is named twice" if file.path in seen else None)
            if index == 0 and "/" in file.path:
                problem = problem or "is the ONNX file and must not lie in a folder"
            if problem:
                shown = repr(file.path[:_LONGEST_PART])
                raise JobError(
                    "MANIFEST_INVALID", f"File {index}, {shown}, {problem}.", file=file.path[:255]
                )
            seen.add(file.path)
        for file in self.files:
            parts = file.path.split("/")
            for depth in range(1, len(parts)):
                if (folder := "/".join(parts[:depth])) in seen:
                    raise JobError(
                        "MANIFEST_INVALID",
                        f"{folder!r} is both a file and the folder of {file.path!r}.",
                        file=folder,
                    )


def _problem(file: ModelFile) -> str | None:
    """Return what is wrong with one entry, or None."""
    parts = file.path.split("/")
    if len(file.path.encode()) > _LONGEST_PATH:
        return "has too long a path"
    if _UNPRINTABLE.search(file.path):
        return "has a backslash or a control character in its path"
    if file.path.startswith("/"):
        return "has an absolute path; paths are relative to the ONNX file's folder"
    if any(part in ("", ".", "..") for part in parts):
        return 'has an empty, "." or ".." part in its path'
    if len(parts) > _MOST_PARTS:
        return "lies in too many folders"
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        return "has too long a name"
    if len(file.sha256) != 32:
        return f"has a SHA-256 of {len(file.sha256)} bytes instead of 32"
    return None
