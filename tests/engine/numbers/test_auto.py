"""Auto: what it chooses and tells, and all methods on a real network."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from support import models
from support.distributions import NAMED, VALUES, Values, named, sketch_of
from support.engine import Array, Feeds, quantize, run, sqnr_db, static

from zeropoint.engine import ParameterSource
from zeropoint.engine.number_types import QuantType
from zeropoint.engine.numbers import activation_qparams, dequantize
from zeropoint.engine.numbers.ranges import Range, choose_range
from zeropoint.engine.options import CalibrationMethod, StaticOptions, WeightOptions
from zeropoint.engine.report import RangeAlternative

INT8 = WeightOptions(quant_type=QuantType.QINT8)
OPTIONS = st.builds(
    StaticOptions,
    calibrate_method=st.just(CalibrationMethod.AUTO),
    activation_type=st.sampled_from(QuantType),
    activation_symmetric=st.sampled_from([None, True, False]),
    calibration_range_symmetric=st.booleans(),
    weight=st.just(INT8),
)
UNSIGNED = StaticOptions(calibrate_method=CalibrationMethod.AUTO)
SIGNED = StaticOptions(
    calibrate_method=CalibrationMethod.AUTO, activation_type=QuantType.QINT8, weight=INT8
)
METHODS = [
    (CalibrationMethod.ENTROPY, None),
    (CalibrationMethod.MSE, None),
    (CalibrationMethod.MINMAX, None),
    (CalibrationMethod.PERCENTILE, 99.9),
    (CalibrationMethod.PERCENTILE, 99.99),
    (CalibrationMethod.PERCENTILE, 99.999),
]


def methods(ranges: Iterable[RangeAlternative | Range]) -> list[tuple[Any, float | None]]:
    """Return what gave each range."""
    return [(one.method, one.percentile) for one in ranges]


def check(found: Range, options: StaticOptions) -> None:
    errors = [one.expected_error for one in found.alternatives]
    assert errors == sorted(errors)
    assert sorted(methods(found.alternatives)) == METHODS
    ends: dict[Any, tuple[float, float]] = {
        (one.method, one.percentile): (one.low, one.high) for one in found.alternatives
    }
    assert ends[found.method, found.percentile] == (found.low, found.high)
    equal = [one for one in found.alternatives if one.expected_error <= 1.01 * errors[0]]
    assert methods([found])[0] in methods(equal)
    assert found.high - found.low == max(one.high - one.low for one in equal)
    if options.calibration_range_symmetric:
        assert all(one.low == -one.high for one in found.alternatives)


@given(VALUES, OPTIONS)
def test_of_the_least_errors_the_widest_range(values: Values, options: StaticOptions) -> None:
    check(choose_range(sketch_of(values), options), options)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
def test_distributions(name: str, options: StaticOptions) -> None:
    found = choose_range(sketch_of(named(name)), options)
    check(found, options)
    for one in found.alternatives:
        alone = StaticOptions(
            calibrate_method=one.method,
            percentile=one.percentile or 100.0,
            activation_type=options.activation_type,
            weight=INT8,
        )
        if one.method != "MSE":  # looks for less than the one Percentile that it knows
            range_alone = choose_range(sketch_of(named(name)), alone)
            assert (range_alone.low, range_alone.high) == (one.low, one.high)


@pytest.mark.parametrize("options", [UNSIGNED, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", [name for name in NAMED if "denormals" not in name])
def test_the_error_that_is_told_is_that_of_raw_values(name: str, options: StaticOptions) -> None:
    values = named(name)
    mean_square = np.mean(values.astype(np.float64) ** 2)
    for one in choose_range(sketch_of(values), options).alternatives:
        qparams = activation_qparams(
            one.low, one.high, options.activation_type, symmetric=options.activations_symmetric
        )
        codes = np.clip(np.rint(values / qparams.scale) + qparams.zero_point, *qparams.code_limits)
        there = dequantize(codes.astype(qparams.dtype), qparams).astype(np.float64)
        error = np.mean((there - values) ** 2)
        assert abs(np.sqrt(one.expected_error) - np.sqrt(error)) <= 2.0**-7 * np.sqrt(mean_square)


def test_ranges_stay_wide_where_clipping_gains_nothing() -> None:
    assert choose_range(sketch_of(named("uniform")), UNSIGNED).method == "MinMax"
    assert choose_range(sketch_of(named("after Relu6")), UNSIGNED).method == "MinMax"
    assert choose_range(sketch_of(named("all zero")), UNSIGNED).method == "MinMax"


def test_ranges_are_cut_where_clipping_gains() -> None:
    values = np.append(np.random.default_rng(1).standard_normal(1_000_000), 40.0)
    found = choose_range(sketch_of(values.astype(np.float32)), UNSIGNED)
    errors = {str(one.method): one.expected_error for one in found.alternatives}
    assert found.method == "MSE"
    assert errors["MSE"] < errors["MinMax"] / 2


def test_a_percentile_of_ones_own_is_compared_too() -> None:
    options = StaticOptions(calibrate_method=CalibrationMethod.AUTO, percentile=99.5)
    found = choose_range(sketch_of(named("normal")), options)
    assert (CalibrationMethod.PERCENTILE, 99.5) in methods(found.alternatives)
    assert len(found.alternatives) == len(METHODS) + 1


def digits(count: int, seed: int) -> Iterator[Feeds]:
    """Digits in a font, of many sizes and places, for the MNIST network: [1, 1, 28, 28]."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        image = Image.new("L", (28, 28))
        middle = 14 + generator.uniform(-3, 3), 14 + generator.uniform(-3, 3)
        font = ImageFont.load_default(size=float(generator.uniform(16, 24)))
        digit = str(generator.integers(10))
        ImageDraw.Draw(image).text(middle, digit, fill=255, font=font, anchor="mm")
        yield {"Input3": np.asarray(image, np.float32)[np.newaxis, np.newaxis]}


def outputs(path: Path) -> Array:
    return np.concatenate([run(path, feeds)[0] for feeds in digits(48, 1)])


@pytest.mark.parametrize("activation_type", list(QuantType))
def test_every_method_on_a_real_network(tmp_path: Path, activation_type: QuantType) -> None:
    source = models.folder(models.QONNX) / "model.onnx"
    reference, found = outputs(source), {}
    for method in CalibrationMethod:
        options = static(calibrate_method=method, activation_type=activation_type, per_channel=True)
        result = quantize(source, digits(32, 0), options, tmp_path / method)
        quantized = outputs(result.path)
        found[method] = sqnr_db(reference, quantized)
        assert np.mean(quantized.argmax(axis=1) == reference.argmax(axis=1)) > 0.95
        for tensor in result.report.plan.tensors:
            calibrated = tensor.source is ParameterSource.CALIBRATED
            assert bool(tensor.method) is calibrated
            assert bool(tensor.alternatives) is (calibrated and method is CalibrationMethod.AUTO)
            if method is not CalibrationMethod.AUTO and calibrated:
                assert tensor.method == method
    assert min(found.values()) > 33
    assert found[CalibrationMethod.MSE] > max(found.values()) - 2
    assert found[CalibrationMethod.AUTO] > max(found.values()) - 2
