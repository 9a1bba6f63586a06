"""Results that agree with the float model."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from support.engine import Feeds, Quantized, run, sqnr_db
from support.unverified import quantize_unverified

from zeropoint.engine import Options


def agreeing(
    source: Path,
    batches: Sequence[Feeds],
    options: Options,
    folder: Path,
    *,
    least_db: float = 25.0,
) -> Quantized:
    """Quantize; hold the result to the checker, and its outputs to those of the float model."""
    result = quantize_unverified(source, batches, options, folder / "job")
    onnx.checker.check_model(result.model)
    assert signature(result.model) == signature(onnx.load(source))
    for batch in batches[:2]:
        for reference, quantized in zip(run(source, batch), run(result.path, batch), strict=True):
            assert quantized.dtype == reference.dtype
            assert sqnr_db(reference, quantized) > least_db
    return result


def signature(model: onnx.ModelProto) -> list[tuple[str, int]]:
    values = (*model.graph.input, *model.graph.output)
    return [(value.name, value.type.tensor_type.elem_type) for value in values]
