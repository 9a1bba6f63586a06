"""What a search is given: it makes candidates of changes, and has them measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Floor
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.standing import Standing

_LEAST_SHARE: Final = 0.002  # of arithmetic, that a node counts as

AS_ASKED: Final = "as asked for"
"""Description of the candidate without changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A candidate that was made and measured.

    Attributes:
        number: From 0, in the order of the attempts.
        changes: What is different in it.
        description: The same for people.
        standing: How it stands on the samples that candidates are compared on; None where it could
            not be made or does not run.
        margin_db: By how much it is above the floor, in dB, in what it is worst at.
        integer_share: Share of the arithmetic of layers in integer kernels; None where not known.
        nbytes: Bytes of its files.
        samples: Samples that it was compared on.
        failure: Why it could not be made or does not run; empty where it does.
    """

    number: int
    changes: Changes
    description: str
    standing: Standing | None = None
    margin_db: float = float("-inf")
    integer_share: float | None = None
    nbytes: int = 0
    samples: int = 0
    failure: str = ""

    @property
    def holds(self) -> bool:
        """Whether it keeps the floor."""
        return self.margin_db >= 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A node, by what quantizing it alone in the float model does to the outputs.

    Attributes:
        node: Name in the prepared model.
        noise: Power of the error at the worst output, beside that of the output.
        share: Share of the arithmetic of all layers, 0..1.
    """

    node: str
    noise: float
    share: float

    @property
    def blame(self) -> float:
        """Noise for the arithmetic that leaving it float costs."""
        return self.noise / max(self.share, _LEAST_SHARE)


class Workbench(Protocol):
    """Makes and measures candidates; each once."""

    @property
    def planned(self) -> PlannedModel:
        """The model as it was asked to be quantized."""

    @property
    def floor(self) -> Floor:
        """What a candidate must keep."""

    def attempt(self, changes: Changes, description: str) -> Attempt:
        """Make a candidate and measure it; one that was made before is not made again."""

    def suspects(self) -> Sequence[Suspect]:
        """Return the quantized nodes, the one to blame most first."""

    def latency(self, attempts: Sequence[Attempt]) -> Sequence[float]:
        """Return for each candidate the time of a run beside the original's."""
