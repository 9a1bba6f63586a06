"""The node tests of the onnx package: a model of one operator, or of its parts, with data."""

import importlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case import node
from onnx.backend.test.case.node import collect_testcases
from support.engine import Array, Feeds


@dataclass(frozen=True)
class NodeCase:
    """One model and inputs for it."""

    name: str
    model: onnx.ModelProto
    feeds: Feeds

    def __str__(self) -> str:
        return self.name

    def save(self, folder: Path) -> Path:
        path = folder / "model.onnx"
        onnx.save(self.model, path)
        return path


def node_cases(modules: Sequence[str] = (), most_alike: int = 0) -> list[NodeCase]:
    """Return the tests that a float tensor enters; where there are more inputs, twice.

    The second time all inputs but the first float one are constants: weights, axes, sizes.

    Args:
        modules: Only those of these modules of onnx.backend.test.case.node; empty: of all.
        most_alike: How many tests of the same operators are taken; 0: all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tests are about overflow
        tests: list[Any] = _tests_of(modules) if modules else list(collect_testcases(None))
    alike: Counter[tuple[str, ...]] = Counter()
    cases: list[NodeCase] = []
    for test in tests:
        operators = tuple(sorted({node.op_type for node in test.model.graph.node}))
        alike[operators] += 1
        if not most_alike or alike[operators] <= most_alike:
            cases += _cases(test)
    return cases


def _tests_of(modules: Sequence[str]) -> list[Any]:
    """Return the tests of some modules; importing one adds them to a list, in the package."""
    for module in modules:
        importlib.import_module(f"{node.__name__}.{module}")
    return list(node._NodeTestCases)


def _cases(test: Any) -> Iterator[NodeCase]:
    model = test.model
    names = [value.name for value in model.graph.input]
    arrays = test.data_sets[0][0]
    if len(names) != len(arrays) or not all(isinstance(a, np.ndarray) for a in arrays):
        return
    feeds = dict(zip(names, arrays, strict=True))
    floats = [name for name in names if feeds[name].dtype == np.float32]
    if not floats:
        return
    yield NodeCase(test.name, model, feeds)
    if len(names) > 1:
        yield NodeCase(
            f"{test.name}-constants",
            _with_constants(model, feeds, keep=floats[0]),
            {floats[0]: feeds[floats[0]]},
        )


def _with_constants(model: onnx.ModelProto, feeds: Feeds, keep: str) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [value for value in model.graph.input if value.name == keep]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    changed.graph.initializer.extend(
        _tensor(array, name) for name, array in feeds.items() if name != keep
    )
    return changed


def _tensor(array: Array, name: str) -> TensorProto:
    if array.dtype.kind in "US":
        array = array.astype(object)
    return numpy_helper.from_array(array, name)
