"""onnxruntime.quantization, with the options that `benchmarks.options` has for ours."""

import logging
from collections.abc import Iterable
from pathlib import Path

from onnxruntime import quantization

from benchmarks.networks import Batch

_logger = logging.getLogger()  # it logs with the root logger


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # has no types
    """Hands out batches one by one."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> Batch | None:
        return next(self._batches, None)


def quantize(
    source: Path,
    target: Path,
    batches: Iterable[Batch],
    method: str,
    *,
    per_channel: bool = False,
) -> None:
    """Quantize a model.

    Args:
        source: The ONNX file, as it is.
        target: Where the result goes.
        batches: Calibration data.
        method: Name of a calibration method.
        per_channel: One scale for each channel of a weight.
    """
    level = _logger.level
    _logger.setLevel(logging.ERROR)
    try:
        quantization.quantize_static(
            source,
            target,
            _Reader(batches),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod[method],
            per_channel=per_channel,
        )
    finally:
        _logger.setLevel(level)
