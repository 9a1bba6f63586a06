"""Running the engine, and looking at what ONNX Runtime makes of its results."""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from zeropoint.engine import (
    AccuracyMode,
    AccuracyOptions,
    DynamicOptions,
    JobSettings,
    NodeState,
    Options,
    QuantType,
    Report,
    StaticOptions,
    WeightOptions,
    open_job,
)
from zeropoint.engine.verify import InProcessVerifier, Verifier

Array = NDArray[Any]
Feeds = Mapping[str, Array]

open_here = functools.partial(open_job, verifier=InProcessVerifier)
"""`open_job` without the process that verifies."""

NO_SEARCH = AccuracyOptions(mode=AccuracyMode.OFF)
"""For tests of results that are bad by intent: each is what was asked for."""


@dataclass(frozen=True)
class Quantized:
    """A result and where it lies."""

    source: Path
    path: Path
    report: Report

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.load(self.path)

    @property
    def warned(self) -> set[str]:
        """Codes of the warnings, but for those on how fast a small model is and how few data."""
        chance = {"RESULT_SLOWER", "RANGES_MOVING"}
        return {warning.code for warning in self.report.warnings} - chance

    def states(self) -> dict[str, str]:
        return {
            node.name: node.reason if node.state is NodeState.FLOAT else node.state.value
            for node in self.report.plan.nodes
        }


def quantize(
    source: Path,
    batches: Iterable[Feeds],
    options: Options,
    workspace: Path,
    *,
    verifier: Callable[[], Verifier] = InProcessVerifier,
    **settings: Any,
) -> Quantized:
    """Run a whole job in this process, unless another verifier is named."""
    workspace.mkdir(parents=True, exist_ok=True)
    chosen = JobSettings(workspace=workspace, **settings)
    with open_job(source, options, chosen, verifier=verifier) as job:
        for batch in batches:
            job.observe(batch)
        result = job.finish()
    return Quantized(source, result.files[0], result.report)


def static(
    *, weight_type: QuantType = QuantType.QINT8, per_channel: bool = False, **options: Any
) -> StaticOptions:
    """Options as most people choose them: int8 weights."""
    weight = WeightOptions(quant_type=weight_type, per_channel=per_channel)
    return StaticOptions(weight=weight, **options)


def dynamic(
    *, weight_type: QuantType = QuantType.QINT8, per_channel: bool = False, **options: Any
) -> DynamicOptions:
    """Options as most people choose them: int8 weights."""
    weight = WeightOptions(quant_type=weight_type, per_channel=per_channel)
    return DynamicOptions(weight=weight, **options)


def opened(
    model: Path | onnx.ModelProto, *, optimize: bool = True, keep: Path | None = None
) -> ort.InferenceSession:
    """Open a model on one thread, as ONNX Runtime optimizes it or as it is written.

    Args:
        model: The model, or its file.
        optimize: Whether to optimize it.
        keep: Where to write the optimized model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if keep is not None:
        options.optimized_model_filepath = str(keep)
    content = model if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(
    model: Path | onnx.ModelProto, feeds: Feeds, names: Sequence[str] = (), *, optimize: bool = True
) -> list[Array]:
    """Run a model once; return its outputs, or those named."""
    session = opened(model, optimize=optimize)
    outputs: list[Array] = session.run(list(names) or None, dict(feeds))
    return outputs


def exposing(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return a copy that has further tensors as outputs, behind its own."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    there = {output.name for output in copy.graph.output}
    copy.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in there
    )
    return copy


def kernels(model: Path | onnx.ModelProto, folder: Path) -> Counter[str]:
    """Count the operators of a model, bodies included, as ONNX Runtime runs it by default."""
    opened(model, keep=folder / "optimized.onnx")
    graph = onnx.load(folder / "optimized.onnx", load_external_data=False).graph
    return Counter(node.op_type for node in all_nodes(graph))


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Return the nodes of a graph and of the bodies inside of it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from all_nodes(body)


def sqnr_db(reference: Array, other: Array) -> float:
    """Return 10 log10(sum x^2 / sum (x - y)^2); -infinity for a signal of zeros."""
    x, y = reference.astype(np.float64), other.astype(np.float64)
    signal, noise = float(np.sum(x**2)), float(np.sum((x - y) ** 2))
    if noise == 0 or signal == 0:
        return float("inf") if noise == 0 else float("-inf")
    return 10 * float(np.log10(signal / noise))
