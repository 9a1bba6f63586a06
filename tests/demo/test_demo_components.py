"""Connected components against a flood fill."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from zeropoint.client.demo.components import Box, component_boxes

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


def flood_fill_boxes(mask: npt.NDArray[np.bool_]) -> list[Box]:
    """Visit pixel by pixel, eight neighbours each."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    boxes = []
    for seed in sorted(left):
        if seed not in left:
            continue
        component, frontier = set(), [seed]
        while frontier:
            y, x = frontier.pop()
            if (y, x) in left:
                left.remove((y, x))
                component.add((y, x))
                frontier += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        ys, xs = zip(*component, strict=True)
        boxes.append(Box(min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    return boxes


@given(masks)
def test_boxes_are_those_of_a_flood_fill(mask: npt.NDArray[np.bool_]) -> None:
    assert component_boxes(mask) == flood_fill_boxes(mask)


def test_arms_that_meet_late_are_one_component() -> None:
    spiral = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 0, 1], [0, 0, 0, 1, 0]], bool)
    assert component_boxes(spiral) == [Box(0, 0, 5, 4)]


@pytest.mark.parametrize(("fill", "expected"), [(False, []), (True, [Box(0, 0, 640, 480)])])
def test_an_even_page(fill: bool, expected: list[Box]) -> None:
    assert component_boxes(np.full((480, 640), fill)) == expected
