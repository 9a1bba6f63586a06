"""One output beside the original's: by sample, in front of what saturates, with its decisions."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from support.graphs import Array

from zeropoint.engine.report import ComparedAs, DecisionKind, OutputFigures
from zeropoint.engine.verify import OutputComparison, OutputForm, Saturation, comparison

RANDOM = np.random.default_rng(11)
LOGITS = RANDOM.normal(scale=3.0, size=(24, 10))
NOISY = LOGITS + RANDOM.normal(scale=0.03, size=LOGITS.shape)


def _softmax(x: Array, axis: int = -1) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def _centred(x: Array, axis: int = -1) -> Array:
    return np.asarray(x - x.mean(axis, keepdims=True))


def _figures(
    original: Array, result: Array, form: OutputForm | None = None, step: float = 0.0
) -> OutputFigures:
    found = OutputComparison("y", form or OutputForm(), step)
    found.add([original], [result], apart=True)
    return found.figures


def _median(original: Array, result: Array) -> float:
    ratios = np.sum(original**2, 1) / np.sum((original - result) ** 2, 1)
    return float(np.percentile(10 * np.log10(ratios), 50, method="lower"))


SATURATING: list[tuple[Saturation, Callable[[Array], Array], Callable[[Array], Array]]] = [
    (Saturation.SOFTMAX, _softmax, _centred),
    (Saturation.LOG_SOFTMAX, lambda x: np.log(_softmax(x)), _centred),
    (Saturation.SIGMOID, _sigmoid, lambda x: x),
    (Saturation.TANH, lambda x: np.tanh(x / 3), lambda x: x),
    (Saturation.SOFTSIGN, lambda x: x / (1 + np.abs(x)), lambda x: x),
]


@pytest.mark.parametrize(("saturation", "apply", "given"), SATURATING)
def test_figures_are_of_what_a_saturating_operator_was_given(
    saturation: Saturation, apply: Callable[[Array], Array], given: Callable[[Array], Array]
) -> None:
    original, result = (apply(x).astype(np.float32) for x in (LOGITS, NOISY))
    found = _figures(original, result, OutputForm(saturation=saturation))
    assert found.by_sample is not None
    assert found.by_sample.median_db == pytest.approx(_median(given(LOGITS), given(NOISY)), abs=0.1)
    assert found.compared_as is not ComparedAs.VALUES


@pytest.mark.parametrize("scale", [1.0, 4.0, 16.0])
def test_the_figure_of_a_classifier_does_not_depend_on_how_sure_it_is(scale: float) -> None:
    """On probabilities themselves it moves by tens of dB."""
    original, result = (_softmax(x * scale).astype(np.float32) for x in (LOGITS, NOISY))
    found = _figures(original, result, OutputForm(saturation=Saturation.SOFTMAX))
    assert found.by_sample is not None
    expected = _median(_centred(LOGITS), _centred(NOISY))
    assert found.by_sample.median_db == pytest.approx(expected, abs=1.5)


def test_distributions_are_found_along_any_axis_and_single_probabilities_without() -> None:
    maps = RANDOM.normal(size=(6, 3, 4, 4))
    noisy = maps + RANDOM.normal(scale=0.01, size=maps.shape)
    form = OutputForm(saturation=Saturation.SOFTMAX)
    original, result = (_softmax(x, 1).astype(np.float32) for x in (maps, noisy))
    along = _figures(original, result, form)
    assert along.compared_as is ComparedAs.LOGITS
    assert along.decisions is not None
    assert (along.decisions.kind, along.decisions.count) == (DecisionKind.ARGMAX, 6 * 16)
    picked = _figures(original[:, 0], result[:, 0], form)
    assert (picked.compared_as, picked.decisions) == (ComparedAs.LOG_ODDS, None)
    assert picked.by_sample is not None
    assert picked.by_sample.median_db > 30


def test_codes_bound_what_can_be_told_of_probabilities() -> None:
    original = _softmax(LOGITS * 4).astype(np.float32)
    codes = (np.rint(original * 256) / 256).astype(np.float32)
    form = OutputForm(saturation=Saturation.SOFTMAX)
    blind, told = (_figures(original, codes, form, step).by_sample for step in (0.0, 1 / 256))
    assert blind is not None
    assert told is not None
    assert blind.median_db < 5 < 15 < told.median_db


def test_half_precision_bounds_log_odds() -> None:
    sure = np.linspace(6, 14, 24).reshape(2, 12)
    original, result = (_sigmoid(x).astype(np.float16) for x in (sure, sure + 0.5))
    found = _figures(original, result, OutputForm(saturation=Saturation.SIGMOID))
    assert found.by_sample is not None
    assert found.by_sample.least_db == math.inf


def test_one_lost_sample_is_seen_and_decides_nothing_else() -> None:
    quiet = LOGITS.copy()
    quiet[::10] *= 1e-2
    found = _figures(quiet, quiet + (NOISY - LOGITS))
    assert found.by_sample is not None
    assert found.by_sample.samples == 24
    assert found.by_sample.median_db == pytest.approx(40, abs=2)
    assert found.by_sample.tenth_db == pytest.approx(0, abs=3)
    assert found.by_sample.least_db <= found.by_sample.tenth_db
    assert found.similarity.sqnr_db > 35


def test_silence_is_measured_against_the_mean_of_all() -> None:
    original = LOGITS.copy()
    original[3] = 0.0
    result = original + 1e-4
    found = _figures(original, result)
    assert found.by_sample is not None
    assert 0 < found.by_sample.least_db < found.by_sample.median_db < math.inf


def test_few_values_are_taken_together() -> None:
    """A single value close to 0 says nothing about a model."""
    scores = RANDOM.normal(size=(64, 1))
    scores[5] = 1e-6
    found = _figures(scores, scores + RANDOM.normal(scale=0.01, size=scores.shape))
    assert found.by_sample is not None
    assert found.by_sample.samples == 64
    assert found.by_sample.least_db > 30


def test_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    form = OutputForm(saturation=Saturation.SOFTMAX)
    sides = [_softmax(x).astype(np.float32) for x in (LOGITS, NOISY)]
    whole = _figures(sides[0], sides[1], form)
    monkeypatch.setattr(comparison, "_BLOCK", 64)
    assert _figures(sides[0], sides[1], form).by_sample == whole.by_sample


def test_masks_are_decided_at_one_half_where_that_is_crossed_clearly() -> None:
    form = OutputForm(saturation=Saturation.SIGMOID)
    original, result = np.full((4, 50), 0.6), np.full((4, 50), 0.6)
    result[0, :10] = 0.25
    result[1, :10] = 0.4
    found = _figures(original, result, form).decisions
    assert found is not None
    assert (found.kind, found.count) == (DecisionKind.THRESHOLD, 200)
    assert found.agreement == pytest.approx(0.95)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 16), (2, 4, 9)])
def test_where_no_axis_is_one_of_classes_nothing_is_decided(shape: tuple[int, ...]) -> None:
    original = RANDOM.normal(size=shape)
    assert _figures(original, original).decisions is None


def test_classes_of_heads_and_of_what_the_model_picks_from() -> None:
    head = _figures(LOGITS, NOISY, OutputForm(head=True)).decisions
    assert head is not None
    assert head.agreement == np.mean(LOGITS.argmax(1) == NOISY.argmax(1))
    maps, noisy = LOGITS.reshape(6, 4, 10), NOISY.reshape(6, 4, 10)
    assert _figures(maps, noisy, OutputForm(head=True)).decisions is None
    picked = _figures(maps, noisy, OutputForm(class_axis=-2)).decisions
    assert picked is not None
    assert picked.count == 60


def test_labels_are_equal_or_not() -> None:
    labels, wrong = np.arange(10), np.arange(10)
    wrong[3] = 7
    found = _figures(labels, wrong).decisions
    assert found is not None
    assert (found.kind, found.agreement) == (DecisionKind.EQUAL, 0.9)
    words = _figures(np.array(["a", "b"]), np.array(["a", "c"]))
    assert words.decisions is not None
    assert words.decisions.agreement == 0.5
    assert words.by_sample is not None


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_result_that_is_not_finite_is_infinitely_wrong(wrong: float) -> None:
    result = NOISY.copy()
    result[:15, 4] = wrong
    found = _figures(LOGITS, result)
    assert found.by_sample is not None
    assert found.by_sample.median_db == -math.inf
    masked = LOGITS.copy()
    masked[:, 4] = -np.inf
    same = masked + (NOISY - LOGITS)
    assert _figures(masked, same).by_sample is not None
    assert _figures(masked, same).similarity.sqnr_db > 30


def test_empty_outputs_and_sequences() -> None:
    nothing = np.zeros((0, 5), np.float32)
    found = OutputComparison("y")
    found.add([nothing], [nothing])
    found.add([], [])
    assert found.figures.by_sample is not None
    assert found.figures.by_sample.median_db == math.inf
    parts = OutputComparison("y")
    parts.add([LOGITS[:3], LOGITS[3:]], [NOISY[:3], NOISY[3:]])
    assert parts.figures.by_sample is not None
    assert parts.figures.by_sample.samples == 1
    parts.add([LOGITS], [NOISY[:3], NOISY[3:]])
    assert parts.figures.shape_changed == 1
