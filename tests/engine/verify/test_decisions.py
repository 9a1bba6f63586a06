"""Decisions: what is counted of an output, and what the counts say of the whole."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zeropoint.engine.report import DecisionKind, Decisions
from zeropoint.engine.verify import OutputForm, Saturation
from zeropoint.engine.verify.decisions import DecisionCount
from zeropoint.engine.verify.interval import independent, interval
from zeropoint.engine.verify.output_forms import Selection
from zeropoint.engine.verify.selections import common_boxes, common_rows
from zeropoint.engine.verify.sequences import decoded, edits
from zeropoint.engine.verify.tally import ClassTally

Array = NDArray[Any]
SEQUENCE = OutputForm(saturation=Saturation.SOFTMAX, frames=True)
LABELS = st.lists(st.integers(0, 3), max_size=7).map(np.array)


def _decided(
    original: Array, result: Array, form: OutputForm, axis: int | None = None, **how: Any
) -> Decisions | None:
    count = DecisionCount(form)
    count.add(original, result, axis, **how)
    return count.figures


def _sure(found: Decisions | None) -> Decisions:
    assert found is not None
    return found


def _one_hot(classes: Array, size: int) -> Array:
    return np.eye(size, dtype=np.float32)[classes]


# The interval


@given(st.integers(1, 60), st.floats(0.0, 1.0))
def test_the_interval_is_of_the_shares_that_the_count_does_not_rule_out(
    count: int, share: float
) -> None:
    """Wilson's ends p are those at which the share is 1.96 standard deviations off."""
    for end in interval(share, count):
        off = abs(share - end)
        assert off <= 1.96 * np.sqrt(end * (1 - end) / count) + 1e-6 or end in (0.0, 1.0)
    low, high = interval(share, count)
    assert low <= share + 1e-12
    assert share <= high + 1e-12
    assert interval(share, 4 * count)[0] >= low - 1e-12


def test_of_nothing_nothing_is_known() -> None:
    assert interval(1.0, 0) == (0.0, 1.0)
    assert independent(np.zeros(3), np.zeros(3)) == 0.0


def test_decisions_that_come_one_by_one_are_independent() -> None:
    same = np.array([1.0] * 90 + [0.0] * 10)
    assert independent(same, np.ones(100)) == pytest.approx(100, rel=0.02)
    assert independent(np.ones(100), np.ones(100)) == 100


def test_decisions_of_a_sample_that_fail_together_count_as_one() -> None:
    counts = np.full(20, 50.0)
    together, apart = np.where(np.arange(20) < 4, 0.0, 50.0), np.full(20, 40.0)
    assert independent(together, counts) == pytest.approx(20, rel=0.1)
    assert independent(apart, counts) == pytest.approx(1000 / (1 + 49 * 0.05))
    assert independent(counts, counts) == pytest.approx(1000 / (1 + 49 * 0.05))


# Classes


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_tallies_are_what_their_definitions_say(pairs: list[tuple[int, int]]) -> None:
    """In any number of samples, as integers of any kind and as text."""
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    for kind in (np.int64, np.uint8, np.str_):
        tally = ClassTally()
        for start in range(0, len(one), 7):
            part = slice(start, start + 7)
            tally.add(one[part].astype(kind), other[part].astype(kind))
        assert tally.every.share == pytest.approx(np.mean(one == other))
        most = int(tally.most_frequent)
        counts = np.bincount(one, minlength=4)
        assert counts[most] == counts.max()
        rest = np.count_nonzero(one != most) + np.count_nonzero(other != most)
        same = np.count_nonzero((one == other) & (one != most))
        assert tally.minority.share == pytest.approx(2 * same / rest if rest else 1.0)


def test_text_and_single_values_are_decisions() -> None:
    words = np.array(["a", "b", "c"], np.object_), np.array(["a", "b", "d"], np.object_)
    for apart in (True, False):
        found = _sure(_decided(*words, OutputForm(), apart=apart))
        assert found.agreement == pytest.approx(2 / 3)
        assert found.count == 3
    assert _sure(_decided(np.array(5), np.array(5), OutputForm(), apart=True)).count == 1
    best = np.array([5, 7]), np.array([5, 8])
    along = OutputForm(selection=Selection.ALONG)
    assert _sure(_decided(*best, along, apart=True)).agreement == 0.5


def test_negative_labels_and_bools_are_classes() -> None:
    tally = ClassTally()
    tally.add(np.array([-100, -100, 5]), np.array([-100, 5, 5]))
    tally.add(np.array([True, False]), np.array([True, True]))
    assert tally.every.share == pytest.approx(3 / 5)
    assert tally.most_frequent == -100


def test_background_hides_nothing() -> None:
    """Of 2000 pixels 200 are of something, and half of those are lost."""
    original = np.zeros(2000, np.int64)
    original[:200] = 1
    result = original.copy()
    result[:100] = 0
    found = _sure(_decided(original, result, OutputForm()))
    assert found.agreement == 0.95
    assert found.minority_agreement == pytest.approx(2 / 3)
    assert found.minority_count == 150
    assert found.low < 2 / 3 < found.high


def test_below_a_hundred_nothing_is_told_of_the_minority() -> None:
    original = np.zeros(2000, np.int64)
    original[:99] = 1
    found = _sure(_decided(original, original, OutputForm()))
    assert (found.minority_agreement, found.minority_count) == (None, 99)
    assert found.low < found.high == found.agreement == 1.0


@pytest.mark.parametrize(
    ("form", "shape", "count"),
    [
        (OutputForm(logits=True), (2, 7), 2),
        (OutputForm(logits=True), (2, 5, 7), 10),
        (OutputForm(logits=True), (2, 7, 4, 4), 32),
        (OutputForm(map=True), (2, 7, 4, 4), 32),
        (OutputForm(map=True), (2, 3, 4, 4), None),
        (OutputForm(head=True), (2, 5, 7), None),
        (OutputForm(), (2, 7, 4, 4), None),
    ],
)
def test_classes_are_where_names_and_maps_show_them(
    form: OutputForm, shape: tuple[int, ...], count: int | None
) -> None:
    """A map of three may be a picture, and rows of a product may be anything."""
    values = np.random.default_rng(1).normal(size=shape)
    found = _decided(values, values, form)
    assert (found and found.count) == count


def test_samples_that_are_apart_are_counted_apart() -> None:
    """Of ten samples one is wholly wrong: as one, nothing would show that."""
    original = np.full((10, 100), 0.9)
    result = original.copy()
    result[0] = 0.1
    form = OutputForm(saturation=Saturation.SIGMOID)
    apart = _sure(_decided(original, result, form, apart=True))
    joined = _sure(_decided(original, result, form))
    assert apart.agreement == joined.agreement == 0.9
    assert apart.low < 0.7
    assert apart.high - apart.low > joined.high - joined.low


# Sequences


def _edits_by_definition(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    if not one or not other:
        return len(one) + len(other)
    return min(
        _edits_by_definition(one[1:], other) + 1,
        _edits_by_definition(one, other[1:]) + 1,
        _edits_by_definition(one[1:], other[1:]) + (one[0] != other[0]),
    )


@given(LABELS.filter(lambda a: len(a) < 6), LABELS.filter(lambda a: len(a) < 6))
def test_edits_are_the_fewest(one: Array, other: Array) -> None:
    assert edits(one, other) == _edits_by_definition(tuple(one), tuple(other))


@given(LABELS)
def test_frames_are_decoded_as_they_are_defined(frames: Array) -> None:
    expected = [label for label, _ in itertools.groupby(frames.tolist()) if label != 0]
    assert decoded(frames, 0).tolist() == expected


@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_frames_spell_what_the_blank_does_not_say(blank: int, order: tuple[int, int]) -> None:
    """Two of six labels are lost; each is wider than one frame. [n, t, c] and [t, n, c]."""
    original = np.full(40, blank)
    original[[2, 3, 8, 9, 14, 20, 26, 27, 33]] = [1, 1, 2, 2, 3, 1, 2, 2, 3]
    result = original.copy()
    result[[14, 20]] = blank
    result[4] = original[3]  # a frame more changes no label
    sides = [_one_hot(side[None].transpose(order), 5) for side in (original, result)]
    found = _sure(_decided(sides[0], sides[1], SEQUENCE, 2))
    assert (found.kind, found.count, found.whole) == (DecisionKind.SEQUENCE, 6, 0.0)
    assert found.agreement == pytest.approx(4 / 6)
    equal = _sure(_decided(sides[0], sides[0], SEQUENCE, 2))
    assert (equal.agreement, equal.whole) == (1.0, 1.0)


def test_where_another_class_is_the_most_frequent_nothing_is_spelled() -> None:
    classes = np.array([[2, 2, 2, 1, 3, 2]])
    found = _sure(_decided(_one_hot(classes, 5), _one_hot(classes, 5), SEQUENCE, 2))
    assert (found.kind, found.count, found.whole) == (DecisionKind.ARGMAX, 6, None)
    labels = OutputForm(saturation=Saturation.SOFTMAX)  # such as of words, whose class 0 is "none"
    plain = _sure(_decided(_one_hot(classes * 0, 5), _one_hot(classes * 0, 5), labels, 2))
    assert plain.kind is DecisionKind.ARGMAX


def test_scores_without_a_softmax_are_frames_only_where_a_blank_shows_it() -> None:
    head = OutputForm(head=True, frames=True)
    classes = np.zeros((1, 40), np.int64)
    classes[0, ::5] = 2
    spelled = _sure(_decided(_one_hot(classes, 5), _one_hot(classes, 5), head))
    assert (spelled.kind, spelled.count) == (DecisionKind.SEQUENCE, 8)
    values = np.random.default_rng(0).normal(size=(1, 40, 5))
    assert _decided(values, values, head) is None


def test_labels_whose_number_differs_are_edited() -> None:
    count = DecisionCount(OutputForm())
    count.add(np.array([[5, 6, 7, 8]]), np.array([[5, 7, 8]]))
    count.add(np.array([[1, 2]]), np.array([[1, 2]]))
    found = _sure(count.figures)
    assert (found.kind, found.count) == (DecisionKind.SEQUENCE, 6)
    assert found.agreement == pytest.approx(5 / 6)
    assert found.whole == 0.5
    probabilities = _one_hot(np.array([[1, 2, 3]]), 5), _one_hot(np.array([[1, 2, 3, 3]]), 5)
    form = OutputForm(saturation=Saturation.SOFTMAX)
    assert _sure(_decided(*probabilities, form, 2)).agreement == 0.75


# Selections


def test_selected_positions_are_sets() -> None:
    best = np.array([[3, 1, 2], [7, 8, 9]]), np.array([[1, 3, 2], [7, 8, 0]])
    along = _sure(_decided(*best, OutputForm(selection=Selection.ALONG)))
    assert (along.kind, along.count) == (DecisionKind.SELECTION, 6)
    assert along.agreement == pytest.approx(5 / 6)
    kept = np.array([[0, 0, 5], [0, 0, 9]]), np.array([[0, 0, 9], [0, 0, 5], [0, 1, 5]])
    rows = _sure(_decided(*kept, OutputForm(selection=Selection.ROWS)))
    assert rows.agreement == pytest.approx(2 * 2 / 5)
    nothing = np.zeros((0, 3), np.int64)
    assert _decided(nothing, nothing, OutputForm(selection=Selection.ROWS)) is None


BOXES = np.array([[10, 10, 30, 20], [50, 50, 80, 90], [5, 60, 15, 70]], np.float32)


def test_boxes_are_the_same_in_any_order_and_number() -> None:
    moved = BOXES[[2, 0]] + np.float32(1.0)
    assert common_boxes(BOXES, moved) == 2
    assert common_boxes(BOXES, BOXES[::-1]) == 3
    assert common_boxes(BOXES, BOXES + np.float32(15.0)) == 0
    assert common_boxes(BOXES, np.zeros((0, 4), np.float32)) == 0
    centres = np.concatenate([(BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]], 1)
    far = centres + np.array([15.0, 15.0, 0.0, 0.0])
    assert (common_boxes(centres, centres[::-1]), common_boxes(centres, far)) == (3, 0)
    assert common_boxes(np.zeros((2001, 4)), BOXES) is None
    form = OutputForm(selection=Selection.BOXES)
    padded = np.concatenate([BOXES, np.zeros((5, 4), np.float32)])[None]
    found = _sure(_decided(padded, padded[:, ::-1], form))
    assert (found.count, found.agreement) == (3, 1.0)
    assert _decided(BOXES[:, 0], BOXES[:, 0], form) is None


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_common_rows_are_those_in_both(one: set[int], other: set[int]) -> None:
    sides = [np.array(sorted(side), np.int64) for side in (one, other)]
    assert common_rows(*sides) == len(one & other)
    pairs = [np.stack([side, side + 1], 1) for side in sides]
    assert common_rows(*pairs) == len(one & other)
