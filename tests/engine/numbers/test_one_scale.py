"""What one scale for all channels of a weight loses, against rounding it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.engine.numbers import one_scale_db

AXES = [((24, 40), (0,)), ((24, 40), (1,)), ((16, 4, 3, 3), (0,)), ((2, 12, 32), (0, 1))]


def rounded_db(weight: np.ndarray, axes: tuple[int, ...], scale: float) -> float:
    """The same by rounding the weight: what is gone of a channel counts once at most."""
    noise = (np.round(weight / scale) * scale - weight) ** 2
    others = tuple(axis for axis in range(weight.ndim) if axis not in axes)
    power = (weight.astype(np.float64) ** 2).sum(axis=others)
    lost = np.minimum(1.0, noise.sum(axis=others)[power > 0] / power[power > 0])
    return float(-10 * np.log10(lost.mean()))


@pytest.mark.parametrize(("shape", "axes"), AXES)
@pytest.mark.parametrize("spread", [1.0, 10.0, 100.0, 1000.0])
def test_it_is_what_rounding_loses(
    shape: tuple[int, ...], axes: tuple[int, ...], spread: float
) -> None:
    rng = np.random.default_rng(0)
    sizes = [length if axis in axes else 1 for axis, length in enumerate(shape)]
    factors = spread ** rng.uniform(-1, 0, sizes)
    weight = (rng.standard_normal(shape) * factors).astype(np.float32)
    scale = float(weight.max() - weight.min()) / 255
    assert one_scale_db(weight, axes, scale) == pytest.approx(
        rounded_db(weight, axes, scale), abs=1.5
    )


@given(st.floats(1e-30, 1e30))
def test_it_has_no_unit(unit: float) -> None:
    weight = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    found = one_scale_db((weight * unit).astype(np.float32), (0,), 0.03 * unit)
    assert found == pytest.approx(one_scale_db(weight, (0,), 0.03), abs=0.01)


def test_channels_of_zeros_lose_nothing() -> None:
    weight = np.zeros((4, 8), np.float32)
    assert one_scale_db(weight, (0,), 0.1) == float("inf")
    weight[1] = 1.0
    assert one_scale_db(weight, (0,), 0.1) == pytest.approx(-10 * np.log10(0.01 / 12))
