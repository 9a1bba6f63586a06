"""Rendered pages: the same seed gives the same picture, and the text is where it is said to be."""

import numpy as np
import pytest
from support.models import detector_batches, recognizer_batches

from zeropoint.client.demo.pages import HEIGHT, MARGIN, PADDING, WIDTH, page, pages


def test_the_same_seed_gives_the_same_page() -> None:
    one, two, other = page(7), page(7), page(8)
    np.testing.assert_array_equal(one.image, two.image)
    assert one.lines == two.lines
    assert other.text != one.text


@pytest.mark.parametrize("seed", range(6))
def test_lines_stand_below_each_other_inside_the_page(seed: int) -> None:
    drawn = page(seed)
    assert drawn.image.shape == (HEIGHT, WIDTH, 3)
    assert len(drawn.lines) >= 5
    edges = [edge for line in drawn.lines for edge in (line.box.top, line.box.bottom)]
    assert edges == sorted(edges)
    assert edges[-1] <= HEIGHT - MARGIN + PADDING
    assert all(0 <= line.box.left < line.box.right <= WIDTH for line in drawn.lines)


def test_ink_differs_from_paper_inside_the_boxes_alone() -> None:
    for drawn in pages(3, first=10):
        tone = drawn.image.astype(float).mean(axis=2)
        paper = np.median(tone)
        outside = np.ones(tone.shape, bool)
        for line in drawn.lines:
            box = line.box
            outside[box.top : box.bottom, box.left : box.right] = False
            assert np.abs(tone[box.top : box.bottom, box.left : box.right] - paper).max() > 90
        assert np.abs(tone[outside] - paper).max() < 90


def test_batches_have_the_shapes_that_the_models_take() -> None:
    assert [batch["x"].shape for batch in detector_batches(2)] == [(1, 3, 480, 640)] * 2
    lines = [batch["x"] for batch in recognizer_batches(10)]
    assert len(lines) == 10
    assert all(x.shape[:3] == (1, 3, 48) and x.shape[3] % 32 == 0 for x in lines)
    assert all(x.dtype == np.float32 and np.abs(x).max() <= 1 for x in lines)
