"""MSE: the expected error by brute force and against raw values, and the search for the least."""

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.distributions import NAMED, VALUES, Values, named, sketch_of

from zeropoint.engine.number_types import QuantType
from zeropoint.engine.numbers import (
    CodeGrids,
    activation_qparams,
    dequantize,
    quantize,
)
from zeropoint.engine.numbers.ranges import Range, choose_range
from zeropoint.engine.numbers.ranges.mse import least
from zeropoint.engine.numbers.ranges.statistics import Statistics
from zeropoint.engine.options import CalibrationMethod, StaticOptions, WeightOptions

INT8 = WeightOptions(quant_type=QuantType.QINT8)
OPTIONS = st.builds(
    StaticOptions,
    calibrate_method=st.just(CalibrationMethod.MSE),
    activation_type=st.sampled_from(QuantType),
    activation_symmetric=st.sampled_from([None, True, False]),
    calibration_range_symmetric=st.booleans(),
    percentile=st.sampled_from([99.999, 99.0, 75.0]),
    weight=st.just(INT8),
)
UNSIGNED = StaticOptions(calibrate_method=CalibrationMethod.MSE)
SIGNED = StaticOptions(
    calibrate_method=CalibrationMethod.MSE, activation_type=QuantType.QINT8, weight=INT8
)


def by(method: CalibrationMethod, options: StaticOptions) -> StaticOptions:
    return StaticOptions(
        calibrate_method=method,
        activation_type=options.activation_type,
        activation_symmetric=options.activation_symmetric,
        calibration_range_symmetric=options.calibration_range_symmetric,
        percentile=options.percentile,
        weight=options.weight,
    )


def grids_of(ranges: list[Range], options: StaticOptions) -> CodeGrids:
    return CodeGrids.of(
        activation_qparams(
            np.array([one.low for one in ranges]),
            np.array([one.high for one in ranges]),
            options.activation_type,
            symmetric=options.activations_symmetric,
        )
    )


def expected(values: Values, ranges: list[Range], options: StaticOptions) -> NDArray[np.float64]:
    return Statistics(sketch_of(values)).expected_error(grids_of(ranges, options))


def raw_error(values: Values, one: Range, options: StaticOptions) -> float:
    """Root mean square error of the nearest of all codes, whichever the values are."""
    grids = grids_of([one], options)
    points, raw = grids.points(0, grids.levels)[0], values.astype(np.float64)
    above = np.searchsorted(points, raw).clip(1, len(points) - 1)
    distance = np.minimum(np.abs(raw - points[above - 1]), np.abs(points[above] - raw))
    return float(np.sqrt(np.mean(distance**2)))


def root_mean_square(values: Values) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def bound(values: Values) -> float:
    """The root mean square width of the bins that the values are in, from their patterns."""
    raw = np.abs(values)
    inner = (raw.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
    width = np.maximum(2.0 ** (np.floor(np.log2(np.maximum(inner, 2.0**-126))) - 7), 2.0**-133)
    return float(np.sqrt(np.mean(width**2)))


def noise(values: Values) -> float:
    """What float64 sums may add to a root."""
    return 1e-6 * root_mean_square(values) + 1e-160


@given(VALUES, st.floats(0, 1.5), st.floats(0, 1.5), OPTIONS)
@example(np.array([1e-45, 0, -1e-45], np.float32), 1.0, 1.0, SIGNED)
@example(np.array([0.3, 0.3], np.float32), 1.0, 1.0, UNSIGNED)
def test_expected_errors_are_within_the_stated_bound_of_those_of_raw_values(
    values: Values, low: float, high: float, options: StaticOptions
) -> None:
    one = Range(float(values.min()) * low, float(values.max()) * high)
    assume(abs(one.low) + abs(one.high) < 3e38)
    found = np.sqrt(expected(values, [one], options)[0])
    allowed = bound(values) * (1 + 1e-9) + noise(values)
    assert abs(found - raw_error(values, one, options)) <= allowed
    assert bound(values) <= max(2.0**-7 * root_mean_square(values) * (1 + 1e-9), 2.0**-133)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
def test_expected_errors_of_distributions(name: str, options: StaticOptions) -> None:
    """Also by quantizing and dequantizing as ONNX Runtime does, in float32."""
    values = named(name)
    ends = float(values.min()), float(values.max())
    for share in (1.0, 0.9, 0.5, 0.1):
        one = Range(ends[0] * share, ends[1] * share)
        found = np.sqrt(expected(values, [one], options)[0])
        allowed = bound(values) * (1 + 1e-9) + noise(values)
        assert abs(found - raw_error(values, one, options)) <= allowed
        qparams = activation_qparams(
            one.low, one.high, options.activation_type, symmetric=options.activations_symmetric
        )
        difference = dequantize(quantize(values, qparams), qparams).astype(np.float64) - values
        assert abs(found - np.sqrt(np.mean(difference**2))) <= allowed


def integrated(values: Values, one: Range, options: StaticOptions) -> float:
    """The expected error by its definition: bin by bin, code by code."""
    statistics = Statistics(sketch_of(values))
    bins, grids = statistics.values, grids_of([one], options)
    points = grids.points(0, grids.levels)[0]
    borders = np.concatenate([[-np.inf], (points[1:] + points[:-1]) / 2, [np.inf]])
    total = 0.0
    for number, count in enumerate(bins.counts.tolist()):
        low, high = float(bins.low[number]), float(bins.high[number])
        at_ends = {0: [low], len(bins.counts) - 1: [high]}
        if len(bins.counts) == 1:
            at_ends = {0: [low, high]}
        if number in at_ends:
            squares = [float(np.min((points - end) ** 2)) for end in at_ends[number]]
            total += count * sum(squares) / len(squares)
            continue
        for code, point in enumerate(points):
            start, end = max(low, borders[code]), min(high, borders[code + 1])
            if start < end:
                within = ((end - point) ** 3 - (start - point) ** 3) / 3
                total += count * within / (high - low)
    return total / float(bins.counts.sum())


@given(VALUES, st.floats(0, 1.2), st.floats(0, 1.2), OPTIONS)
def test_expected_errors_by_brute_force(
    values: Values, low: float, high: float, options: StaticOptions
) -> None:
    one = Range(float(values.min()) * low, float(values.max()) * high)
    assume(abs(one.low) + abs(one.high) < 3e38)
    assume(not np.any((np.abs(values) < 2.0**-126) & (values != 0)))  # bins of several cells
    wanted = integrated(values, one, options)
    slack = 1e-12 * root_mean_square(values) ** 2
    assert expected(values, [one], options)[0] == pytest.approx(wanted, rel=1e-6, abs=slack)


@given(VALUES, OPTIONS)
def test_no_worse_than_minmax_and_percentile(values: Values, options: StaticOptions) -> None:
    sketch = sketch_of(values)
    found = choose_range(sketch, options)
    others = [
        choose_range(sketch, by(method, options))
        for method in (CalibrationMethod.MINMAX, CalibrationMethod.PERCENTILE)
    ]
    errors = expected(values, [found, *others], options)
    assert errors[0] <= errors[1:].min() * (1 + 1e-9) + 1e-12 * root_mean_square(values) ** 2
    if options.calibration_range_symmetric:
        assert found.low == -found.high
    else:
        assert values.min() <= found.low <= found.high <= values.max()


def lattice(values: Values, options: StaticOptions) -> list[Range]:
    """Ranges of all sizes; both ends move by themselves where the type lets them.

    Without (0, 0), which means scale 1 and so is no small range, but one of a size of its own.
    """
    shares = np.concatenate([[0.0], 2.0 ** np.linspace(-8, 0, 49)])
    low, high = float(min(values.min(), 0)), float(max(values.max(), 0))
    if options.activations_symmetric:
        greatest = max(-low, high)
        return [Range(max(-greatest * s, low), min(greatest * s, high)) for s in shares[1:]]
    lows = shares if low < 0 else shares[-1:]
    highs = shares if high > 0 else shares[-1:]
    found = [Range(low * below, high * above) for below in lows for above in highs]
    return [one for one in found if one.low != one.high] or [Range(low, high)]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
def test_no_range_of_a_lattice_is_better(name: str, options: StaticOptions) -> None:
    """By the expected error within 1 % (0.04 dB), and by raw values within the stated bound."""
    values = named(name)
    statistics = Statistics(sketch_of(values))
    ranges = lattice(values, options)
    found = choose_range(statistics.sketch, options)
    error = statistics.expected_error(grids_of([found], options))[0]
    errors = np.concatenate(
        [
            statistics.expected_error(grids_of(ranges[start : start + 100], options))
            for start in range(0, len(ranges), 100)
        ]
    )
    assert error <= errors.min() * 1.01 + 1e-12 * root_mean_square(values) ** 2
    best = ranges[int(errors.argmin())]
    allowed = raw_error(values, best, options) + 2 * bound(values) + noise(values)
    assert raw_error(values, found, options) <= allowed


def test_outliers_are_clipped_where_that_pays() -> None:
    values = np.append(np.random.default_rng(1).standard_normal(1_000_000), 40.0)
    found = choose_range(sketch_of(values.astype(np.float32)), UNSIGNED)
    assert 4 < found.high < 25
    assert -5 < found.low < -3


def test_one_huge_value_is_kept_because_clipping_it_would_cost_more_than_all_others() -> None:
    assert choose_range(sketch_of(named("one outlier of 1e30")), UNSIGNED).high > 0.99e30


@pytest.mark.parametrize("name", ["all zero", "all the same", "after Relu6"])
@pytest.mark.parametrize("options", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
def test_exact_ends_stay(name: str, options: StaticOptions) -> None:
    values = named(name)
    found = choose_range(sketch_of(values), options)
    assert found == Range(float(values.min()), float(values.max()))
    assert found.method == "MSE"


@given(st.integers(0, 3000), st.integers(1, 3000), st.data())
def test_the_least_of_costs_that_fall_and_rise(
    valley: int, count: int, data: st.DataObject
) -> None:
    also = data.draw(st.lists(st.integers(0, count - 1), max_size=3))
    costs: NDArray[np.float64] = np.abs(np.arange(count) - float(valley)) ** 1.5
    asked: list[int] = []

    def ask(numbers: NDArray[np.intp]) -> NDArray[np.float64]:
        asked.extend(numbers.tolist())
        return np.asarray(costs[numbers])

    found = least(ask, count, also)
    assert set(found) == set(asked) >= set(also)
    assert min(found, key=lambda number: found[number]) == int(np.argmin(costs))
    assert len(asked) <= 120


@given(st.lists(st.floats(0, 1), min_size=1, max_size=32))
def test_few_costs_are_all_computed(costs: list[float]) -> None:
    found = least(lambda numbers: np.array(costs)[numbers], len(costs))
    assert found == dict(enumerate(costs))
