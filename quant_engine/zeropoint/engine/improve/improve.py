"""Layer after layer: codes and biases that bring the quantized model near to the float one.

Each layer is chosen for the data that it will see behind those chosen before it, so that errors are
made up for and do not add up.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.improve.bias_correction import corrected_bias
from zeropoint.engine.improve.edits import Edits
from zeropoint.engine.improve.layers import Layer, layers_of
from zeropoint.engine.improve.moments import Means, Moments, gather
from zeropoint.engine.improve.rounding import rounded_codes
from zeropoint.engine.improve.runs import Feeds, Run
from zeropoint.engine.improve.side_by_side import SideBySide, fake_quantized
from zeropoint.engine.numbers import dequantize, quantize
from zeropoint.engine.plan import InputKey, Parameters, PlannedModel, QuantPlan

Array = NDArray[Any]

# Of the sums of products of one layer, and of what rounding makes of them.
_MOST_BYTES, _COPIES = 1 << 30, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvements:
    """What is done to layers.

    Attributes:
        rounding: Choose codes of weights.
        biases: Correct biases.
        nodes: Which layers; None: all.
        rows: Places of a layer's result that are looked at, over all samples.
        max_bytes: Budget for what is held of all samples between two layers; there are fewer
            samples where it does not do.
    """

    rounding: bool = True
    biases: bool = True
    nodes: Collection[str] | None = None
    rows: int = 4096
    max_bytes: int = 512 << 20


def improve(
    planned: PlannedModel,
    plan: QuantPlan,
    parameters: Parameters,
    samples: Sequence[Feeds],
    run: Run,
    folder: Path,
    what: Improvements = Improvements(),
    told: Callable[[str], None] = lambda _node: None,
) -> Edits:
    """Choose codes and biases of the layers of a plan.

    Args:
        planned: The prepared float model.
        plan: What is quantized of it.
        parameters: Scales and zero points; they stay as they are.
        samples: Inputs by name, in an order that depends on nothing but their content.
        run: Runs models.
        folder: Where models are written; it holds the external data of the prepared model.
        what: What is done.
        told: Is given the name of each layer as it is looked at.

    Raises:
        RuntimeRefusal: a model does not run.
    """
    known = layers_of(planned.graph, plan, parameters)
    layers = [each for each in known if what.nodes is None or each.node in what.nodes]
    weights: dict[InputKey, NDArray[np.float32]] = {}
    biases: dict[InputKey, NDArray[np.float32]] = {}
    if not layers or not samples:
        return Edits()
    quantized = fake_quantized(planned, plan, parameters)
    both = SideBySide(layers, planned.prepared.model, quantized, samples, run, folder)
    for layer, pairs in both.pairs(what.max_bytes):
        told(layer.node)
        rounds = what.rounding and layer.where.kept is None and _can_round(layer)
        means = gather(layer.form, pairs, what.rows, products=rounds)
        weight, bias = _rounded(layer, means, what), None
        if what.biases and means is not None:
            bias = _corrected(layer, means, weight)
        if not np.array_equal(weight, _nearest(layer)):
            weights[layer.where.key] = weight
        if bias is not None and layer.bias_at is not None:
            biases[layer.bias_at] = bias.reshape(layer.bias_shape)
        both.settle(layer, weight, bias)
    kept = {layer.where.key: layer.qparams for layer in layers if layer.where.key in weights}
    return Edits(weights=weights, kept=kept, biases=biases)


def _nearest(layer: Layer) -> NDArray[np.float32]:
    return dequantize(quantize(layer.weight, layer.qparams), layer.qparams).astype(np.float32)


def _can_round(layer: Layer) -> bool:
    """Whether memory allows for products of all inputs of a layer."""
    groups, outputs, inputs = layer.form.matrices(layer.weight).shape
    size: int = groups * inputs * (_COPIES * inputs + outputs) * 8
    return size <= _MOST_BYTES


def _rounded(layer: Layer, moments: Means | None, what: Improvements) -> NDArray[np.float32]:
    """Return what the codes of a weight stand for: the nearest where no products are known."""
    if not isinstance(moments, Moments):
        return _nearest(layer)
    scale, zero_point = layer.grid
    codes = rounded_codes(
        moments,
        layer.matrices,
        layer.bias_matrix,
        scale,
        zero_point,
        layer.qparams.code_limits,
        free_bias=what.biases and layer.bias_at is not None,
    )
    array = layer.form.weight(codes).astype(layer.qparams.dtype)
    if not layer.fits(array):
        return _nearest(layer)
    return dequantize(array, layer.qparams).astype(np.float32)


def _corrected(
    layer: Layer, means: Means, weight: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Return a better bias, one value for each output channel; None where there is none."""
    if layer.bias_at is None:
        return None
    matrices = layer.form.matrices(weight.astype(np.float64))
    bias = corrected_bias(means, matrices, layer.bias_matrix)
    found = bias.reshape(-1).astype(np.float32)
    if np.array_equal(found, layer.bias) or not layer.takes_bias(found):
        return None
    return found
