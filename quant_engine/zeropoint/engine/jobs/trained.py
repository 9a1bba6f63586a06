"""Quantizing a model that was trained with fake quantization, as a job."""

from concurrent.futures import Future

from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.jobs.job import KERNEL_OPERATORS, Job
from zeropoint.engine.options import QatOptions
from zeropoint.engine.plan import Parameters
from zeropoint.engine.qat import TrainedModel, forget_types
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import Warning
from zeropoint.engine.rewrite import lower
from zeropoint.engine.settings import Batch, JobSettings
from zeropoint.engine.verify import ProofRequest, TwinModel, Verifier


class Trained(Job):
    """What all jobs on trained models do: write the form asked for, and prove it."""

    _trained: TrainedModel
    _left: tuple[str, ...] = ()

    def _lower(self) -> None:
        planned = self._trained.planned
        assert isinstance(planned.options, QatOptions)
        model = planned.prepared.model
        self._left = lower(model, planned.options.quant_format, planned.loaded.weights)
        if not self._trained.described:
            forget_types(model.graph)

    def _proof(self) -> ProofRequest:
        planned = self._planned
        nodes = {name: kind for name, kind in planned.loaded.nodes if kind in KERNEL_OPERATORS}
        return ProofRequest(trained=planned.prepared.path, codes=self._trained.codes, nodes=nodes)

    def _changes(self) -> tuple[Warning, ...]:
        warnings = self._trained.conversion.warnings
        if not self._left:
            return warnings
        return (
            *warnings,
            Warning(
                code=WarningCode.LEFT_QDQ,
                message=f"{len(self._left)} nodes have no form with integer operators and stay "
                "float operators between pairs.",
                nodes=self._left,
            ),
        )


class TrainedJob(Trained):
    """Parameters are those that were learned; batches only serve to verify."""

    def __init__(
        self, trained: TrainedModel, settings: JobSettings, clock: Clock, verifier: Verifier
    ) -> None:
        super().__init__(trained.planned, settings, clock, verifier)
        self._trained = trained

    def _start(self, batch: Batch, sequence: int) -> "Future[None]":
        """There is nothing to count."""
        counted: Future[None] = Future()
        counted.set_result(None)
        return counted

    def _calibration(self) -> None:
        return None

    def _parameters(self) -> Parameters:
        return self._trained.parameters

    def _rewrite(self, parameters: Parameters) -> None:
        """The graph was converted when it was planned."""
        self._lower()

    def _build_twins(self, parameters: Parameters) -> TwinModel | None:
        """There is no float model behind what was trained, that a node could lose against."""
        return None
