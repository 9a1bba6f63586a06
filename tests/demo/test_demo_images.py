"""Resampling: sizes, flat colours, means and edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.client.demo.images import planes, resize

sides = st.integers(1, 40)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 255))
def test_a_flat_picture_stays_flat(
    source: tuple[int, int], target: tuple[int, int], tone: int
) -> None:
    resized = resize(np.full((*source, 3), tone, np.uint8), *target)
    assert resized.shape == (*target, 3)
    assert (resized == tone).all()


@given(sides, sides)
def test_the_same_size_changes_nothing(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(resize(image, height, width), image)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_shrinking_keeps_the_mean_of_fine_grain(factor: int) -> None:
    image = np.zeros((48, 96, 3), np.uint8)
    image[:, ::2] = 255
    shrunk = resize(image, 48 // factor, 96 // factor)
    assert shrunk[1:-1, 1:-1].astype(float).mean() == pytest.approx(127.5, abs=1.5)


def test_planes_are_blue_first_and_reach_from_minus_one_to_one() -> None:
    red = np.array([[[255, 127, 0]]], np.uint8)
    np.testing.assert_allclose(planes(red)[:, 0, 0], [-1, -0.5 / 127.5, 1], atol=1e-6)
