"""A trained model of which batches complete what was not trained."""

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from zeropoint.engine.jobs.known import trained_manner
from zeropoint.engine.jobs.source import Decided
from zeropoint.engine.jobs.statistics import Observed, sketches_of, write_pairs
from zeropoint.engine.options import QatOptions, StaticOptions
from zeropoint.engine.plan import PlannedModel, derive_parameters
from zeropoint.engine.progress import Convergence
from zeropoint.engine.qat import TrainedModel, merged, without_unseen
from zeropoint.engine.settings import Batch, JobSettings


class Completed:
    """Learned parameters are kept; what has none gets some from statistics."""

    def __init__(
        self,
        trained: TrainedModel,
        completion: PlannedModel,
        asked: QatOptions,
        options: StaticOptions,
        settings: JobSettings,
    ) -> None:
        """Begin to observe.

        Args:
            trained: The converted model.
            completion: The same with the plan of what is not trained.
            asked: The user's options.
            options: Those of what is completed.
            settings: What may be used.
        """
        self.manner = replace(trained_manner(trained, asked), rewrite=write_pairs)
        self._trained = trained
        self._completion = completion
        self._options = options
        self._observed = Observed(completion, options, settings)

    def start(self, batch: Batch, sequence: int) -> "Future[None]":
        """Begin to count a batch."""
        return self._observed.start(batch, sequence)

    def convergence(self, batches: int, seconds: float) -> Convergence | None:
        """Return how far the ranges moved lately."""
        return self._observed.convergence(batches, seconds)

    def decide(self, batches: int, rejected: int) -> Decided:
        """Choose ranges for what has none."""
        statistics = self._observed.gather(batches, rejected)
        sketches = sketches_of(statistics)
        seen = frozenset(name for name, sketch in sketches.items() if sketch.elements)
        plan, learned = without_unseen(self._completion.plan, seen), self._trained.parameters
        found = derive_parameters(self._completion.graph, plan, sketches, self._options)
        return Decided(
            planned=replace(self._completion, plan=merged(self._trained.planned.plan, plan)),
            to_write=plan,
            parameters=replace(
                found,
                tensors={**found.tensors, **learned.tensors},
                constants={**found.constants, **learned.constants},
                ranges={**found.ranges, **learned.ranges},
            ),
            statistics=statistics,
        )

    def keep(self, path: Path) -> bool:
        """Statistics of a trained model serve no other job."""
        return False

    def close(self) -> None:
        """Give back the sessions and threads."""
        self._observed.close()
