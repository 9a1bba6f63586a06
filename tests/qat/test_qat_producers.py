"""What each producer emits is converted to the last bit. The comparison is this file's own."""

import functools
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from support.trained import MODELS, Converted, convert, digits, facts, names, right, run

from zeropoint.engine.operators import same_qparams

# ONNX Runtime has no float16 of its own on CPUs: where it rounds depends on the graph around.
HALF = frozenset({"pattern_float16", "pattern_float16_cast"})
ULPS = 8


@pytest.fixture(scope="module")
def converted_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """Converts a model by its name, at the first call."""

    @functools.cache
    def once(name: str) -> Converted:
        return convert(MODELS / f"{name}.onnx", tmp_path_factory.mktemp(name))

    return once


Once = Callable[[str], Converted]


@pytest.mark.parametrize("name", names())
def test_codes_and_outputs_are_those_of_the_trained_model(name: str, converted_once: Once) -> None:
    converted = converted_once(name)
    images, _ = digits(16)
    pairs = converted.trained.codes
    trained = [pair.trained for pair in pairs]
    written = [pair.written for pair in pairs]
    expected = run(converted.trained.planned.prepared.path, images, trained)
    found = run(converted.path, images, written)

    tolerance = 1 if name in HALF else 0
    for pair, one, other in zip(reversed(pairs), reversed(expected), reversed(found), strict=False):
        steps = np.abs(other.astype(int) - one.astype(int) - pair.shift)
        assert steps.max(initial=0) <= tolerance, pair.tensor
    if name in HALF:
        return
    for one, other in zip(run(converted.source, images), run(converted.path, images), strict=True):
        assert one.dtype == other.dtype
        ulp = np.spacing(np.abs(one).max()) if one.dtype.kind == "f" else 0
        assert np.abs(one.astype(float) - other.astype(float)).max() <= ULPS * ulp


@pytest.mark.parametrize("name", names())
def test_what_was_learned_is_written_verbatim(name: str, converted_once: Once) -> None:
    converted = converted_once(name)
    for pair in converted.trained.conversion.learned:
        assert np.array_equal(
            pair.trained.scale.astype(np.float32), pair.written.scale.astype(np.float32)
        )
        moved = pair.trained.dtype != pair.written.dtype
        assert moved or same_qparams(pair.trained, pair.written)
    # Weights are integers: no float constant is quantized as the model runs.
    floats = {
        tensor.name
        for tensor in converted.model.graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
    for node in converted.model.graph.node:
        assert node.op_type != "QuantizeLinear" or node.input[0] not in floats


@pytest.mark.parametrize("name", names())
def test_digits_are_told_as_by_the_trained_model(name: str, converted_once: Once) -> None:
    converted = converted_once(name)
    assert right(converted.path) >= facts(name).get("right", 200) - 2
