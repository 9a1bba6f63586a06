"""The node tests of the onnx package: each model stays float with reasons, or agrees and loads."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    NotImplemented,
    RuntimeException,
)
from support.agreement import signature
from support.backend import NodeCase, node_cases
from support.engine import Array, Quantized, dynamic, run, sqnr_db, static
from support.noise import allowances
from support.unverified import quantize_unverified

from zeropoint.engine import (
    NodeSelection,
    NodeState,
    NothingToQuantize,
    Options,
    QuantType,
    inspect_model,
    static_op_types,
)

# What the runtime says of a float model that it does not take.
_REFUSALS = (Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException)

# Quantization of this quality needs no explanation by noise.
_GOOD_DB = 30.0

# Modules of quick node tests: those of the operators that are quantized, of functions that are
# made of them, of bodies, and of some that stay float.
_SAMPLE = (
    *("add", "clip", "concat", "conv", "flatten", "gemm", "globalaveragepool", "leakyrelu"),
    *("matmul", "mul", "relu", "reshape", "resize", "sigmoid", "slice", "squeeze", "transpose"),
    *("unsqueeze", "convtranspose", "celu", "if_", "hardswish", "layernormalization", "loop"),
    *("lstm", "scan", "softmax", "split", "where"),
)


def options_for(case: NodeCase) -> Iterator[Options]:
    """Yield what a user may ask for."""
    yield static()
    yield dynamic()
    yield dynamic(weight_type=QuantType.QUINT8, per_channel=True)
    named = {node.op_type for node in case.model.graph.node} & set(static_op_types())
    if named:
        selection = NodeSelection(op_types_to_quantize=tuple(sorted(named)))
        yield static(selection=selection, per_channel=True)
        yield static(selection=selection, activation_type=QuantType.QINT8)


def check_cases(cases: list[NodeCase], folder: Path) -> int:
    """Check each case with all options; return how many results were made."""
    return sum(check_case(case, folder / case.name) for case in cases)


def check_case(case: NodeCase, folder: Path) -> int:
    folder.mkdir()
    source = case.save(folder)
    try:
        references = run(source, case.feeds)
        again = run(source, case.feeds)
    except _REFUSALS:
        return 0
    if not all(map(same, references, again)):
        return 0  # it draws random numbers
    made = 0
    for index, options in enumerate(options_for(case)):
        workspace = folder / str(index)
        try:
            result = quantize_unverified(source, [case.feeds], options, workspace)
        except NothingToQuantize as refusal:
            if "was empty" not in str(refusal):  # only data tell that
                every_node_has_a_reason(source, options, folder / f"{index}-inspected")
            continue
        made += 1
        agree(case, source, result, references)
    return made


def same(first: object, second: object) -> bool:
    """Compare outputs; sequences and the like are taken as they are."""
    if not isinstance(first, np.ndarray) or not isinstance(second, np.ndarray):
        return True
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def every_node_has_a_reason(source: Path, options: Options, workspace: Path) -> None:
    workspace.mkdir()
    for node in inspect_model(source, options, workspace).plan.nodes:
        assert node.state is not NodeState.QUANTIZED
        assert node.state is not NodeState.FLOAT or (node.reason and node.message), node


def agree(case: NodeCase, source: Path, result: Quantized, references: list[Array]) -> None:
    assert signature(result.model) == signature(onnx.load(source))
    outputs = run(result.path, case.feeds)
    floats = []
    for value, reference, other in zip(case.model.graph.output, references, outputs, strict=True):
        if isinstance(reference, np.ndarray):
            assert other.dtype == reference.dtype, case
            assert other.shape == reference.shape, case
            if reference.dtype == np.float32:
                floats.append((value.name, reference, other))
    if has_infinities(result):
        return  # no grid has them: the report says so, and what reads a mask is off
    for name, reference, other in floats:
        finite = np.isfinite(reference)
        assert np.array_equal(np.isfinite(other), finite), case
        if sqnr_db(reference[finite], other[finite]) < _GOOD_DB:
            allowed = allowances(source, [case.feeds], case.feeds)[name].error
            assert np.abs(other[finite] - reference[finite]).max() <= allowed, (case, name)


def has_infinities(result: Quantized) -> bool:
    """Whether a quantized tensor was infinite while the model was observed."""
    figures = result.report.calibration
    return figures is not None and any(figures.non_finite)


def test_a_sample(tmp_path: Path) -> None:
    assert check_cases(node_cases(_SAMPLE, most_alike=2), tmp_path) > 100


@pytest.mark.soak
def test_all(tmp_path: Path) -> None:
    assert check_cases(node_cases(), tmp_path) > 1000
