"""The sources of parameters: batches, an earlier job, the running model, training, and both."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import onnx_ir as ir

from zeropoint.engine.errors import OptionError
from zeropoint.engine.jobs.observed import Observed
from zeropoint.engine.jobs.source import Counted, Manner, Source
from zeropoint.engine.observe import Statistics
from zeropoint.engine.operators import KERNEL_OPERATORS, SELF_QUANTIZING
from zeropoint.engine.options import DynamicOptions, QatOptions, QdqOptions, StaticOptions
from zeropoint.engine.plan import PlannedModel, derive_parameters
from zeropoint.engine.qat import TrainedModel, merged, without_unseen
from zeropoint.engine.rewrite import rewrite_dynamic, rewrite_qdq
from zeropoint.engine.search import (
    Changes,
    Decided,
    Material,
    Realizer,
    realize,
    realize_dynamic,
)
from zeropoint.engine.settings import Batch, JobSettings
from zeropoint.engine.verify import ProofRequest
from zeropoint.sketch import Sketch


def streamed(planned: PlannedModel, options: StaticOptions, settings: JobSettings) -> Source:
    """Static quantization: ranges come from batches."""
    observed = Observed(planned, options, settings)
    return Source(
        manner=_static(options),
        decide=lambda counted: realize(planned, options, observed.gather(counted)),
        realize=_changing(planned, options),
        **_observing(observed),
    )


def recalled_source(
    planned: PlannedModel, options: StaticOptions, statistics: Statistics
) -> Source:
    """Static quantization: ranges come from what an earlier job has seen."""

    def refuse(_batch: Batch, _sequence: int, _band: Callable[[], int | None]) -> "Future[None]":
        raise OptionError(
            "OPTION_CONFLICT",
            "This job has a calibration and takes no batches: finish it, or leave the calibration "
            "out.",
            option="calibration",
        )

    return Source(
        manner=_static(options),
        decide=lambda _counted: realize(planned, options, statistics),
        realize=_changing(planned, options),
        start=refuse,
    )


def _changing(
    planned: PlannedModel, options: StaticOptions
) -> Callable[[Decided, Changes, Material], Decided]:
    realizer = Realizer(planned, options)

    def changed(decided: Decided, changes: Changes, material: Material) -> Decided:
        assert decided.statistics is not None
        return realizer.decide(decided.statistics, changes, material)

    return changed


def _observing(observed: Observed) -> dict[str, Any]:
    """Return what a source does with batches whose tensors choose ranges."""
    return {
        "calibrates": True,
        "counts_apart": observed.counts_apart,
        "samplewise": observed.samplewise,
        "start": observed.start,
        "release": observed.release,
        "moved_by": observed.moved_by,
        "convergence": observed.convergence,
        "close": observed.close,
    }


def as_it_runs(planned: PlannedModel, options: DynamicOptions) -> Source:
    """Dynamic quantization: activations are quantized as the model runs."""

    def rewrite(model: ir.Model, decided: Decided) -> None:
        weights = decided.planned.loaded.weights
        rewrite_dynamic(model, decided.to_write, decided.parameters, weights)

    manner = Manner(rewrite=rewrite, kernels=KERNEL_OPERATORS | SELF_QUANTIZING)
    return Source(
        manner=manner,
        decide=lambda _counted: realize_dynamic(planned, options),
        realize=lambda _decided, changes, _material: realize_dynamic(planned, options, changes),
    )


def learned(trained: TrainedModel, options: QatOptions) -> Source:
    """A model trained with fake quantization: it was converted as it was planned."""
    planned = trained.planned
    decided = Decided(planned=planned, to_write=planned.plan, parameters=trained.parameters)
    return Source(manner=_trained(trained, options), decide=lambda _counted: decided)


def completed(
    trained: TrainedModel,
    completion: PlannedModel,
    asked: QatOptions,
    options: StaticOptions,
    settings: JobSettings,
) -> Source:
    """A trained model of which batches complete what was not trained.

    Args:
        trained: The converted model.
        completion: The same with the plan of what is not trained.
        asked: The user's options.
        options: Those of what is completed.
        settings: What may be used.
    """
    observed = Observed(completion, options, settings)

    def decide(counted: Counted) -> Decided:
        statistics = observed.gather(counted)
        sketches = _sketches(statistics)
        seen = frozenset(name for name, sketch in sketches.items() if sketch.elements)
        plan, known = without_unseen(completion.plan, seen), trained.parameters
        found = derive_parameters(completion.graph, plan, sketches, options)
        return Decided(
            planned=replace(completion, plan=merged(trained.planned.plan, plan)),
            to_write=plan,
            parameters=replace(
                found,
                tensors={**found.tensors, **known.tensors},
                constants={**found.constants, **known.constants},
                ranges={**found.ranges, **known.ranges},
            ),
            statistics=statistics,
        )

    return Source(
        manner=replace(_trained(trained, asked), rewrite=_write_pairs),
        decide=decide,
        **_observing(observed),
    )


def _sketches(statistics: Statistics) -> Mapping[str, Sketch]:
    return {name: tensor.sketch for name, tensor in statistics.tensors.items()}


def _static(options: StaticOptions) -> Manner:
    return Manner(
        rewrite=lambda model, decided: _write_pairs(model, decided, options.pairs),
        form=options.quant_format,
    )


def _trained(trained: TrainedModel, options: QatOptions) -> Manner:
    """Nothing is left to be written, and all is to be proved."""
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


def _write_pairs(model: ir.Model, decided: Decided, form: QdqOptions | None = None) -> None:
    planned = decided.planned
    rewrite_qdq(
        model,
        decided.to_write,
        decided.parameters,
        form=form,
        weights=planned.loaded.weights,
        contrib_qdq=planned.prepared.contrib_qdq,
    )
