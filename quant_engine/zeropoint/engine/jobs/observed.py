"""The statistics of one job's batches, as they come."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from zeropoint.engine.errors import CalibrationError
from zeropoint.engine.jobs.source import Counted
from zeropoint.engine.observe import (
    ConvergenceMeter,
    CountedApart,
    Observer,
    Statistics,
    TensorStatistics,
    moved_by,
    observable_tensors,
    observed_tensors,
    value_sources,
)
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.progress import Convergence
from zeropoint.engine.report import RejectedBatches
from zeropoint.engine.settings import Batch, JobSettings

_APART = 8192  # tensors times batches: some forty kilobytes each, on disk
_LEAST_APART = 8  # batches; with less it is not worth while


class Observed:
    """Observes what a plan needs."""

    def __init__(
        self, planned: PlannedModel, options: StaticOptions, settings: JobSettings
    ) -> None:
        """Begin.

        Args:
            planned: The plan.
            options: How ranges are chosen.
            settings: What may be used.
        """
        self._planned = planned
        self._options = options
        self._meter = ConvergenceMeter(options)
        self._tensors = observed_tensors(planned, settings)
        self._sources = value_sources(planned.graph)
        self._observer = Observer(
            planned.prepared.model,
            tuple(dict.fromkeys(map(self._source, self._tensors))),
            workspace=settings.workspace,
            threads=settings.threads,
            observe_bytes=settings.observe_bytes,
        )

    @property
    def apart(self) -> int:
        """Batches whose statistics can be kept apart.

        It depends on the model alone: what is held out may not depend on what else is observed.
        """
        tensors = observable_tensors(self._planned.prepared.model, self._planned.bodies)
        batches = _APART // max(1, len(tensors))
        return batches if batches >= _LEAST_APART else 0

    def samplewise(self) -> bool:
        """Whether the samples of a batch do not depend on each other."""
        return self._observer.splits()

    def start(
        self, batch: Batch, sequence: int, apart: Callable[[], bool]
    ) -> "Future[CountedApart | None]":
        """Begin to count a batch, apart from others where that is wanted when it runs."""
        return self._observer.submit(batch, sequence, apart=apart)

    def merge(self, counted: CountedApart, into: CountedApart | None = None) -> None:
        """Add what was counted apart, to that of a copy of the batch or to all others."""
        self._observer.merge(counted, into)

    def moved_by(self, last: Sequence[CountedApart]) -> Convergence | None:
        """Return how many ranges batches that were counted apart would move."""
        names = {name: self._source(name) for name in self._planned.plan.observed}
        sketches = self._observer.sketches()
        before = {name: sketches[source] for name, source in names.items()}
        after = {name: sketch.copy() for name, sketch in before.items()}
        for counted in last:
            seen = counted.sketches(names.values())
            for name, source in names.items():
                after[name].merge(seen[source])
        return moved_by(self._options, before, after, sum(each.batches for each in last))

    def convergence(self, batches: int, seconds: float) -> Convergence | None:
        """Return how far the ranges moved lately."""
        names = self._planned.plan.observed
        return self._meter.after(
            batches, seconds, lambda: self._observer.snapshot(map(self._source, names))
        )

    def gather(self, counted: Counted) -> Statistics:
        """Return what was seen.

        Raises:
            CalibrationError: NO_BATCHES, nothing was.
        """
        if not counted.batches:
            raise _no_batches(counted.rejected)
        return Statistics(
            batches=counted.batches,
            rejected=sum(one.batches for one in counted.rejected),
            tensors={name: self._statistics(name) for name in self._tensors},
        )

    def close(self) -> None:
        """Give back the sessions and threads; what was seen stays."""
        self._observer.close()

    def _source(self, tensor: str) -> str:
        """Return the tensor that is observed in place of one with the same values."""
        return self._sources.get(tensor, tensor)

    def _statistics(self, tensor: str) -> TensorStatistics:
        source = self._source(tensor)
        return TensorStatistics(
            sketch=self._observer.sketches()[source],
            own=tensor in self._planned.loaded.tensors,
            non_finite_batches=self._observer.non_finite().get(source, ()),
        )


def _no_batches(rejected: tuple[RejectedBatches, ...]) -> CalibrationError:
    """Return the error that says why there is nothing to choose ranges from."""
    needed = "Ranges of activations need at least one batch that fits the model"
    if not rejected:
        return CalibrationError("NO_BATCHES", f"{needed}; none was given.", rejected=0)
    first = min(rejected, key=lambda one: one.sequence)
    count = sum(one.batches for one in rejected)
    all_of_them = f"all {count} were" if count > 1 else "the only one was"
    others = ", ".join(f"{one.reason} for {one.batches}" for one in rejected if len(rejected) > 1)
    return CalibrationError(
        "NO_BATCHES",
        f"{needed}; {all_of_them} rejected{f' ({others})' if others else ''}. "
        f"Batch {first.sequence}, {first.reason}: {first.message}",
        rejected=count,
        sequence=first.sequence,
        rejectionReason=first.reason,
        rejectionMessage=first.message,
    )
