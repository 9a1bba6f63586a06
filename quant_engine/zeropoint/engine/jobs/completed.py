"""Quantizing a trained model, with batches for what was not trained."""

from dataclasses import replace

from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.static import StreamedJob
from zeropoint.engine.jobs.trained import Trained
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan import Parameters, PlannedModel, QuantPlan, derive_parameters
from zeropoint.engine.qat import TrainedModel, merged, without_unseen
from zeropoint.engine.report import CalibrationFigures
from zeropoint.engine.rewrite import rewrite_qdq
from zeropoint.engine.settings import JobSettings
from zeropoint.engine.verify import TwinModel, Verifier


class CompletedJob(Trained, StreamedJob):
    """Learned parameters are kept; what has none gets some from statistics."""

    def __init__(
        self,
        trained: TrainedModel,
        completion: PlannedModel,
        options: StaticOptions,
        settings: JobSettings,
        clock: Clock,
        verifier: Verifier,
    ) -> None:
        StreamedJob.__init__(self, completion, options, settings, clock, verifier)
        self._trained = trained
        self._completion: QuantPlan = completion.plan

    def _calibration(self) -> CalibrationFigures:
        self._gathered = self._gather()
        sketches = {name: tensor.sketch for name, tensor in self._gathered.tensors.items()}
        seen = frozenset(name for name, sketch in sketches.items() if sketch.elements)
        self._completion = without_unseen(self._planned.plan, seen)
        learned = self._trained.planned.plan
        self._planned = replace(self._planned, plan=merged(learned, self._completion))
        return self._gathered.figures()

    def _parameters(self) -> Parameters:
        assert self._gathered is not None
        sketches = {name: tensor.sketch for name, tensor in self._gathered.tensors.items()}
        graph, learned = self._planned.graph, self._trained.parameters
        found = derive_parameters(graph, self._completion, sketches, self._options)
        return replace(
            found,
            tensors={**found.tensors, **learned.tensors},
            constants={**found.constants, **learned.constants},
            ranges={**found.ranges, **learned.ranges},
        )

    def _rewrite(self, parameters: Parameters) -> None:
        planned, prepared = self._planned, self._planned.prepared
        rewrite_qdq(
            prepared.model,
            self._completion,
            parameters,
            weights=planned.loaded.weights,
            contrib_qdq=prepared.contrib_qdq,
        )
        self._lower()

    def _build_twins(self, parameters: Parameters) -> TwinModel | None:
        """There is no float model behind what was trained, that a node could lose against."""
        return None
