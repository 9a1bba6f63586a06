"""Quantizing a model that was trained with fake quantization, as a job."""

from concurrent.futures import Future

from zeropoint.engine.clock import Clock
from zeropoint.engine.job import Batch, JobSettings
from zeropoint.engine.parameters import Parameters
from zeropoint.engine.qat.proof import ProofRequest
from zeropoint.engine.qat.trained import TrainedModel
from zeropoint.engine.quantization import KERNEL_OPERATORS, Job
from zeropoint.engine.report import Warning
from zeropoint.engine.twins import TwinModel


class TrainedJob(Job):
    """Parameters are those that were learned; batches only serve to verify."""

    def __init__(self, trained: TrainedModel, settings: JobSettings, clock: Clock) -> None:
        super().__init__(trained.planned, settings, clock)
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

    def _build_twins(self, parameters: Parameters) -> TwinModel | None:
        """There is no float model behind what was trained, that a node could lose against."""
        return None

    def _proof(self) -> ProofRequest:
        planned = self._planned
        nodes = {name: kind for name, kind in planned.loaded.nodes if kind in KERNEL_OPERATORS}
        return ProofRequest(trained=planned.prepared.path, codes=self._trained.codes, nodes=nodes)

    def _changes(self) -> tuple[Warning, ...]:
        return self._trained.conversion.warnings
