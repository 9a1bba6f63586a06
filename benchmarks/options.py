"""The same options for both sides: uint8 activations, int8 weights, one scale a tensor, QDQ."""

from zeropoint.engine import CalibrationMethod, QuantType, StaticOptions, WeightOptions

METHODS = tuple(
    method.value
    for method in CalibrationMethod
    if method.value in ("MinMax", "Percentile", "Entropy")
)
"""Methods that the engine and onnxruntime.quantization both have."""


def static_options(method: str) -> StaticOptions:
    """Return the engine's options.

    Args:
        method: One of `METHODS`.
    """
    return StaticOptions(
        calibrate_method=CalibrationMethod(method),
        weight=WeightOptions(quant_type=QuantType.QINT8),
    )
