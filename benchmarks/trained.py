"""Latency and size of a converted trained model against the same model as it was trained.

Networks of six 3x3 convolutions with 64 channels and two residual sums on 56x56, as PyTorch exports
them: with activations of 7 bits and a Clip, with symmetric int8 behind Relu, and with what a fused
module in training leaves (Div and BatchNormalization). Default sessions, one thread, in turns.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from support.fake_quant import Graph
from support.trained import convert

from benchmarks.effort import Effort
from benchmarks.observation import plain_session
from benchmarks.table import Row
from benchmarks.timing import in_turns, milliseconds, ratio, seconds

_CHANNELS, _SIZE = 64, 56
_RUNS_A_ROUND = 3
_CASES = {
    "7-bit uint8": (np.uint8(0), (0, 127), False),
    "symmetric int8": (np.int8(0), None, False),
    "7-bit uint8, BatchNormalization": (np.uint8(0), (0, 127), True),
}


def run(effort: Effort) -> Iterator[Row]:
    """Measure every network."""
    for case, (zero_point, limits, normalized) in _CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            network = _Network(zero_point, limits, normalized)
            yield _measure(case, network.save(Path(folder)), Path(folder), 3 * effort.rounds)


def _measure(case: str, source: Path, folder: Path, rounds: int) -> Row:
    (folder / "job").mkdir()
    paths = {"ours": convert(source, folder / "job").path, "trained": source}
    sessions = {name: plain_session(path, threads=1) for name, path in paths.items()}
    random = np.random.default_rng(1)
    batch = {"x": random.normal(size=(1, 16, _SIZE, _SIZE)).astype(np.float32)}

    def timed(name: str) -> Callable[[], float]:
        run = sessions[name].run
        return lambda: seconds(lambda: [run(None, batch) for _ in range(_RUNS_A_ROUND)])

    in_turns({name: timed(name) for name in paths}, 1)
    found = in_turns({name: timed(name) for name in paths}, rounds)
    text = {name: milliseconds(times, _RUNS_A_ROUND) for name, times in found.items()}
    size = {name: f"{path.stat().st_size / 1024:.0f} KiB" for name, path in paths.items()}
    return Row(
        benchmark="trained",
        case=case,
        ours=f"{text['ours']} [{size['ours']}]",
        against=f"{text['trained']} as trained [{size['trained']}]",
        ratio=ratio(found["ours"], found["trained"]),
        budget=None,
    )


class _Network:
    def __init__(
        self, zero_point: np.generic, limits: tuple[int, int] | None, normalized: bool
    ) -> None:
        self._graph = Graph()
        self._random = np.random.default_rng(0)
        self._zero_point, self._limits, self._normalized = zero_point, limits, normalized

    def save(self, folder: Path) -> Path:
        """Write the network."""
        first = np.uint8(128) if self._zero_point.dtype == np.uint8 else self._zero_point
        value = before = self._graph.pair("x", 0.02, first)
        for index in range(6):
            value = self._layer(index, value)
            if index in (2, 4):
                total = self._graph.add("Add", [value, before], f"sum{index}")
                value = self._graph.pair(total, 0.03, self._zero_point, limits=self._limits)
            before = value
        self._graph.add("GlobalAveragePool", [value], "y")
        return self._graph.save(folder / "trained.onnx", (1, 16, _SIZE, _SIZE))

    def _layer(self, index: int, value: str) -> str:
        graph, channels = self._graph, 16 if index == 0 else _CHANNELS
        shape = (_CHANNELS, channels, 3, 3)
        graph.constant(f"w{index}", self._normal(*shape) * np.float32(0.04))
        scale = self._random.uniform(0.0008, 0.0012, _CHANNELS)
        weight = graph.pair(f"w{index}", scale, np.zeros(_CHANNELS, np.int8), axis=0)
        bias = graph.constant(f"b{index}", self._normal(_CHANNELS) * np.float32(0.1))
        value = graph.add("Conv", [value, weight, bias], f"c{index}", pads=[1] * 4)
        if self._normalized:
            factor = graph.constant(f"f{index}", self._positive(1, _CHANNELS, 1, 1))
            value = graph.add("Div", [value, factor], f"d{index}")
            figures = {"g": self._positive, "o": self._normal, "m": self._normal}
            names = [
                graph.constant(f"{name}{index}", make(_CHANNELS)) for name, make in figures.items()
            ]
            names.append(graph.constant(f"v{index}", self._positive(_CHANNELS)))
            value = graph.add("BatchNormalization", [value, *names], f"n{index}")
        value = graph.add("Relu", [value], f"r{index}")
        return graph.pair(value, 0.02, self._zero_point, limits=self._limits)

    def _normal(self, *shape: int) -> np.ndarray:
        return self._random.normal(size=shape).astype(np.float32)

    def _positive(self, *shape: int) -> np.ndarray:
        return self._random.uniform(0.5, 2.0, shape).astype(np.float32)
