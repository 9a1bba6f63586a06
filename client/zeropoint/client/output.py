"""The result on its way to the disk: whole and verified, or not there at all."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from zeropoint import v1
from zeropoint.client.errors import OptionError, OutputError, ServerError
from zeropoint.client.model_files import SourceFile
from zeropoint.client.part_file import PartFile
from zeropoint.v1.chunks import Chunk

_LONGEST_NAME = 240  # of the contract, in bytes


class ResultFiles:
    """Takes the files of a result as chunks and puts them in place when all are whole.

    `commit` puts them in place, the data file first; leaving the context without it removes them.
    """

    def __init__(
        self,
        model_output: str | os.PathLike[str],
        sources: Sequence[SourceFile],
        calibration: Path | None = None,
        *,
        external_data: bool = False,
    ) -> None:
        """Check that the result can be written.

        Args:
            model_output: Path of the quantized model; an existing file is replaced.
            sources: The user's files, which are never touched.
            calibration: Where the calibration goes, where one is to be kept.
            external_data: Ask for a data file, whatever the size of the result.

        Raises:
            OptionError: `model_output` is one of the user's files, or the calibration's place.
            OutputError: a folder is missing or cannot be written to.
        """
        self._destination = Path(model_output)
        self.external_data = external_data
        self._calibration = calibration
        self._sources = sources
        self._parts: list[PartFile] = []
        self._kept: PartFile | None = None
        if self._is_source(self._destination):
            message = f"model_output {self._destination} is a file of yours; choose another."
            raise OptionError("OPTION_CONFLICT", message, {"option": "model_output"})
        _check_writable(self._destination)
        if calibration is not None:
            if calibration.absolute() == self._destination.absolute():
                message = (
                    f"calibration_cache_path {calibration} is the model_output, too; the cache is "
                    "a file of its own: choose another path for it."
                )
                raise OptionError("OPTION_CONFLICT", message, {"option": "calibration_cache_path"})
            _check_writable(calibration)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was written, if anything was: the result comes from its first byte."""
        for part in self._all:
            part.discard()
        self._parts, self._kept = [], None

    @property
    def _all(self) -> list[PartFile]:
        """The files as they are sent: the calibration is the last."""
        return self._parts if self._kept is None else [*self._parts, self._kept]

    @property
    def name(self) -> str:
        """Name of the quantized model's file; empty where the contract takes none such."""
        name = self._destination.name
        odd = "\\" in name or not name.isprintable()
        return "" if odd or len(os.fsencode(name)) > _LONGEST_NAME else name

    @property
    def whole(self) -> bool:
        """Whether every byte of the result is there."""
        return bool(self._parts) and all(part.written == part.size for part in self._all)

    @property
    def written(self) -> int:
        """Bytes that are there."""
        return sum(part.written for part in self._all)

    @property
    def size(self) -> int:
        """Bytes of all files; 0 until the manifest is known."""
        return sum(part.size for part in self._all)

    def open(self, manifest: v1.ModelManifest, calibration: v1.ModelFile | None = None) -> None:
        """Make room for the files of a result: the model, then its external data if it has any.

        Args:
            manifest: The files.
            calibration: The calibration, which comes behind them.

        Raises:
            OutputError: a file cannot be created, or would replace a file of the user's model.
            ServerError: the manifest is malformed, or the calibration is not what was asked for.
        """
        if self._parts or not manifest.files:
            raise ServerError("PROTOCOL_VIOLATION", "The server sent no result, or two.")
        if (calibration is None) != (self._calibration is None):
            what = "a calibration unasked" if calibration else "no calibration; it may be too old"
            raise ServerError("PROTOCOL_VIOLATION", f"The server returned {what}.")
        for index, file in enumerate(manifest.files):
            target = self._destination if index == 0 else self._beside(file.path)
            self._parts.append(_begun(target, file))
        if calibration is not None and self._calibration is not None:
            self._kept = _begun(self._calibration, calibration)

    def write(self, chunk: v1.ModelChunk | Chunk) -> None:
        """Append a chunk.

        Raises:
            OutputError: it cannot be written.
            ServerError: it is not the next one of its file.
        """
        parts, data = self._all, chunk.data
        part = parts[chunk.file] if chunk.file < len(parts) else None
        if part is None or chunk.offset != part.written or part.size < part.written + len(data):
            message = f"A chunk of the result is out of place (file {chunk.file}, {chunk.offset})."
            raise ServerError("PROTOCOL_VIOLATION", message)
        try:
            part.append(data)
        except OSError as error:
            raise _not_writable(part.target, error) from error

    def commit(self) -> tuple[Path, ...]:
        """Put the files in place and return the paths of the result's, the model first.

        Raises:
            OutputError: a file cannot be renamed.
            ServerError: the digest of a file is not the announced one.
        """
        for part in self._all:
            part.verify()
        for part in reversed(self._all):  # the model last: where it is, the others are too
            try:
                part.move()
            except OSError as error:
                raise _not_writable(part.target, error) from error
        return tuple(part.target for part in self._parts)

    def _beside(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if len(parts) != 1 or parts[0] in ("..", "/") or "\\" in name:
            message = f"The server named a data file outside the result's folder: {name!r}."
            raise ServerError("PROTOCOL_VIOLATION", message)
        target = self._destination.parent / name
        if target in (self._destination, self._calibration) or self._is_source(target):
            message = (
                f"The data file of the result, {target}, would replace another file of yours. "
                "Write model_output to another folder."
            )
            raise OutputError("OUTPUT_NOT_WRITABLE", message, {"path": str(target)})
        return target

    def _is_source(self, path: Path) -> bool:
        return path.exists() and any(
            source.path.exists() and path.samefile(source.path) for source in self._sources
        )


def _begun(target: Path, file: v1.ModelFile) -> PartFile:
    try:
        return PartFile(target, file.size, file.sha256)
    except OSError as error:
        raise _not_writable(target, error) from error


def _check_writable(path: Path) -> None:
    taken = path.exists() and not path.is_file()
    if taken or not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        message = (
            f"{path} cannot be written: its folder must exist and be writable, and what stands "
            "there already must be a file."
        )
        raise OutputError("OUTPUT_NOT_WRITABLE", message, {"path": str(path)})


def _not_writable(path: Path, error: OSError) -> OutputError:
    message = f"{path} cannot be written: {error.strerror or error}."
    return OutputError("OUTPUT_NOT_WRITABLE", message, {"path": str(path)})
