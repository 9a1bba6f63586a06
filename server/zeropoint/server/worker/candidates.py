"""Candidates of a job: each goes to the client, and the job waits for what it is worth."""

from collections.abc import Sequence
from pathlib import Path

from zeropoint import v1
from zeropoint.engine.settings import CandidateFiles
from zeropoint.server.convert import engine as convert
from zeropoint.server.storage import JobFolder
from zeropoint.server.worker.channel import WorkerChannel
from zeropoint.server.worker.copies import SharedParts
from zeropoint.server.worker.protocol import VALUE, FrameError, Kind

_LONGEST_DESCRIPTION = 4096


class Candidates:
    """Asks for one after the other."""

    def __init__(
        self, channel: WorkerChannel, folder: JobFolder, model: Sequence[Path], *, copies: bool
    ) -> None:
        """Prepare to ask.

        Args:
            channel: To the server.
            folder: The job's.
            model: The files that the client has sent, the ONNX file first.
            copies: Whether the client puts files together from parts of those that it has.
        """
        self._channel = channel
        self._folder = folder
        self._model = model
        self._copies = copies
        self._shared: SharedParts | None = None
        self._number = 0

    def evaluate(self, candidate: CandidateFiles, /) -> float:
        """Return what the client says that a candidate is worth.

        Raises:
            EOFError: the server is gone.
            FrameError: the server does not keep to the protocol.
        """
        self._number += 1
        told = v1.Candidate(
            number=self._number,
            description=candidate.description[:_LONGEST_DESCRIPTION],
            trial=candidate.number,
            files=[v1.CandidateFile(file=convert.model_file(file)) for file in candidate.files],
        )
        if candidate.files and self._copies:
            self._tell_copies(told, candidate.files)
        links = [self._folder.candidate / file.name for file in candidate.files]
        for link, file in zip(links, candidate.files, strict=True):
            link.hardlink_to(file)
        self._channel.send(Kind.CANDIDATE, told.SerializeToString())
        value = self._answer()
        for link in links:
            link.unlink()
        return value

    def _tell_copies(self, told: v1.Candidate, files: Sequence[Path]) -> None:
        if self._shared is None:
            self._shared = SharedParts(self._model)
        copies, forgotten = self._shared.take(self._number, files)
        told.forgotten.extend(forgotten)
        for file, parts in zip(told.files, copies, strict=True):
            file.copies.extend(parts)

    def _answer(self) -> float:
        kind, payload, _ = self._channel.receive()
        if kind is not Kind.EVALUATION:
            raise FrameError(f"{kind.name} came instead of EVALUATION")
        value: float
        (value,) = VALUE.unpack(payload)
        return value
