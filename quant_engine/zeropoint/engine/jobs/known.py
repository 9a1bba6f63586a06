"""Sources of parameters that need no batches: the running model, and what was learned."""

import onnx_ir as ir

from zeropoint.engine.jobs.source import Decided, Manner, Unobserved
from zeropoint.engine.operators import KERNEL_OPERATORS, SELF_QUANTIZING
from zeropoint.engine.options import QatOptions, WeightOptions
from zeropoint.engine.plan import Parameters, PlannedModel, derive_constants
from zeropoint.engine.qat import TrainedModel
from zeropoint.engine.rewrite import rewrite_dynamic
from zeropoint.engine.verify import ProofRequest


class AsItRuns(Unobserved):
    """Dynamic quantization: activations are quantized as the model runs."""

    manner = Manner(
        rewrite=lambda model, decided: _write_dynamic(model, decided),
        kernels=KERNEL_OPERATORS | SELF_QUANTIZING,
    )

    def __init__(self, planned: PlannedModel, weight: WeightOptions) -> None:
        """Take a planned model and how its weights become integers."""
        self._planned = planned
        self._weight = weight

    def decide(self, batches: int, rejected: int) -> Decided:
        """Choose parameters of constants."""
        planned = self._planned
        constants = derive_constants(planned.graph, planned.plan, self._weight)
        parameters = Parameters(tensors={}, constants=constants, ranges={}, warnings=())
        return Decided(planned=planned, to_write=planned.plan, parameters=parameters)


class Learned(Unobserved):
    """A model trained with fake quantization, which was converted as it was planned."""

    def __init__(self, trained: TrainedModel, options: QatOptions) -> None:
        """Take a converted model."""
        self._trained = trained
        self.manner = trained_manner(trained, options)

    def decide(self, batches: int, rejected: int) -> Decided:
        """Keep what was learned."""
        planned = self._trained.planned
        return Decided(planned=planned, to_write=planned.plan, parameters=self._trained.parameters)


def trained_manner(trained: TrainedModel, options: QatOptions) -> Manner:
    """Return how results of a trained model are proved; nothing is left to be written."""
    loaded, prepared = trained.planned.loaded, trained.planned.prepared
    types = {op_type for _, op_type in KERNEL_OPERATORS}
    nodes = {name: op_type for name, op_type in loaded.nodes if op_type in types}
    return Manner(
        rewrite=lambda _model, _decided: None,
        form=options.quant_format,
        typed=trained.described,
        twins=False,
        as_written=True,  # what ONNX Runtime makes of it is no longer what was trained
        proof=ProofRequest(trained=prepared.path, codes=trained.codes, nodes=nodes),
        warnings=trained.conversion.warnings,
    )


def _write_dynamic(model: ir.Model, decided: Decided) -> None:
    weights = decided.planned.loaded.weights
    rewrite_dynamic(model, decided.to_write, decided.parameters, weights)
