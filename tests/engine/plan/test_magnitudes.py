"""Options that are numbers: what float32, in which kernels compute, cannot hold is refused."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engine import NO_SEARCH, quantize
from support.graphs import normal_batches, residual

from zeropoint.engine import (
    DynamicOptions,
    OptionError,
    Options,
    StaticOptions,
    TensorQuantOverride,
    VerifyOptions,
    WeightOptions,
)
from zeropoint.engine.numbers import weight_qparams

IMAGES = normal_batches({"x": (2, 3, 16, 16)}, count=2)


@pytest.mark.parametrize("width", [1e39, 1e30, 1e18, -1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(
    "options",
    [
        lambda width: StaticOptions(minimum_real_range=width),
        lambda width: StaticOptions(weight=WeightOptions(minimum_real_range=width)),
        lambda width: DynamicOptions(weight=WeightOptions(minimum_real_range=width)),
    ],
)
def test_least_widths_that_no_kernel_computes_with(
    options: Callable[[float], Options], width: float
) -> None:
    with pytest.raises(OptionError, match="must be a width") as caught:
        options(width)
    assert caught.value.metadata == {"option": "minimum_real_range"}


def test_the_greatest_least_width_gives_finite_outputs(tmp_path: Path) -> None:
    weight = WeightOptions(minimum_real_range=1e17)
    options = StaticOptions(minimum_real_range=1e17, weight=weight, accuracy=NO_SEARCH)
    result = quantize(residual().save(tmp_path), IMAGES, options, tmp_path / "job")
    assert result.report.verification.sqnr_db == pytest.approx(0)  # all zeros, and none is NaN


@pytest.mark.parametrize("percentile", [50.0, 100.1, math.nan, math.inf])
def test_percentiles(percentile: float) -> None:
    with pytest.raises(OptionError, match="above 50"):
        StaticOptions(percentile=percentile)


def test_a_floor_that_is_no_number() -> None:
    with pytest.raises(OptionError, match="number of dB"):
        VerifyOptions(min_sqnr_db=math.nan)


@pytest.mark.parametrize(
    "values", [{"scale": (1e25,), "zero_point": (0,)}, {"rmin": (-1e30,), "rmax": (1e30,)}]
)
def test_scales_whose_product_is_infinite_are_refused(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    overrides = tuple(TensorQuantOverride(tensor_name=name, **values) for name in ("x", "c1_w"))
    options = StaticOptions(tensor_quant_overrides=overrides)
    with pytest.raises(OptionError, match="no float32") as caught:
        quantize(residual().save(tmp_path), IMAGES, options, tmp_path / "job")
    assert caught.value.metadata == {"option": "tensor_quant_overrides", "node": "conv_c1"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": (1e6,), "zero_point": (0,)}, "too large for float16"),
        ({"scale": (1e-9,), "zero_point": (0,)}, "too small for float16"),
        ({"rmin": (-1e6,)}, "too large for float16"),
        ({"rmax": (1e6,)}, "too large for float16"),
    ],
)
def test_figures_that_the_weight_s_own_type_does_not_hold(
    values: dict[str, Any], message: str
) -> None:
    override = TensorQuantOverride(tensor_name="w", **values)
    with pytest.raises(OptionError, match=message):
        weight_qparams(np.ones(4, np.float16), WeightOptions(), None, override=override)


def test_a_least_width_beyond_the_weight_s_type_is_as_wide_as_that() -> None:
    options = WeightOptions(minimum_real_range=1e6)
    chosen = weight_qparams(np.ones(4, np.float16), options, None)
    assert chosen.scale == pytest.approx(65504 / 255, rel=1e-3)
