"""Boxes, decoding, and the float pipeline on rendered pages."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import reader

from zeropoint.client.demo.components import Box
from zeropoint.client.demo.images import crop
from zeropoint.client.demo.ocr import (
    charset,
    ctc_text,
    detector_input,
    recognizer_input,
    same_line,
    text_boxes,
)
from zeropoint.client.demo.pages import page


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_ctc_merges_repeats_and_drops_blanks(codes: list[int]) -> None:
    characters = charset("a\nb\nc")
    probability = np.eye(len(characters), dtype=np.float32)[codes][None]
    expected = "".join(characters[code] for code, _ in groupby(codes) if code)
    assert ctc_text(probability, characters) == expected


def test_a_repeated_letter_needs_a_blank_between() -> None:
    probability = np.eye(3, dtype=np.float32)[[1, 1, 0, 1, 2]][None]
    assert ctc_text(probability, charset("o")) == "oo "


def test_charset_has_a_character_for_each_class() -> None:
    [output] = reader().recognizer.get_outputs()
    assert len(reader().characters) == output.shape[-1] == 6625
    assert set("0123456789abcXYZ ") <= set(reader().characters)


def test_boxes_grow_by_area_over_perimeter_and_scale_to_the_picture() -> None:
    probability = np.zeros((1, 1, 100, 200), np.float32)
    probability[0, 0, 40:50, 50:90] = 0.9
    # 40 x 10 pixels: 2 * 400 / 100 = 8 pixels on each side; the picture is twice as wide.
    assert text_boxes(probability, 100, 400) == [Box(84, 32, 196, 58)]


def test_weak_and_tiny_components_are_no_text() -> None:
    probability = np.zeros((1, 1, 100, 100), np.float32)
    probability[0, 0, 10:20, 10:60] = 0.4
    probability[0, 0, 50:52, 50:90] = 0.9
    assert text_boxes(probability, 100, 100) == []


def test_boxes_beside_each_other_are_one_line_from_left_to_right() -> None:
    right, left, below = Box(50, 8, 90, 20), Box(10, 10, 40, 22), Box(10, 30, 60, 40)
    assert same_line([right, left, below]) == [[left, right], [below]]


@pytest.mark.parametrize(
    ("shape", "expected"), [((480, 640), (480, 640)), ((50, 2000), (32, 960)), ((20, 20), (32, 32))]
)
def test_detector_sides_are_multiples_of_32(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert detector_input(np.zeros((*shape, 3), np.uint8)).shape == (1, 3, *expected)


@pytest.mark.parametrize(("shape", "width"), [((24, 60), 320), ((24, 300), 608)])
def test_lines_keep_their_aspect_and_are_padded_with_zeros(
    shape: tuple[int, int], width: int
) -> None:
    value = recognizer_input(np.full((*shape, 3), 255, np.uint8))
    assert value.shape == (1, 3, 48, width)
    assert (value[..., : 2 * shape[1]] == 1).all()
    assert (value[..., 2 * shape[1] :] == 0).all()


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_float_models_read_pages_exactly(seed: int) -> None:
    drawn = page(seed)
    assert reader().read(drawn.image) == drawn.text


def test_float_recognizer_reads_a_line_from_its_true_box() -> None:
    drawn = page(6)
    read = [reader().text(crop(drawn.image, line.box)) for line in drawn.lines]
    assert read == drawn.text
