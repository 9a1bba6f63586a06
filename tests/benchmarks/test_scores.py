"""What scores of tasks are made of, and the table of accuracy."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.accuracy import Book, tables
from benchmarks.boxes import Found, f1_of_boxes, overlap, strongest
from benchmarks.mel import mel_filters
from benchmarks.tasks import area_under_curve, rank_correlation
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

_figures = arrays(np.float64, 12, elements=st.integers(-99, 99), unique=True)


@given(_figures)
def test_ranks_are_those_of_anything_that_grows_alike(figures: np.ndarray) -> None:
    assert rank_correlation(3 * figures + 1, figures) == pytest.approx(1.0)
    assert rank_correlation(-figures, figures) == pytest.approx(-1.0)
    assert rank_correlation(np.zeros(12), figures) == 0.0


@given(_figures)
def test_the_area_is_one_where_all_wanted_are_above(figures: np.ndarray) -> None:
    wanted = figures > np.median(figures)
    assert area_under_curve(figures, wanted) == 1.0
    assert area_under_curve(-figures, wanted) == 0.0
    assert area_under_curve(np.zeros(12), wanted) == 0.5


def test_boxes_of_a_class_that_overlap_are_one() -> None:
    corners = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60.0]])
    scores = np.array([[0.9, 0], [0.8, 0], [0, 0.7], [0.1, 0]])
    found = strongest(corners, scores, 0.25, 0.5)
    assert found.labels.tolist() == [0, 1]
    assert overlap(corners[0], corners[1:]).tolist() == pytest.approx([9 / 11, 1.0, 0.0])


def test_a_box_counts_once_and_only_for_its_class() -> None:
    one = np.array([[0, 0, 10, 10.0]])
    wanted = Found(one, np.array([3]))
    twice = Found(np.concatenate([one, one]), np.array([3, 3]))
    assert f1_of_boxes([wanted], [wanted]) == 1.0
    assert f1_of_boxes([twice], [wanted]) == pytest.approx(2 / 3)
    assert f1_of_boxes([Found(one, np.array([2]))], [wanted]) == 0.0
    nothing = Found(np.zeros((0, 4)), np.zeros(0, int))
    assert f1_of_boxes([nothing], [nothing]) == 1.0


def test_mel_filters_cover_every_frequency_between_the_first_and_the_last() -> None:
    filters = mel_filters(40, 512, 16_000)
    assert filters.shape == (40, 257)
    assert np.all(filters >= 0)
    assert np.all(filters.sum(0)[2:-1] > 0)


def test_figures_are_kept_and_failures_are_cells(tmp_path: Path) -> None:
    book = Book(tmp_path / "figures.json")
    figures = {"seconds": 1.0, "sqnr_db": 31.4, "size": 0.26, "latency": 0.5, "share": 0.9}
    book.note("magika", "float", {**figures, "score": 1.0})
    book.note("magika", "off", {**figures, "score": 0.97})
    book.note("magika", "ort", {"error": "ValueError: no"})
    again = Book(tmp_path / "figures.json")
    assert again.kept("magika", "off") == 0.97
    assert again.kept("magika", "ort") is None
    text = tables(again, ["magika"], ["ort", "off"])
    assert "| scores kept within 2 % | 0 of 1 | 0 of 1 |" in text
    assert "| within 10 % | 0 of 1 | 1 of 1 |" in text
    row = "fails: ValueError | **0.970**, 31 dB, 0.26×, 0.50×, 90%, 1 s |"
    assert text.splitlines()[-1].endswith(row)
