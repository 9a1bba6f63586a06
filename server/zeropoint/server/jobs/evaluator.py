"""Candidates to the client, and its answers back to the worker."""

import asyncio
import contextlib
import math
from typing import Never

from zeropoint.server.failure import JobError
from zeropoint.server.jobs.dialogue import Dialogue
from zeropoint.server.jobs.link import Link
from zeropoint.server.jobs.reading import chunks, opened
from zeropoint.server.manifest import Manifest
from zeropoint.server.messages import CandidateChunk, CandidateMade, Evaluation, Passed
from zeropoint.server.storage import JobFolder

_MOST_FILES = 2
_MOST_BYTES = 1 << 40


class Evaluator:
    """Has the client tell what each candidate is worth, while the worker waits for it."""

    def __init__(self, link: Link, dialogue: Dialogue, folder: JobFolder, seconds: float) -> None:
        """Be told of candidates from now on.

        Args:
            link: To the client.
            dialogue: With the worker.
            folder: The job's.
            seconds: How long the client may take for one.
        """
        self._link = link
        self._dialogue = dialogue
        self._folder = folder
        self._seconds = seconds
        self._made: asyncio.Queue[CandidateMade] = asyncio.Queue()
        dialogue.on_candidate(self._made.put_nowait)

    async def run(self) -> Never:
        """Do it for one after the other; never returns.

        Raises:
            JobError: EVALUATION_INVALID, CLIENT_NO_PROGRESS, PROTOCOL_VIOLATION, or what the link
                raises.
        """
        while True:
            candidate = await self._made.get()
            await self._send(candidate)
            answer = await self._answer(candidate)
            await self._dialogue.evaluated(answer.value)

    async def _send(self, candidate: CandidateMade) -> None:
        if candidate.files:
            Manifest(candidate.files).check(most_files=_MOST_FILES, most_bytes=_MOST_BYTES)
        with contextlib.ExitStack() as stack:
            sources = [
                stack.enter_context(opened(self._folder.candidate / file.path))
                for file in candidate.files
            ]
            await self._link.send(Passed("candidate", candidate.payload))
            for index, (source, parts) in enumerate(zip(sources, candidate.missing, strict=True)):
                for begin, end in parts:
                    async for offset, data in chunks(source, begin, end):
                        chunk = CandidateChunk(file=index, offset=offset, data=data)
                        await self._link.send(chunk)

    async def _answer(self, candidate: CandidateMade) -> Evaluation:
        # It runs a model of its own on data of its own: heartbeats are all that shows of it.
        self._link.patience.begin(busy=lambda: True)
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._link.receive()
        except TimeoutError:
            raise JobError(
                "CLIENT_NO_PROGRESS",
                f"Candidate {candidate.number} was not evaluated within {self._seconds:g} s. "
                "Evaluate on fewer data.",
                seconds=f"{self._seconds:g}",
                candidate=candidate.number,
            ) from None
        if not isinstance(answer, Evaluation) or answer.number != candidate.number:
            raise JobError(
                "PROTOCOL_VIOLATION",
                f"Something else came instead of the evaluation of candidate {candidate.number}; "
                "leave your side of the stream open for it.",
                candidate=candidate.number,
            )
        _check(answer, is_original=not candidate.files)
        return answer


def _check(answer: Evaluation, *, is_original: bool) -> None:
    unusable = answer.value == -math.inf and not is_original
    if not (math.isfinite(answer.value) or unusable):
        what = "the model that was sent" if is_original else f"candidate {answer.number}"
        raise JobError(
            "EVALUATION_INVALID",
            f"The figure of {what} is {answer.value:g}. It must be a number, of which more is "
            "better; minus infinity is for candidates that cannot be used.",
            candidate=answer.number,
            value=f"{answer.value:g}",
        )
