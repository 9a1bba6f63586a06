"""What remedies are asked, and what they answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.workbench import Suspect


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Something that may help.

    Attributes:
        changes: All that is done otherwise, with it.
        remedy: What it is.
        nodes: The nodes concerned, by their names in the prepared model; none: all of them.
        reason: Why it may help, for people.
        cost: Share of the arithmetic of layers that leaves integer kernels, or becomes slower as
            much as if it did, 0..1.
    """

    changes: Changes
    remedy: Remedy
    nodes: tuple[str, ...]
    reason: str
    cost: float = 0.0


Propose = Callable[[PlannedModel, Changes, Sequence[Suspect]], Iterator[Proposal]]
"""Given the model as planned, what is done otherwise already, and the nodes to be helped, the one
to blame most first, yields proposals, the least costly first; none that changes nothing."""


@dataclass(frozen=True, slots=True)
class Proposer:
    """A remedy: what it is called, and what it proposes."""

    kind: Remedy
    propose: Propose
