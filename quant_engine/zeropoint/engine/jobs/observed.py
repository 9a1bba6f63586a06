"""The statistics of one job's batches, as they come."""

from collections.abc import Callable
from concurrent.futures import Future

from zeropoint.engine.errors import CalibrationError
from zeropoint.engine.jobs.source import Counted
from zeropoint.engine.observe import (
    ConvergenceMeter,
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

# Some forty kilobytes each, for eight bands.
_APART = 1024


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
    def counts_apart(self) -> bool:
        """Whether memory allows for the statistics of some batches apart.

        It depends on the model alone: what is held out may not depend on what else is observed.
        """
        return len(observable_tensors(self._planned.prepared.model, self._planned.bodies)) <= _APART

    def samplewise(self) -> bool:
        """Whether the samples of a batch do not depend on each other."""
        return self._observer.splits()

    def start(self, batch: Batch, sequence: int, band: Callable[[], int | None]) -> "Future[None]":
        """Begin to count a batch, in the band that it belongs to when it runs."""
        return self._observer.submit(batch, sequence, band=band)

    def release(self, below: int | None) -> None:
        """Have the statistics of bands with lower numbers, or of all, join all others."""
        self._observer.release(below)

    def moved_by(self, batches: int) -> Convergence | None:
        """Return how many ranges the bands that are left would move, which hold so many batches."""
        names = {name: self._source(name) for name in self._planned.plan.observed}
        sketches = self._observer.sketches()
        before = {name: sketches[source] for name, source in names.items()}
        after = {name: sketch.copy() for name, sketch in before.items()}
        for seen in self._observer.apart():
            for name, source in names.items():
                after[name].merge(seen[source])
        return moved_by(self._options, before, after, batches)

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
