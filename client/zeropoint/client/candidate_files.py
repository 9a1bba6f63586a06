"""Files of candidates, put together from what the server sends and what is here already."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from zeropoint import v1
from zeropoint.client.errors import EvaluationError, OutputError, ServerError
from zeropoint.client.model_files import SourceFile
from zeropoint.client.temporary_folder import TemporaryFolder
from zeropoint.v1.chunks import Chunk

_COPY_BYTES = 4 << 20
_SENT = 0  # in place of a candidate's number: the model that was sent


class CandidateFiles:
    """A private folder with the files of candidates, until the server says that they may go."""

    def __init__(self, model: Sequence[SourceFile]) -> None:
        """Make no folder yet.

        Args:
            model: The user's model, of which candidates have parts.
        """
        self._sent = [file.path for file in model]
        self._kept: dict[int, list[Path]] = {}
        self._folder: TemporaryFolder | None = None
        self._parts: list[_Part] = []

    def clear(self) -> None:
        """Remove all of them."""
        for part in self._parts:
            part.close()
        if self._folder is not None:
            self._folder.remove()
        self._kept, self._folder, self._parts = {_SENT: self._sent}, None, []

    def begin(self, candidate: v1.Candidate) -> None:
        """Make room for a candidate, with what of it is here.

        Raises:
            ServerError: it is not what the contract allows.
            EvaluationError: a file that it has parts of is not there any more.
            OutputError: the temporary folder takes no more.
        """
        if not self._kept:
            self.clear()
        for number in candidate.forgotten:
            for path in self._kept.pop(number, []):
                path.unlink(missing_ok=True)
        self._parts = []
        try:
            folder = self._root() / str(candidate.number)
            folder.mkdir()
            for file in candidate.files:
                part = _Part(folder, file)
                self._parts.append(part)
                for copy in file.copies:
                    part.copy(copy, self._source(copy))
        except OSError as error:
            raise _not_writable(Path(tempfile.gettempdir()), error) from error
        self._kept[candidate.number] = [part.path for part in self._parts]

    def write(self, chunk: v1.ModelChunk | Chunk) -> None:
        """Take bytes of the candidate.

        Raises:
            ServerError: they have no place in it.
            OutputError: the temporary folder takes no more.
        """
        if chunk.file >= len(self._parts):
            raise _out_of_place(f"file {chunk.file}")
        part = self._parts[chunk.file]
        try:
            part.append(chunk.offset, chunk.data)
        except OSError as error:
            raise _not_writable(part.path, error) from error

    @property
    def whole(self) -> bool:
        """Whether nothing of the candidate is still to come."""
        return all(part.whole for part in self._parts)

    def verified(self) -> Path:
        """Return the candidate's ONNX file, once every byte of its files is what it should be.

        Raises:
            ServerError: a file has another digest than was announced.
        """
        for part in self._parts:
            part.verify()
        return self._parts[0].path

    def _root(self) -> Path:
        if self._folder is None:
            self._folder = TemporaryFolder("zeropoint-candidates-")
        return self._folder.path

    def _source(self, copy: v1.CopiedPart) -> Path:
        files = self._kept.get(copy.candidate, [])
        if copy.file >= len(files):
            raise _out_of_place(f"a copy of file {copy.file} of candidate {copy.candidate}")
        return files[copy.file]


class _Part:
    """One file of a candidate."""

    def __init__(self, folder: Path, told: v1.CandidateFile) -> None:
        name = told.file.path
        if Path(name).name != name or "\\" in name:
            raise _out_of_place(f"a file called {name!r}")
        self.path = folder / name
        self._size = told.file.size
        self._sha256 = told.file.sha256
        self._missing = list(_missing(told))
        self._file = self.path.open("xb")

    @property
    def whole(self) -> bool:
        return not self._missing

    def copy(self, copy: v1.CopiedPart, source: Path) -> None:
        """Take a part of a file that is here."""
        self._file.seek(copy.offset)
        left = copy.size
        try:
            with source.open("rb") as file:
                file.seek(copy.source_offset)
                while left and (data := file.read(min(left, _COPY_BYTES))):
                    self._file.write(data)
                    left -= len(data)
        except FileNotFoundError:
            left = copy.size
        if left:
            message = (
                f"{source} is gone, or shorter than it was; later candidates are put together from "
                "its parts. evaluate must leave the files alone that it is given."
            )
            raise EvaluationError("EVALUATION_INVALID", message, {"path": str(source)})

    def append(self, offset: int, data: bytes | memoryview) -> None:
        """Take the next bytes that are no copies."""
        begin, end = self._missing[0] if self._missing else (-1, -1)
        if offset != begin or offset + len(data) > end or not data:
            raise _out_of_place(f"bytes at {offset} of {self.path.name}")
        self._file.seek(offset)
        self._file.write(data)
        if offset + len(data) == end:
            del self._missing[0]
        else:
            self._missing[0] = offset + len(data), end

    def close(self) -> None:
        self._file.close()

    def verify(self) -> None:
        self._file.close()
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        if digest != self._sha256 or self.path.stat().st_size != self._size:
            message = (
                f"The candidate {self.path.name} is not the one that was announced: it arrived "
                "damaged, or evaluate has changed a file that it was given, of which it has parts."
            )
            raise ServerError("PROTOCOL_VIOLATION", message, retryable=True)


def _missing(told: v1.CandidateFile) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the parts that are no copies."""
    at, size = 0, told.file.size
    for copy in told.copies:
        if copy.offset < at or copy.offset + copy.size > size:
            raise _out_of_place(f"a copy at {copy.offset}")
        if copy.offset > at:
            yield at, copy.offset
        at = copy.offset + copy.size
    if at < size:
        yield at, size


def _out_of_place(what: str) -> ServerError:
    return ServerError("PROTOCOL_VIOLATION", f"A candidate has {what}, which has no place there.")


def _not_writable(path: Path, error: OSError) -> OutputError:
    message = (
        f"A candidate cannot be written to {path}: {error.strerror or error}. TMPDIR can name "
        "another folder."
    )
    return OutputError("OUTPUT_NOT_WRITABLE", message, {"path": str(path)})
