"""Latency of our quantized model against that of `quantize_static` with the same options.

All sessions have default options and one thread, and run in turns. In brackets: how many Conv,
MatMul and Gemm run as integer kernels in ONNX Runtime's optimized graph.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from support.engine import kernels, quantize

from benchmarks import competitor
from benchmarks.effort import Effort
from benchmarks.networks import NETWORKS, Network
from benchmarks.observation import plain_session
from benchmarks.options import static_options
from benchmarks.table import Budget, Row
from benchmarks.timing import in_turns, milliseconds, ratio, seconds

_SAMPLES = 8
_METHOD = "MinMax"
_RUNS_A_ROUND = 3
_INTEGER_KERNELS = (
    "QLinearConv",
    "NhwcQLinearConv",
    "QLinearConvTranspose",
    "QLinearMatMul",
    "QGemm",
    "ConvInteger",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
)


def run(effort: Effort) -> Iterator[Row]:
    """Measure every network."""
    for network in NETWORKS.values():
        with tempfile.TemporaryDirectory() as folder:
            yield from _measure(network, Path(folder), 3 * effort.rounds)


def _measure(network: Network, folder: Path, rounds: int) -> Iterator[Row]:
    source, batches = network.path(), list(network.batches(_SAMPLES))
    ours = quantize(source, batches, static_options(_METHOD), folder / "job").path
    theirs = folder / "theirs.onnx"
    competitor.quantize(source, theirs, batches, _METHOD)
    paths = {"ours": ours, "theirs": theirs, "float": source}
    sessions = {name: plain_session(path, threads=1) for name, path in paths.items()}

    def timed(name: str) -> Callable[[], float]:
        run = sessions[name].run
        return lambda: seconds(lambda: [run(None, batches[0]) for _ in range(_RUNS_A_ROUND)])

    in_turns({name: timed(name) for name in paths}, 1)
    found = in_turns({name: timed(name) for name in paths}, rounds)
    text = {name: milliseconds(times, _RUNS_A_ROUND) for name, times in found.items()}
    integer = {name: _integer_kernels(paths[name], folder) for name in ("ours", "theirs")}
    for other, what, budget in (
        ("theirs", f"onnxruntime.quantization [{integer['theirs']}]", Budget(1.05)),
        ("float", "float model", None),
    ):
        yield Row(
            benchmark="latency",
            case=network.name,
            ours=f"{text['ours']} [{integer['ours']}]",
            against=f"{text[other]} {what}",
            ratio=ratio(found["ours"], found[other]),
            budget=budget,
        )


def _integer_kernels(model: Path, folder: Path) -> int:
    found = kernels(model, folder)
    return sum(found[op_type] for op_type in _INTEGER_KERNELS)
