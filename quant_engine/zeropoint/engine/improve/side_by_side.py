"""The float model and the quantized one, run side by side from layer to layer."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import name_of
from zeropoint.engine.improve.layers import Layer
from zeropoint.engine.improve.piecewise import PiecewiseModel
from zeropoint.engine.improve.runs import Feeds, Run
from zeropoint.engine.numbers import dequantize, quantize
from zeropoint.engine.plan import Parameters, PlannedModel, QuantPlan
from zeropoint.engine.rewrite import rewrite_qdq

Array = NDArray[Any]

_FEWEST, _ENOUGH_BYTES = 16, 8 << 20  # of samples, and of their inputs


class SideBySide:
    """Both models, each node of which runs once a sample."""

    def __init__(
        self,
        layers: Sequence[Layer],
        floats: ir.Model,
        quantized: ir.Model,
        samples: Sequence[Feeds],
        run: Run,
        folder: Path,
    ) -> None:
        """Begin.

        Args:
            layers: The layers to stop at.
            floats: The prepared float model.
            quantized: The same with pairs; weights may still be floats.
            samples: Inputs by name; no more are taken than tell enough.
            run: Runs models.
            folder: Holds the external data of both.
        """
        samples = enough_samples(samples)
        nodes = {name_of(node): node for node in quantized.graph}
        self._layers = layers
        self._data = {each.node: name_of(nodes[each.node].inputs[0]) for each in layers}
        wanted = [each.result for each in layers]
        self._floats = PiecewiseModel(floats, wanted, folder / "floats.onnx", run, samples)
        self._quantized = PiecewiseModel(
            quantized, tuple(self._data.values()), folder / "quantized.onnx", run, samples
        )

    def pairs(self, max_bytes: int) -> Iterator[tuple[Layer, list[tuple[Array, Array]]]]:
        """Yield each layer with its quantized data and the float model's result, by sample.

        It must be settled before the next one is asked for.

        Args:
            max_bytes: Budget for what is held of all samples.

        Raises:
            RuntimeRefusal: a model does not run.
        """
        depths = self._floats.depths({each.node: each.result for each in self._layers})
        ordered = sorted(self._layers, key=lambda layer: depths[layer.node])
        for _, group in groupby(ordered, lambda layer: depths[layer.node]):
            wave = tuple(group)
            names = [each.result for each in wave]
            results = self._floats.compute(list(dict.fromkeys(names)), max_bytes // 2)
            self._quantized.keep(self._floats.samples)
            read = list(dict.fromkeys(self._data[each.node] for each in wave))
            data = self._quantized.compute(read, max_bytes // 2)
            self._floats.keep(self._quantized.samples)
            del results[len(data) :]
            at = {name: index for index, name in enumerate(dict.fromkeys(names))}
            for layer in wave:
                x, y = read.index(self._data[layer.node]), at[layer.result]
                yield layer, [(a[x], b[y]) for a, b in zip(data, results, strict=True)]

    def settle(self, layer: Layer, weight: Array, bias: Array | None) -> None:
        """Let the quantized model go on with a weight, and with a bias where it is a new one.

        Args:
            layer: The layer.
            weight: What its codes stand for.
            bias: One value for each output channel.
        """
        self._quantized.set_constant(layer.node, layer.where.index, weight)
        if bias is not None and layer.bias_at is not None:
            rounded = bias
            if (qparams := layer.bias_qparams) is not None:
                rounded = dequantize(quantize(bias, qparams), qparams).astype(np.float32)
            self._quantized.set_constant(*layer.bias_at, rounded.reshape(layer.bias_shape))


def enough_samples(samples: Sequence[Feeds]) -> Sequence[Feeds]:
    """Return the first samples: a few, and more where they are small and say little each."""
    taken = 0
    for count, sample in enumerate(samples):
        if count >= _FEWEST and taken >= _ENOUGH_BYTES:
            return samples[:count]
        taken += sum(array.nbytes for array in sample.values())
    return samples


def fake_quantized(planned: PlannedModel, plan: QuantPlan, parameters: Parameters) -> ir.Model:
    """Return the prepared model as it computes with codes.

    Where codes of data are found as the model runs, they are taken for floats.
    """
    model = planned.prepared.model.clone()
    if all(name in parameters.tensors for name in plan.tensors):
        rewrite_qdq(
            model,
            plan,
            parameters,
            weights=planned.loaded.weights,
            contrib_qdq=planned.prepared.contrib_qdq,
        )
    return model
