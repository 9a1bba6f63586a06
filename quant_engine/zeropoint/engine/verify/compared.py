"""A result beside the original: every output, over all batches."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.report import OutputFigures, RollOut, RollOutFigures
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.samples import StoredArray
from zeropoint.engine.verify.comparison import OutputComparison
from zeropoint.engine.verify.original import Reference, Runs
from zeropoint.engine.verify.parts import parts_of
from zeropoint.engine.verify.rollout import by_position


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedOutputs:
    """What was found of a result's outputs.

    Attributes:
        outputs: Each of them.
        sqnr_db: SQNR of the median sample in dB, of the worst; see `Verification.sqnr_db`.
        left_out: Numbers of the batches on which the original gives NaN or infinities.
        roll_out: By position, where a call gives its state to the next one.
    """

    outputs: tuple[OutputFigures, ...]
    sqnr_db: float | None
    left_out: tuple[int, ...] = ()
    roll_out: RollOut | None = None


def compare_outputs(
    session: Session,
    runs: Runs,
    reference: Reference,
    steps: Mapping[str, float],
    *,
    keep: bool,
) -> ComparedOutputs:
    """Run a result and compare it with what the original gave.

    Args:
        session: The result.
        runs: How it is run.
        reference: What the original gave.
        steps: Distance of two codes, for each output that the result rounds to codes.
        keep: Whether the original's outputs stay on disk, for further results.

    Raises:
        VerificationError: RESULT_NOT_RUNNABLE, the result does not run on a batch that the original
            runs on.
    """
    compared = [_Compared(reference, index, steps) for index in range(len(reference.names))]
    state = reference.state_pairs
    found = runs.outputs(session, reference.batches, reference.names, state)
    for index, (outputs, expected) in enumerate(zip(found, reference.outputs, strict=True)):
        if isinstance(outputs, RuntimeRefusal):
            raise VerificationError(
                "RESULT_NOT_RUNNABLE",
                f"The quantized model does not run on verification batch {index + 1}, on which "
                f"the original runs: {outputs}",
                batch=index + 1,
            ) from outputs
        for output, got, originals in zip(compared, outputs, expected, strict=True):
            output.add(index, originals, got)
            for stored in () if keep else originals:
                stored.path.unlink(missing_ok=True)
    left_out = {number for output in compared for number in output.left_out}
    return ComparedOutputs(
        outputs=tuple(output.figures for output in compared),
        sqnr_db=_worst(compared),
        left_out=tuple(sorted(left_out)),
        roll_out=_roll_out(reference, compared) if state else None,
    )


def _roll_out(reference: Reference, compared: Sequence["_Compared"]) -> RollOut:
    figures = (output.by_position for output in compared)
    return RollOut(
        state=reference.state_pairs,
        batches=len(reference.batches),
        outputs=tuple(each for each in figures if each is not None),
    )


class _Compared:
    """One output, beside that of the original."""

    def __init__(self, reference: Reference, index: int, steps: Mapping[str, float]) -> None:
        name = reference.names[index]
        self._behaviour = reference.behaviours[index]
        self._comparison = OutputComparison(name, reference.forms[index], steps.get(name, 0.0))
        finite = [batch[index] for batch in reference.finite]
        # Where every batch has some, the model's outputs are like that, as behind masks.
        self._usable = finite if any(finite) else [True] * len(finite)
        self.left_out = [
            batch.number
            for batch, usable in zip(reference.batches, self._usable, strict=True)
            if not usable
        ]

    def add(self, batch: int, originals: Sequence[StoredArray], output: object) -> None:
        """Compare the output of one batch."""
        if self._usable[batch]:
            expected = [original.load() for original in originals]
            results = list(parts_of(output))
            self._comparison.add(expected, results, apart=self._behaviour.apart)

    @property
    def by_position(self) -> RollOutFigures | None:
        """What becomes of it in a sequence; None where nothing was compared."""
        return by_position(self._comparison.name, self._comparison.by_batch)

    @property
    def is_float(self) -> bool:
        """Whether it holds floats."""
        return self._comparison.is_float

    @property
    def median_db(self) -> float | None:
        """SQNR of the median sample; None where nothing says anything about the result."""
        found = self.figures
        if found.repeat_db is not None or found.by_sample is None:
            return None
        return found.by_sample.median_db

    @property
    def figures(self) -> OutputFigures:
        """What was found."""
        return dataclasses.replace(self._comparison.figures, repeat_db=self._behaviour.repeat_db)


def _worst(compared: Sequence[_Compared]) -> float | None:
    """Return the worst SQNR of the float outputs, where there are any, else of all.

    Integer outputs are codes and indices, whose SQNR says little.
    """
    floats = [output for output in compared if output.is_float]
    figures = [output.median_db for output in floats or compared]
    known = [figure for figure in figures if figure is not None]
    if figures and not known:
        return None
    return min(known, default=math.inf)
