"""Static quantization: ranges from batches, or from the statistics of an earlier job."""

from abc import abstractmethod
from concurrent.futures import Future
from pathlib import Path

from zeropoint.engine.errors import CalibrationError, OptionError
from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.job import Job
from zeropoint.engine.observe import (
    ConvergenceMeter,
    Observer,
    Statistics,
    TensorStatistics,
    gathered,
    observed_tensors,
    value_sources,
)
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan import Parameters, PlannedModel, derive_parameters, narrow_plan
from zeropoint.engine.progress import Convergence
from zeropoint.engine.report import CalibrationFigures
from zeropoint.engine.rewrite import rewrite_qdq
from zeropoint.engine.settings import Batch, JobSettings
from zeropoint.engine.verify import Verifier

_CALIBRATION_FILE = "calibration.zpcal"


class StaticJob(Job):
    """Ranges of activations come from statistics."""

    def __init__(
        self,
        planned: PlannedModel,
        options: StaticOptions,
        settings: JobSettings,
        clock: Clock,
        verifier: Verifier,
    ) -> None:
        super().__init__(planned, settings, clock, verifier)
        self._options = options
        self._gathered: Statistics | None = None

    @abstractmethod
    def _gather(self) -> Statistics:
        """End observing and return what was seen."""

    def _calibration(self) -> CalibrationFigures:
        self._gathered = self._gather()
        sketches = {name: tensor.sketch for name, tensor in self._gathered.tensors.items()}
        self._planned = narrow_plan(self._planned, self._options, sketches)
        return self._gathered.figures()

    def _keep(self) -> Path | None:
        if not self._settings.keep_calibration or self._gathered is None:
            return None
        path = self._settings.workspace / _CALIBRATION_FILE
        path.write_bytes(gathered(self._planned, self._gathered).to_bytes())
        return path

    def _parameters(self) -> Parameters:
        assert self._gathered is not None
        planned = self._planned
        sketches = {name: tensor.sketch for name, tensor in self._gathered.tensors.items()}
        return derive_parameters(planned.graph, planned.plan, sketches, self._options)

    def _rewrite(self, parameters: Parameters) -> None:
        planned, prepared = self._planned, self._planned.prepared
        rewrite_qdq(
            prepared.model,
            planned.plan,
            parameters,
            form=self._options.qdq,
            weights=planned.loaded.weights,
            contrib_qdq=prepared.contrib_qdq,
        )


class StreamedJob(StaticJob):
    """The statistics come from batches."""

    def __init__(
        self,
        planned: PlannedModel,
        options: StaticOptions,
        settings: JobSettings,
        clock: Clock,
        verifier: Verifier,
    ) -> None:
        super().__init__(planned, options, settings, clock, verifier)
        self._meter = ConvergenceMeter(options)
        self._tensors = observed_tensors(planned, settings)
        self._sources = value_sources(planned.graph)
        try:
            self._observer = Observer(
                planned.prepared.model,
                tuple(dict.fromkeys(map(self._source, self._tensors))),
                workspace=settings.workspace,
                threads=settings.threads,
                observe_bytes=settings.observe_bytes,
            )
        except BaseException:
            super().close()
            raise

    def close(self) -> None:
        """End everything that was started; the workspace is the caller's to remove."""
        self._observer.close()
        super().close()

    def _start(self, batch: Batch, sequence: int) -> "Future[None]":
        return self._observer.submit(batch, sequence)

    def _convergence(self, batches: int, seconds: float) -> Convergence | None:
        return self._meter.after(
            batches,
            seconds,
            lambda: self._observer.snapshot(map(self._source, self._planned.plan.observed)),
        )

    def _source(self, tensor: str) -> str:
        """Return the tensor that is observed in place of one with the same values."""
        return self._sources.get(tensor, tensor)

    def _end_observing(self) -> None:
        self._observer.close()

    def _gather(self) -> Statistics:
        if not self._intake.batches:
            raise CalibrationError(
                "NO_BATCHES",
                "static quantization needs at least one batch that fits the model; "
                f"{self._intake.rejected} were rejected.",
                rejected=self._intake.rejected,
            )
        return Statistics(
            batches=self._intake.batches,
            rejected=self._intake.rejected,
            tensors={name: self._statistics(name) for name in self._tensors},
        )

    def _statistics(self, tensor: str) -> TensorStatistics:
        source = self._source(tensor)
        return TensorStatistics(
            sketch=self._observer.sketches()[source],
            own=tensor in self._planned.loaded.tensors,
            non_finite_batches=self._observer.non_finite().get(source, ()),
        )


class RecalledJob(StaticJob):
    """The statistics were gathered by an earlier job."""

    def __init__(
        self,
        planned: PlannedModel,
        options: StaticOptions,
        settings: JobSettings,
        clock: Clock,
        verifier: Verifier,
        statistics: Statistics,
    ) -> None:
        super().__init__(planned, options, settings, clock, verifier)
        self._recalled = statistics

    def _start(self, batch: Batch, sequence: int) -> "Future[None]":
        raise OptionError(
            "OPTION_CONFLICT",
            "This job has a calibration and takes no batches: finish it, or leave the calibration "
            "out.",
            option="calibration",
        )

    def _gather(self) -> Statistics:
        return self._recalled
