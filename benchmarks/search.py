"""What a search for an accurate result takes beyond the plain job: `auto`, and a guard that mends.

The networks are EfficientNet-lite0 and one of 100 convolutions, two of which have a loud channel
between them behind a Softplus, so that nothing but float nodes mends it.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.child import ChildRun, run_child
from benchmarks.effort import Effort
from benchmarks.networks import EFFICIENTNET, Batch
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, ratio
from zeropoint.engine import (
    AccuracyMode,
    AccuracyOptions,
    JobSettings,
    StaticOptions,
    open_job,
    warm,
)

_ALLOWED_SECONDS = 60.0
_SAMPLES = 32
_WARM_UP_SECONDS = 3.0  # the verifying process imports meanwhile
_CONVOLUTIONS, _CHANNELS, _SIDE = 100, 32, 64
_LOUD = 30_000.0
_CHAIN = "100 convolutions"


def run(effort: Effort) -> Iterator[Row]:
    """Measure both networks with both modes."""
    for network in (EFFICIENTNET.name, _CHAIN):
        for mode in (AccuracyMode.GUARD, AccuracyMode.AUTO):
            yield _measure(network, mode, effort)


def _measure(network: str, mode: AccuracyMode, effort: Effort) -> Row:
    def side(chosen: AccuracyMode) -> Callable[[], ChildRun]:
        return lambda: run_child("search:zeropoint", network=network, mode=chosen.value)

    sides = {"off": side(AccuracyMode.OFF), "on": side(mode)}
    found = in_turns(sides, effort.slow_rounds)
    beyond = [
        on.values["seconds"] - off.values["seconds"]
        for on, off in zip(found["on"], found["off"], strict=True)
    ]
    trials = found["on"][0].values["trials"]
    return Row(
        benchmark="search",
        case=f"{network}, {mode.value}, {_SAMPLES} samples",
        ours=f"{median(beyond):.1f} s for {trials} candidates beyond the plain job",
        against=f"{_ALLOWED_SECONDS:g} s",
        ratio=ratio(beyond, [_ALLOWED_SECONDS] * len(beyond)),
        budget=Budget(1.0),
    )


def zeropoint(network: str, mode: str) -> dict[str, Any]:
    """Run a job in this process; return its seconds, and how many candidates were tried."""
    source, batches = _given(network)
    warm()
    time.sleep(_WARM_UP_SECONDS)
    options = StaticOptions(accuracy=AccuracyOptions(mode=AccuracyMode(mode)))
    with tempfile.TemporaryDirectory() as folder:
        settings = JobSettings(workspace=Path(folder), threads=os.cpu_count() or 1)
        begin = time.perf_counter()
        with open_job(source, options, settings) as job:
            for batch in batches:
                job.submit(batch)
            accuracy = job.finish().report.accuracy
        spent = time.perf_counter() - begin
    return {"seconds": spent, "trials": len(accuracy.trials) if accuracy else 0}


def _given(network: str) -> tuple[Path, Sequence[Batch]]:
    if network == EFFICIENTNET.name:
        return EFFICIENTNET.path(), list(EFFICIENTNET.batches(_SAMPLES))
    random = np.random.default_rng(0)
    shape = (1, _CHANNELS, _SIDE, _SIDE)
    samples = (random.standard_normal(shape).astype(np.float32) for _ in range(_SAMPLES))
    return _chain(), [{"x": sample} for sample in samples]


@cache
def _chain() -> Path:
    """Write a network of many convolutions, one block of which has a loud channel."""
    random = np.random.default_rng(0)
    nodes, weights, data = [], [], "x"
    for number in range(_CONVOLUTIONS):
        shape = (_CHANNELS, _CHANNELS, 3, 3)
        weight = random.standard_normal(shape) * np.sqrt(2.0 / (9 * _CHANNELS))
        if number == _CONVOLUTIONS // 2:
            weight[0] *= _LOUD
        if number == _CONVOLUTIONS // 2 + 1:
            weight[:, 0] /= _LOUD
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{number}"))
        convolution = helper.make_node(
            "Conv", [data, f"w{number}"], [f"c{number}"], name=f"conv{number}", pads=[1] * 4
        )
        kind = "Softplus" if number == _CONVOLUTIONS // 2 else "Relu"
        nodes += [convolution, helper.make_node(kind, [f"c{number}"], [f"r{number}"])]
        data = f"r{number}"
    sizes = [1, _CHANNELS, _SIDE, _SIDE]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(data, TensorProto.FLOAT, sizes)],
        weights,
    )
    path = Path(tempfile.mkdtemp()) / "chain.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path
