"""Changes -> a decision, those included that need numbers of their own.

equalized, smoothed   other constants of the float model, exact; what lies between is observed anew
(realize)             the plan and its parameters
rounded, corrected    other codes and biases for that plan
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.errors import ModelError
from zeropoint.engine.improve import (
    Edits,
    Improvements,
    Rescaling,
    apply_edits,
    channel_maxima,
    edited_parameters,
    edited_plan,
    equalizable,
    equalize,
    improve,
    smooth,
    smoothable,
)
from zeropoint.engine.observe import Statistics
from zeropoint.engine.options import StaticOptions
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.runtime import RuntimeRefusal
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.decided import Decided
from zeropoint.engine.search.material import Material
from zeropoint.engine.search.realize import realize

_Rescaled = tuple[PlannedModel, Statistics, bytes]


class Realizer:
    """Decides for one model with one set of options, as often as wanted."""

    def __init__(self, planned: PlannedModel, options: StaticOptions) -> None:
        """Begin.

        Args:
            planned: The model with the plan for `options`.
            options: What is asked for.
        """
        self._planned = planned
        self._options = options
        self._rescaled: dict[tuple[bool, frozenset[str]], _Rescaled] = {}

    def decide(self, statistics: Statistics, changes: Changes, material: Material) -> Decided:
        """Return the plan with its parameters, and the constants that go with it.

        Args:
            statistics: What batches showed; always the same.
            changes: What is done otherwise.
            material: What numbers are found from; always the same.

        Raises:
            BatchError: the float model does not run on a sample.
            ModelError: MODEL_NOT_RUNNABLE, nor does a part of it, or the model as it is planned.
            NothingToQuantize: nothing is left that could be quantized.
            OptionError: DECISIONS_INVALID, a change names what the model does not have.
        """
        try:
            return self._decide(statistics, changes, material)
        except RuntimeRefusal as refusal:
            raise ModelError(
                "MODEL_NOT_RUNNABLE", f"a part of the model does not run by itself: {refusal}"
            ) from refusal

    def _decide(self, statistics: Statistics, changes: Changes, material: Material) -> Decided:
        key = changes.equalized, changes.smoothed
        if not any(key):
            planned, edited = self._planned, b""
        else:
            if key not in self._rescaled:
                self._rescaled[key] = self._rescale(statistics, changes, material)
            planned, statistics, edited = self._rescaled[key]
        decided = replace(realize(planned, self._options, statistics, changes), edited=edited)
        if not changes.rounded and not changes.corrected:
            return decided
        return _improved(decided, changes, material)

    def _rescale(self, statistics: Statistics, changes: Changes, material: Material) -> _Rescaled:
        """Return the model with other constants, and what was observed of it."""
        model = self._planned.prepared.model.clone()
        between: dict[str, None] = {}
        digest = hashlib.sha256()
        samples = material.samples()
        for found in self._rescalings(model, changes, material) if samples else ():
            apply_edits(model, found.edits, self._planned.loaded.weights)
            between.update(dict.fromkeys(found.tensors))
            digest.update(_digest(found.edits))
        if not between:
            return self._planned, statistics, b""
        seen = dict(statistics.tensors)
        names = [name for name in between if name in seen]
        for name, sketch in material.observe(model, names).items():
            seen[name] = replace(seen[name], sketch=sketch)
        planned = self._planned.on(model, self._options)
        return planned, replace(statistics, tensors=seen), digest.digest()

    def _rescalings(
        self, model: ir.Model, changes: Changes, material: Material
    ) -> Iterator[Rescaling]:
        fixed = frozenset(self._planned.prepared.stored)
        if changes.equalized:
            material.told("equalizing channels")
            yield equalize(model.graph, fixed, self._of_channels(model, fixed, material))
        tensors = smoothable(model.graph, fixed, changes.smoothed)
        if tensors:
            material.told("smoothing channels")
            path = material.folder / "channels.onnx"
            maxima = channel_maxima(model, tensors, material.samples(), material.run, path)
            yield smooth(model.graph, maxima, fixed)

    def _of_channels(
        self, model: ir.Model, fixed: frozenset[str], material: Material
    ) -> Mapping[str, NDArray[np.float64]] | None:
        """Return what data have at most in their channels; None where weights have one scale."""
        if self._options.weight.per_channel is False:
            return None
        tensors, path = equalizable(model.graph, fixed), material.folder / "channels.onnx"
        return channel_maxima(model, tensors, material.samples(), material.run, path)


def edited(decided: Decided, edits: Edits) -> Decided:
    """Return a decision with other constants for the same plan, in a copy of the model."""
    if not edits:
        return decided
    planned, exact = decided.planned, replace(edits, kept={})  # their parameters are decided
    model = planned.prepared.model.clone()
    apply_edits(model, edits, planned.loaded.weights)
    options = planned.options
    stays = isinstance(options, StaticOptions) and not options.pairs.quantize_bias
    plan = edited_plan(decided.to_write, exact, quantize_bias=not stays)
    return replace(
        decided,
        planned=replace(planned, prepared=replace(planned.prepared, model=model), plan=plan),
        to_write=plan,
        parameters=edited_parameters(decided.parameters, plan, exact),
        edited=hashlib.sha256(decided.edited + _digest(edits)).digest(),
    )


def _improved(decided: Decided, changes: Changes, material: Material) -> Decided:
    """Return a decision with codes and biases for which layers lose less."""
    edits = improve(
        decided.planned,
        decided.to_write,
        decided.parameters,
        material.samples(),
        material.run,
        material.folder,
        Improvements(
            rounding=bool(changes.rounded),
            biases=bool(changes.corrected),
            nodes=changes.rounded | changes.corrected,
            max_bytes=material.observe_bytes,
        ),
        told=lambda node: material.told(f"improving {node}"),
    )
    return edited(decided, edits)


def _digest(edits: Edits) -> bytes:
    digest = hashlib.sha256()
    for kind in (edits.weights, edits.biases):
        _add(digest, kind)
    return digest.digest()


def _add(digest: "hashlib._Hash", arrays: Mapping[tuple[str, int], np.ndarray]) -> None:
    for (node, index), array in sorted(arrays.items(), key=lambda item: item[0]):
        digest.update(f"{node}\0{index}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
