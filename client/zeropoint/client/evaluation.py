"""The caller's own figure: what a candidate is worth, told by a function of its path."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, SupportsFloat

from zeropoint import v1
from zeropoint.client.candidate_files import CandidateFiles
from zeropoint.client.errors import EvaluationError, OptionError
from zeropoint.client.model_files import SourceFile
from zeropoint.v1.chunks import Chunk

Evaluate = Callable[[Path], SupportsFloat]
"""Returns what a model is worth, of which more is better, given the path of its ONNX file.

The file, and the data file that it may name, are to be left alone; later they are gone. Minus
infinity: the candidate cannot be used. It is called in the thread that started the job, and may
take hours, as long as it lets other threads run, which send heartbeats.
"""

Tell = Callable[[str], None]


class Evaluation:
    """Answers what candidates are worth, for all attempts of one job; a context.

    What was answered once is known for good, by the digests of the files: a job that begins anew
    does not evaluate the same candidate again.
    """

    def __init__(self, evaluate: Evaluate, model: Sequence[SourceFile]) -> None:
        """Prepare to evaluate.

        Args:
            evaluate: The caller's function.
            model: The user's model, which is evaluated first.
        """
        self._evaluate = evaluate
        self._model = model
        self._files = CandidateFiles(model)
        self._known: dict[tuple[bytes, ...], float] = {}
        self._candidate: v1.Candidate | None = None

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
        """Forget the files of an earlier attempt; not the answers."""
        self._files.clear()
        self._candidate = None

    def open(self, candidate: v1.Candidate) -> None:
        """Take a candidate, of which bytes may follow.

        Raises:
            ZeropointError: it is not what the contract allows, or cannot be written.
        """
        self._candidate = candidate
        if candidate.files:
            self._files.begin(candidate)

    def write(self, chunk: v1.ModelChunk | Chunk) -> None:
        """Take bytes of the candidate.

        Raises:
            ZeropointError: they have no place in it, or cannot be written.
        """
        self._files.write(chunk)

    @property
    def due(self) -> bool:
        """Whether a candidate is here, whole, and waits for its answer."""
        candidate = self._candidate
        return candidate is not None and (not candidate.files or self._files.whole)

    def answer(self, tell: Tell) -> v1.Evaluation:
        """Evaluate the candidate that is due.

        Args:
            tell: Told which one it is, and what it is worth.

        Raises:
            EvaluationError: what the function returns is no figure.
            ServerError: the candidate is not the one that was announced.
            Exception: whatever the function raises, as it is.
        """
        candidate, self._candidate = self._candidate, None
        assert candidate is not None
        key = tuple(file.file.sha256 for file in candidate.files)
        path = self._files.verified() if key else self._model[0].path
        if key not in self._known:
            tell(f"evaluating: {candidate.description}")
            self._known[key] = _figure(self._evaluate(path), candidate)
        value = self._known[key]
        tell(f"{candidate.description}: {value:g}")
        return v1.Evaluation(number=candidate.number, value=value)


def check_evaluate(evaluate: object) -> None:
    """Refuse what is no function.

    Raises:
        OptionError: `evaluate` cannot be called.
    """
    if evaluate is not None and not callable(evaluate):
        message = (
            "evaluate must be a function that takes the path of a model and returns a number, not "
            f"{evaluate!r}."
        )
        raise OptionError("OPTION_INVALID", message, {"option": "evaluate"})


def _figure(answer: object, candidate: v1.Candidate) -> float:
    """Return what a function has answered as a number."""
    try:
        value = float(answer)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if math.isfinite(value) or (value == -math.inf and candidate.files):
        return value
    message = (
        f"evaluate returned {answer!r} for {candidate.description}; it must return a number, of "
        "which more is better, or minus infinity for a candidate that cannot be used."
    )
    metadata = {"candidate": str(candidate.number), "value": repr(answer)}
    raise EvaluationError("EVALUATION_INVALID", message, metadata)
