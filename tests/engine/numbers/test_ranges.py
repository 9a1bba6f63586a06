"""Range methods: against raw values within the stated bound, and against 1.32 where it is right."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.distributions import NAMED, VALUES, named, sketch_of

from zeropoint.engine.errors import CalibrationError
from zeropoint.engine.numbers import Histogram, histogram, magnitudes, quantiles
from zeropoint.engine.numbers.ranges import METHODS, Range, choose_range
from zeropoint.engine.options import CalibrationMethod, StaticOptions


def percentile(p: float, *, symmetric: bool = False) -> StaticOptions:
    return StaticOptions(
        calibrate_method=CalibrationMethod.PERCENTILE,
        percentile=p,
        calibration_range_symmetric=symmetric,
    )


def quantile(values: Histogram, q: float) -> float:
    return float(quantiles(values, [q])[0])


def allowed_error(values: NDArray[np.float64], q: float) -> float:
    """The bound that `quantile` states, from the raw order statistics around the rank."""
    ordered = np.sort(values)
    rank = q * (len(values) - 1)
    greatest = max(abs(ordered[math.floor(rank)]), abs(ordered[math.ceil(rank)]))
    return max(float(greatest) * 2.0**-7, 2.0**-133) * (1 + 1e-9)


@given(VALUES, st.floats(0, 1))
@example(np.array([0, 0, 0, 6, 6, 6], np.float32), 0.5)
@example(np.array([-1e-45, 0], np.float32), 0.3)
@example(np.array([1, 3e38], np.float32), 0.999)
def test_quantiles_are_within_the_stated_bound(values: NDArray[np.float32], q: float) -> None:
    raw = values.astype(np.float64)
    found = quantile(histogram(sketch_of(values)), q)
    assert abs(found - float(np.quantile(raw, q))) <= allowed_error(raw, q)
    assert raw.min() <= found <= raw.max()


@given(VALUES, st.floats(0, 1))
def test_quantiles_of_magnitudes_are_within_the_stated_bound(
    values: NDArray[np.float32], q: float
) -> None:
    raw = np.abs(values.astype(np.float64))
    found = quantile(magnitudes(sketch_of(values)), q)
    assert abs(found - float(np.quantile(raw, q))) <= allowed_error(raw, q)
    assert 0 <= found <= raw.max()


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("p", [51, 90, 99, 99.9, 99.99, 99.999, 100])
def test_percentile_ranges_of_distributions(name: str, p: float) -> None:
    values = named(name)
    raw, sketch = values.astype(np.float64), sketch_of(values)
    cut = (100 - p) / 200
    found = choose_range(sketch, percentile(p))
    assert abs(found.low - np.quantile(raw, cut)) <= allowed_error(raw, cut)
    assert abs(found.high - np.quantile(raw, 1 - cut)) <= allowed_error(raw, 1 - cut)
    symmetric = choose_range(sketch, percentile(p, symmetric=True))
    assert symmetric.low == -symmetric.high
    error = abs(symmetric.high - np.quantile(np.abs(raw), p / 100))
    assert error <= allowed_error(np.abs(raw), p / 100)


@given(VALUES, st.booleans())
def test_percentile_100_is_minmax(values: NDArray[np.float32], symmetric: bool) -> None:
    sketch = sketch_of(values)
    minmax = StaticOptions(calibration_range_symmetric=symmetric)
    assert choose_range(sketch, percentile(100, symmetric=symmetric)) == choose_range(
        sketch, minmax
    )


@given(VALUES)
def test_minmax_is_exact(values: NDArray[np.float32]) -> None:
    sketch = sketch_of(values)
    low, high = float(values.min()), float(values.max())
    assert choose_range(sketch, StaticOptions()) == Range(low, high)
    greatest = max(-low, high)
    assert choose_range(sketch, StaticOptions(calibration_range_symmetric=True)) == Range(
        -greatest, greatest
    )


@given(VALUES, st.floats(50, 100, exclude_min=True), st.floats(50, 100, exclude_min=True))
def test_a_greater_percentile_gives_no_smaller_range(
    values: NDArray[np.float32], p: float, other: float
) -> None:
    assume(p < other)
    sketch = sketch_of(values)
    inner, outer = choose_range(sketch, percentile(p)), choose_range(sketch, percentile(other))
    slack = 1e-9 * (abs(outer.low) + abs(outer.high))
    assert outer.low - slack <= inner.low
    assert inner.high <= outer.high + slack


@pytest.mark.parametrize("method", list(CalibrationMethod))
@pytest.mark.parametrize(
    ("values", "why"), [([], "it was empty"), ([np.nan, np.inf, -np.inf], "all of 3 are NaN")]
)
def test_without_finite_values_there_is_no_range(
    method: CalibrationMethod, values: list[float], why: str
) -> None:
    sketch = sketch_of(np.array(values, np.float32))
    with pytest.raises(CalibrationError, match=rf"conv1_out.*{why}") as raised:
        choose_range(sketch, StaticOptions(calibrate_method=method), tensor="conv1_out")
    assert raised.value.reason == "NO_FINITE_VALUES"
    assert raised.value.metadata["tensor"] == "conv1_out"


def test_values_that_are_not_finite_enter_no_range() -> None:
    sketch = sketch_of(np.array([1, 2, np.nan, np.inf, -np.inf], np.float32))
    assert choose_range(sketch, StaticOptions()) == Range(1, 2)


def test_every_method_is_registered() -> None:
    assert set(METHODS) == set(CalibrationMethod)
