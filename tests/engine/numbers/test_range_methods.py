"""Every range method, from statistics to the result."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.engine import quantize, run, sqnr_db, static
from support.graphs import Array, normal_batches, residual

from zeropoint.engine import CalibrationMethod, QuantType, StaticOptions
from zeropoint.engine.numbers import activation_qparams, dequantize
from zeropoint.engine.numbers import quantize as to_codes
from zeropoint.engine.numbers.ranges import choose_range
from zeropoint.sketch import Sketch

IMAGES = normal_batches({"x": (2, 3, 16, 16)})


def squared_error(values: Array, method: CalibrationMethod, quant_type: QuantType) -> float:
    """Return the true mean squared error of a tensor quantized over the range of a method."""
    sketch = Sketch()
    sketch.update(values)
    options = StaticOptions(
        calibrate_method=method,
        activation_type=quant_type,
        weight=static(weight_type=QuantType.QINT8).weight,
    )
    found = choose_range(sketch, options)
    symmetric = options.activations_symmetric
    qparams = activation_qparams(found.low, found.high, quant_type, symmetric=symmetric)
    error = values - dequantize(to_codes(values, qparams), qparams)
    return float(np.mean(error.astype(np.float64) ** 2))


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_the_result_is_close_to_the_original(tmp_path: Path, method: CalibrationMethod) -> None:
    source = residual().save(tmp_path)
    result = quantize(source, IMAGES, static(calibrate_method=method), tmp_path / "job")
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 20


@pytest.mark.parametrize("method", [CalibrationMethod.MSE, CalibrationMethod.AUTO])
@given(
    hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-8, 8, width=32)),
    st.floats(1, 1e4, width=32),
    st.sampled_from(list(QuantType)),
)
def test_least_error_is_never_worse_than_that_of_the_extremes(
    method: CalibrationMethod, values: Array, outlier: float, quant_type: QuantType
) -> None:
    """Within the bound that bins allow: 2^-7 of the root mean square."""
    values = np.append(values, np.float32(outlier))
    extremes = squared_error(values, CalibrationMethod.MINMAX, quant_type)
    bound = 2**-7 * float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
    least = squared_error(values, method, quant_type)
    assert np.sqrt(least) <= np.sqrt(extremes) + 2 * bound


def test_one_outlier_ruins_minmax_and_not_entropy() -> None:
    values = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    values[0] = 1e4
    sketch = Sketch()
    sketch.update(values)
    found = choose_range(sketch, StaticOptions(calibrate_method=CalibrationMethod.ENTROPY))
    assert found.high < 10
