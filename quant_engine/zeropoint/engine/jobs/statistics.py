"""Static quantization: ranges from batches, or from the statistics of an earlier job."""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

import onnx_ir as ir

from zeropoint.engine.errors import CalibrationError, OptionError
from zeropoint.engine.jobs.source import Decided, Manner
from zeropoint.engine.observe import (
    ConvergenceMeter,
    Observer,
    Statistics,
    TensorStatistics,
    gathered,
    observed_tensors,
    value_sources,
)
from zeropoint.engine.options import QdqOptions, StaticOptions
from zeropoint.engine.plan import PlannedModel, derive_parameters, narrow_plan
from zeropoint.engine.progress import Convergence
from zeropoint.engine.rewrite import rewrite_qdq
from zeropoint.engine.settings import Batch, JobSettings
from zeropoint.sketch import Sketch


class Observed:
    """The statistics of one job's batches, as they come."""

    def __init__(
        self, planned: PlannedModel, options: StaticOptions, settings: JobSettings
    ) -> None:
        """Begin to observe what a plan needs.

        Args:
            planned: The plan.
            options: How ranges are chosen.
            settings: What may be used.
        """
        self._planned = planned
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

    def start(self, batch: Batch, sequence: int) -> "Future[None]":
        """Begin to count a batch."""
        return self._observer.submit(batch, sequence)

    def convergence(self, batches: int, seconds: float) -> Convergence | None:
        """Return how far the ranges moved lately."""
        names = self._planned.plan.observed
        return self._meter.after(
            batches, seconds, lambda: self._observer.snapshot(map(self._source, names))
        )

    def gather(self, batches: int, rejected: int) -> Statistics:
        """Return what was seen.

        Raises:
            CalibrationError: NO_BATCHES, nothing was.
        """
        if not batches:
            raise CalibrationError(
                "NO_BATCHES",
                "static quantization needs at least one batch that fits the model; "
                f"{rejected} were rejected.",
                rejected=rejected,
            )
        tensors = {name: self._statistics(name) for name in self._tensors}
        return Statistics(batches=batches, rejected=rejected, tensors=tensors)

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


class Streamed:
    """The statistics come from batches."""

    def __init__(
        self, planned: PlannedModel, options: StaticOptions, settings: JobSettings
    ) -> None:
        """Begin to observe."""
        self.manner = static_manner(options)
        self._planned = planned
        self._options = options
        self._observed = Observed(planned, options, settings)
        self._gathered: Statistics | None = None

    def start(self, batch: Batch, sequence: int) -> "Future[None]":
        """Begin to count a batch."""
        return self._observed.start(batch, sequence)

    def convergence(self, batches: int, seconds: float) -> Convergence | None:
        """Return how far the ranges moved lately."""
        return self._observed.convergence(batches, seconds)

    def decide(self, batches: int, rejected: int) -> Decided:
        """Choose ranges."""
        self._gathered = self._observed.gather(batches, rejected)
        return decide_static(self._planned, self._options, self._gathered)

    def keep(self, path: Path) -> bool:
        """Write the statistics to a file."""
        if self._gathered is not None:
            path.write_bytes(gathered(self._planned, self._gathered).to_bytes())
        return self._gathered is not None

    def close(self) -> None:
        """Give back the sessions and threads."""
        self._observed.close()


class Recalled:
    """The statistics were gathered by an earlier job."""

    def __init__(
        self, planned: PlannedModel, options: StaticOptions, statistics: Statistics
    ) -> None:
        """Take them."""
        self.manner = static_manner(options)
        self._planned = planned
        self._options = options
        self._statistics = statistics

    def start(self, batch: Batch, sequence: int) -> "Future[None]":
        """Refuse a batch.

        Raises:
            OptionError: always.
        """
        raise OptionError(
            "OPTION_CONFLICT",
            "This job has a calibration and takes no batches: finish it, or leave the calibration "
            "out.",
            option="calibration",
        )

    def convergence(self, batches: int, seconds: float) -> None:
        """No range moves."""

    def decide(self, batches: int, rejected: int) -> Decided:
        """Choose ranges."""
        return decide_static(self._planned, self._options, self._statistics)

    def keep(self, path: Path) -> bool:
        """Write the statistics to another file."""
        path.write_bytes(gathered(self._planned, self._statistics).to_bytes())
        return True

    def close(self) -> None:
        """Nothing was taken."""


def sketches_of(statistics: Statistics) -> Mapping[str, Sketch]:
    """Return the sketch of each tensor."""
    return {name: tensor.sketch for name, tensor in statistics.tensors.items()}


def decide_static(planned: PlannedModel, options: StaticOptions, statistics: Statistics) -> Decided:
    """Return the plan that statistics allow, with parameters from these; a pure function.

    Raises:
        NothingToQuantize: the batches reach nothing that could be quantized.
    """
    sketches = sketches_of(statistics)
    narrowed = narrow_plan(planned, options, sketches)
    parameters = derive_parameters(narrowed.graph, narrowed.plan, sketches, options)
    return Decided(
        planned=narrowed,
        to_write=narrowed.plan,
        parameters=parameters,
        statistics=statistics,
    )


def static_manner(options: StaticOptions) -> Manner:
    """Return how results of static quantization are written."""
    return Manner(
        rewrite=lambda model, decided: write_pairs(model, decided, options.pairs),
        form=options.quant_format,
    )


def write_pairs(model: ir.Model, decided: Decided, form: QdqOptions | None = None) -> None:
    """Insert Q/DQ pairs into a copy of the prepared model."""
    planned = decided.planned
    rewrite_qdq(
        model,
        decided.to_write,
        decided.parameters,
        form=form,
        weights=planned.loaded.weights,
        contrib_qdq=planned.prepared.contrib_qdq,
    )
