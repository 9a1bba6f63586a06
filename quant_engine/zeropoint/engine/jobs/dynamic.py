"""Dynamic quantization: activations are quantized as the model runs."""

from concurrent.futures import Future

from zeropoint.engine.jobs.job import Job
from zeropoint.engine.options import DynamicOptions
from zeropoint.engine.plan import Parameters, derive_constants
from zeropoint.engine.rewrite import rewrite_dynamic
from zeropoint.engine.settings import Batch


class DynamicJob(Job):
    """Activations are quantized as the model runs; batches only serve to verify."""

    def _start(self, batch: Batch, sequence: int) -> "Future[None]":
        """There is nothing to count."""
        counted: Future[None] = Future()
        counted.set_result(None)
        return counted

    def _calibration(self) -> None:
        return None

    def _parameters(self) -> Parameters:
        planned = self._planned
        assert isinstance(planned.options, DynamicOptions)
        constants = derive_constants(planned.graph, planned.plan, planned.options.weight)
        return Parameters(tensors={}, constants=constants, ranges={}, warnings=())

    def _rewrite(self, parameters: Parameters) -> None:
        planned = self._planned
        model, store = planned.prepared.model, planned.loaded.weights
        rewrite_dynamic(model, planned.plan, parameters, store)
