"""How far eight bits may move the outputs of a float model.

A quantized value is at most half a step off. So the model is run with noise of that kind on
whatever a quantizer may touch, and what this does to the outputs is what quantization may do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from support.engine import Array, Feeds, exposing, run

from zeropoint.engine.operators import OPERATORS

_READS_TWO = ("Conv", "MatMul", "Gemm", "Add", "Mul")
_SLACK = 3.0  # over what noise of up to a whole step does
_SEEDS = 6


@dataclass(frozen=True)
class Allowance:
    """How far an output may be off, whatever the element.

    Attributes:
        error: Greatest absolute difference.
        reference: What the float model gives.
    """

    error: float
    reference: Array


def allowances(
    source: Path, batches: Sequence[Feeds], batch: Feeds, *, bits: int = 8
) -> dict[str, Allowance]:
    """Return what quantization may do to each float output of a model.

    Args:
        source: A model whose tensors are all in the main graph.
        batches: What it is calibrated on.
        batch: One of them, which it is compared on.
        bits: Of the weights and of all else.
    """
    model = onnx.load(source)
    touched = _touched(model.graph)
    seen = [_activations(model, one, touched) for one in (batch, *batches)]
    steps = {
        name: max(_peak(values[name]) for values in seen) * 2 / (2**bits - 1)
        for name in seen[0]
        if seen[0][name].dtype == np.float32
    }
    outputs = [value.name for value in model.graph.output]
    references = dict(zip(outputs, run(model, batch, optimize=False), strict=True))
    error = dict.fromkeys(outputs, 0.0)
    for noise in _noises():
        noisy, feeds = _with_noise(model, batch, seen[0], steps, noise)
        for name, array in zip(outputs, run(noisy, feeds, outputs, optimize=False), strict=True):
            if isinstance(array, np.ndarray) and array.dtype == np.float32 and array.size:
                off = np.abs(array.astype(np.float64) - references[name])
                error[name] = max(error[name], float(np.nanmax(np.where(np.isfinite(off), off, 0))))
    return {
        name: Allowance(_SLACK * error[name] + 1e-6 * _peak(array), array)
        for name, array in references.items()
        if isinstance(array, np.ndarray) and array.dtype == np.float32
    }


def _peak(array: Array) -> float:
    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max(initial=0.0))


def _touched(graph: onnx.GraphProto) -> set[str]:
    """Return the tensors that a quantizer may put on a grid; an int32 bias is exact enough."""
    names = {value.name for value in graph.output}
    for node in graph.node:
        if (node.domain, node.op_type) in OPERATORS:
            count = 2 if node.op_type in _READS_TWO else 1
            names.update(node.input if node.op_type == "Concat" else node.input[:count])
            names.update(node.output)
    return names - {""}


def _activations(model: onnx.ModelProto, feeds: Feeds, names: set[str]) -> dict[str, Array]:
    """Return inputs, constants and computed tensors by name."""
    computed = {name for node in model.graph.node for name in node.output} & names
    values = {name: array for name, array in feeds.items() if name in names}
    for tensor in model.graph.initializer:
        if tensor.name in names:
            values[tensor.name] = numpy_helper.to_array(tensor)
    wanted = sorted(computed)
    if wanted:
        seen = run(exposing(model, wanted), feeds, wanted, optimize=False)
        values.update(zip(wanted, seen, strict=True))
    return {name: array for name, array in values.items() if isinstance(array, np.ndarray)}


@dataclass(frozen=True)
class _Noise:
    """One draw: for all elements of a tensor alike, or for each of them."""

    rng: np.random.Generator
    alike: bool

    def like(self, array: Array, step: float) -> Array:
        if self.alike:
            return np.full(array.shape, self.rng.choice([-step, step]), np.float32)
        return (self.rng.uniform(-step, step, array.shape)).astype(np.float32)


def _noises() -> Iterator[_Noise]:
    for seed in range(_SEEDS):
        yield _Noise(np.random.default_rng(seed), alike=seed % 2 == 0)


def _with_noise(
    model: onnx.ModelProto,
    batch: Feeds,
    values: Mapping[str, Array],
    steps: Mapping[str, float],
    noise: _Noise,
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    noisy = onnx.ModelProto()
    noisy.CopyFrom(model)
    graph = noisy.graph
    feeds = {
        name: array + noise.like(array, steps[name]) if name in steps else array
        for name, array in batch.items()
    }
    for tensor in graph.initializer:
        if tensor.name in steps and tensor.name not in batch:
            array = numpy_helper.to_array(tensor)
            changed = array + noise.like(array, steps[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    nodes = []
    for node in graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in steps:
                exact = node.output[index] = f"{name}:exact"
                graph.initializer.append(
                    numpy_helper.from_array(noise.like(values[name], steps[name]), f"{name}:noise")
                )
                nodes.append(helper.make_node("Add", [exact, f"{name}:noise"], [name]))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return noisy, feeds
