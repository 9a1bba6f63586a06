"""How many samples a batch holds."""

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import TensorProto

from zeropoint.engine import Signature, TensorSpec
from zeropoint.engine.jobs.batch_axis import SampleCount

Shape = tuple[int | str | None, ...] | None


def _counted(
    shapes: Sequence[Shape], arrays: Sequence[tuple[int, ...]], *, samplewise: bool
) -> tuple[int, int]:
    """Samples of a batch, and how often the model was asked."""
    asked = []

    def ask() -> bool:
        asked.append(True)
        return samplewise

    specs = tuple(
        TensorSpec(name=f"x{index}", element_type=TensorProto.FLOAT, shape=shape)
        for index, shape in enumerate(shapes)
    )
    count = SampleCount(Signature(inputs=specs, outputs=()), ask)
    batch = {f"x{index}": np.zeros(shape, np.float32) for index, shape in enumerate(arrays)}
    assert count.of(batch) == count.of(batch)
    return count.of(batch), len(asked)


@pytest.mark.parametrize("symbol", ["N", "batch", "batch_size", "unk_batch", "bs"])
def test_an_axis_that_is_named_so_is_of_samples(symbol: str) -> None:
    assert _counted([(symbol, 3)], [(32, 3)], samplewise=False) == (32, 0)


@pytest.mark.parametrize("symbol", [None, "T", "seq_len", "?"])
def test_of_another_axis_the_model_is_asked_once(symbol: str | None) -> None:
    assert _counted([(symbol, 3)], [(32, 3)], samplewise=True) == (32, 1)
    assert _counted([(symbol, 3)], [(32, 3)], samplewise=False) == (1, 1)
    assert _counted([(symbol, 3)], [(1, 3)], samplewise=True) == (1, 0)


def test_inputs_of_one_size_or_none_have_no_say() -> None:
    shapes: list[Shape] = [("batch", 3), (1,), (), None]
    assert _counted(shapes, [(4, 3), (1,), (), (9,)], samplewise=False) == (4, 0)
    assert _counted([(8, 3)], [(8, 3)], samplewise=True) == (1, 0)
    assert _counted([()], [()], samplewise=True) == (1, 0)
    assert _counted([("batch", 3), ("N", 3)], [(4, 3), (5, 3)], samplewise=True) == (1, 0)
    assert _counted([("batch", 3)], [(0, 3)], samplewise=True) == (1, 0)
