"""Jobs whose result is not good enough as it is asked for: what they return, and what they tell."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.engine import Quantized, quantize, sqnr_db
from support.engine import run as run_model
from support.graphs import GraphBuilder

from zeropoint.engine import (
    AccuracyMode,
    AccuracyOptions,
    DynamicOptions,
    JobSettings,
    OptionError,
    Options,
    Progress,
    Remedy,
    StaticOptions,
    VerifyOptions,
    open_job,
)
from zeropoint.engine.progress import Phase
from zeropoint.engine.search import Changes
from zeropoint.engine.settings import CandidateFiles
from zeropoint.engine.verify import (
    ContainedVerifier,
    Effects,
    EffectsRequest,
    InProcessTrials,
    InProcessVerifier,
    OnNode,
    ReferenceRequest,
    TrialFailed,
    Trials,
)

Feeds = Mapping[str, np.ndarray[Any, Any]]

_LOUD = 3000.0


def uneven(folder: Path, *, loud: float = _LOUD, between: str = "Softplus") -> Path:
    """Four convolutions; one channel between the first two is loud, and hardly listened to.

    Only behind a Relu channels can be brought to like sizes.
    """
    graph = GraphBuilder(seed=3)
    weights = [graph.rng.standard_normal((8, 8, 3, 3)).astype(np.float32) * 0.2 for _ in range(4)]
    weights[0] = weights[0][:, :3]
    weights[0][0] *= loud
    weights[1][:, 0] /= loud
    data = graph.input("x", ["N", 3, 8, 8])
    for number, weight in enumerate(weights):
        inputs = [data, graph.constant(f"w{number}", weight)]
        data = graph.node("Conv", inputs, f"c{number}", pads=[1, 1, 1, 1], name=f"conv{number}")
        if number < 3:
            data = graph.node("Relu" if number else between, [data], f"r{number}")
    graph.output(data, ["N", 8, 8, 8])
    path = folder / "uneven.onnx"
    onnx.save(graph.model(), path)
    return path


def batches(count: int = 12, seed: int = 0) -> list[Feeds]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((2, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def asked(mode: AccuracyMode, **more: Any) -> StaticOptions:
    verify = VerifyOptions(min_sqnr_db=20.0)
    return StaticOptions(accuracy=AccuracyOptions(mode=mode, **more), verify=verify)


def found(source: Path, result: Quantized) -> float:
    """SQNR of a result on data that it never saw."""
    feeds = batches(1, seed=9)[0]
    return sqnr_db(run_model(source, feeds)[0], run_model(result.path, feeds)[0])


def test_guard_is_the_default_and_mends(tmp_path: Path) -> None:
    assert StaticOptions().accuracy.mode is AccuracyMode.GUARD
    source, steps = uneven(tmp_path), list[Progress]()
    bad = quantize(source, batches(), asked(AccuracyMode.OFF), tmp_path / "off")
    good = quantize(
        source, batches(), asked(AccuracyMode.GUARD), tmp_path / "on", progress=steps.append
    )
    assert found(source, bad) < 20.0 < found(source, good)
    told = good.report.accuracy
    assert told is not None
    assert (told.searched, told.held) == (True, True)
    [departure] = [one for one in told.departures if one.remedy is Remedy.STAYS_FLOAT]
    assert set(departure.nodes) <= {"conv0", "conv1"}
    assert "dB" in departure.effect
    assert good.states()[departure.nodes[0]] == "INACCURATE"
    assert [trial.chosen for trial in told.trials].count(True) == 1
    assert told.trials[0].description == "as asked for"
    assert not told.trials[0].held
    assert told.sensitivities[0].name in departure.nodes
    assert told.sensitivities[0].effects[0].sqnr_db < 20.0
    assert told.sensitivities[0].tried
    searching = [step.message for step in steps if step.phase is Phase.SEARCH]
    assert any("float" in message for message in searching)
    assert Phase.SEARCH in {time.phase for time in good.report.phases}


def test_what_costs_nothing_comes_first(tmp_path: Path) -> None:
    source = uneven(tmp_path, between="Relu")
    result = quantize(source, batches(), asked(AccuracyMode.GUARD), tmp_path / "job")
    told = result.report.accuracy
    assert told is not None
    assert [one.remedy for one in told.departures] == [Remedy.EQUALIZED]
    assert told.held
    assert found(source, result) > 20.0
    assert result.report.verification.integer_share == 1.0


def test_off_tells_and_does_nothing(tmp_path: Path) -> None:
    result = quantize(uneven(tmp_path), batches(), asked(AccuracyMode.OFF), tmp_path / "job")
    told = result.report.accuracy
    assert told is not None
    assert (told.searched, told.held, told.departures) == (False, False, ())
    assert "SQNR_LOW" in result.warned
    assert "not kept" in told.message


def test_what_is_good_is_what_was_asked_for(tmp_path: Path) -> None:
    source = uneven(tmp_path, loud=1.0)
    plain = quantize(source, batches(), asked(AccuracyMode.OFF), tmp_path / "off")
    guarded = quantize(source, batches(), asked(AccuracyMode.GUARD), tmp_path / "guard")
    assert guarded.path.read_bytes() == plain.path.read_bytes()
    assert guarded.report.accuracy is not None
    assert not guarded.report.accuracy.searched
    assert guarded.report.accuracy.held


@pytest.mark.parametrize("mode", [AccuracyMode.GUARD, AccuracyMode.AUTO])
def test_order_changes_nothing_and_decisions_do_the_same_again(
    tmp_path: Path, mode: AccuracyMode
) -> None:
    source = uneven(tmp_path)
    one = quantize(source, batches(), asked(mode), tmp_path / "one")
    assert one.report.accuracy is not None
    decisions = one.report.accuracy.decisions
    again = asked(mode, decisions=decisions)
    replayed = quantize(source, batches()[::-1], again, tmp_path / "again")
    assert replayed.path.read_bytes() == one.path.read_bytes()
    assert replayed.report.accuracy is not None
    assert not replayed.report.accuracy.searched
    assert replayed.report.accuracy.decisions == decisions
    told = [(each.remedy, each.nodes) for each in one.report.accuracy.departures]
    assert [(each.remedy, each.nodes) for each in replayed.report.accuracy.departures] == told
    if mode is AccuracyMode.GUARD:  # nothing in it hangs on time
        other = quantize(source, batches()[::-1], asked(mode), tmp_path / "other")
        assert other.path.read_bytes() == one.path.read_bytes()


@pytest.mark.parametrize(
    "decisions", ["{", '{"version":99}', json.dumps({"version": 1, "floats": ["nobody"]})]
)
def test_decisions_of_others_are_refused(tmp_path: Path, decisions: str) -> None:
    options = asked(AccuracyMode.GUARD, decisions=decisions)
    with pytest.raises(OptionError, match="decisions") as refused:
        quantize(uneven(tmp_path), batches(), options, tmp_path / "job")
    assert refused.value.reason == "DECISIONS_INVALID"


def test_where_nothing_holds_the_original_comes_back_prepared(tmp_path: Path) -> None:
    options = StaticOptions(verify=VerifyOptions(min_sqnr_db=90.0))
    result = quantize(uneven(tmp_path), batches(), options, tmp_path / "job")
    assert found(result.source, result) > 90.0
    assert result.report.accuracy is not None
    assert result.report.accuracy.held
    [departure] = result.report.accuracy.departures
    assert {f"conv{number}" for number in range(4)} <= set(departure.nodes)


def test_nodes_are_told_apart_without_a_search(tmp_path: Path) -> None:
    options = asked(AccuracyMode.OFF, sensitivity=True)
    result = quantize(uneven(tmp_path), batches(), options, tmp_path / "job")
    told = result.report.accuracy
    assert told is not None
    assert not told.searched
    named = {one.name for one in told.sensitivities}
    assert {f"conv{number}" for number in range(4)} <= named
    worst = told.sensitivities[0]
    assert worst.weight_db is not None
    assert worst.activation_db is not None
    assert worst.share is not None
    assert sum(one.share or 0.0 for one in told.sensitivities) == pytest.approx(1.0)


def test_the_callers_own_figure_counts_alone(tmp_path: Path) -> None:
    source, asked_for = uneven(tmp_path), list[CandidateFiles]()
    feeds = batches(1, seed=5)[0]
    expected = run_model(source, feeds)[0]

    def evaluate(candidate: CandidateFiles, /) -> float:
        asked_for.append(candidate)
        if candidate.number is None:
            return 60.0
        return min(60.0, sqnr_db(expected, run_model(candidate.files[0], feeds)[0]))

    options = asked(AccuracyMode.GUARD, evaluate=True, max_drop=35.0)
    result = quantize(source, batches(), options, tmp_path / "job", evaluate=evaluate)
    told = result.report.accuracy
    assert told is not None
    assert (told.floor.original_metric, told.floor.min_metric) == (60.0, 25.0)
    assert told.held
    assert found(source, result) > 22.0
    assert asked_for[0].number is None
    assert [trial.metric is not None for trial in told.trials] == [True] * len(told.trials)


@pytest.mark.parametrize("options", [DynamicOptions(verify=VerifyOptions(min_sqnr_db=45.0))])
def test_dynamic_results_are_guarded_where_there_is_data(tmp_path: Path, options: Options) -> None:
    graph = GraphBuilder(seed=1)
    data = graph.input("x", ["N", 32])
    for number in range(3):
        data = graph.node("MatMul", [data, graph.weight(f"w{number}", 32, 32)], f"m{number}")
        data = graph.node("Tanh", [data], f"t{number}")
    graph.output("t2", ["N", 32])
    source = tmp_path / "products.onnx"
    onnx.save(graph.model(), source)
    rng = np.random.default_rng(0)
    given = [{"x": rng.standard_normal((2, 32)).astype(np.float32)} for _ in range(12)]
    result = quantize(source, given, options, tmp_path / "job")
    assert result.report.accuracy is not None
    assert result.report.accuracy.searched
    assert result.report.accuracy.departures
    feeds = {"x": rng.standard_normal((4, 32)).astype(np.float32)}
    assert sqnr_db(run_model(source, feeds)[0], run_model(result.path, feeds)[0]) > 40.0


def test_the_search_in_a_process_of_its_own(tmp_path: Path) -> None:
    options, source = asked(AccuracyMode.GUARD), uneven(tmp_path)
    here = quantize(source, batches(), options, tmp_path / "here")
    there = quantize(source, batches(), options, tmp_path / "there", verifier=ContainedVerifier)
    assert here.path.read_bytes() == there.path.read_bytes()


@pytest.mark.parametrize("mode", [AccuracyMode.GUARD, AccuracyMode.AUTO])
def test_a_search_without_time_gives_the_best_that_it_has(
    tmp_path: Path, mode: AccuracyMode
) -> None:
    source = uneven(tmp_path)
    result = quantize(source, batches(), asked(mode), tmp_path / "job", search_seconds=1e-6)
    told = result.report.accuracy
    assert told is not None
    assert (told.searched, told.held) == (True, False)
    assert "no time" in told.message
    assert [trial.number for trial in told.trials if trial.chosen] == [0]


def test_weights_are_not_compared_on_what_they_were_chosen_for(tmp_path: Path) -> None:
    compared: list[Path] = []
    fitted: list[bytes] = []

    class Watched(InProcessVerifier):
        def trials(self, request: ReferenceRequest, timeout: float) -> Trials:
            compared.extend(one.arrays["x"].path for one in request.batches)
            material = job._material()
            fitted.extend(one["x"].tobytes() for one in material.samples())
            return super().trials(request, timeout)

    (workspace := tmp_path / "job").mkdir()
    settings = JobSettings(workspace=workspace)
    source = uneven(tmp_path, between="Relu")
    with open_job(source, asked(AccuracyMode.AUTO), settings, verifier=Watched) as job:
        for batch in batches(16):
            job.observe(batch)
        job.finish()
    read = {path.read_bytes() for path in compared}
    assert len(fitted) >= 4
    assert len(read) >= 4
    assert not read & set(fitted)


def test_a_search_that_cannot_measure_leaves_what_was_asked_for(tmp_path: Path) -> None:
    class Unmeasured(InProcessVerifier):
        def trials(self, request: ReferenceRequest, timeout: float) -> Trials:
            class Failing(InProcessTrials):
                def effects(self, request: EffectsRequest, notify: OnNode | None = None) -> Effects:
                    raise TrialFailed("the process died", died=True)

            return Failing(request)

    options, source = asked(AccuracyMode.GUARD, sensitivity=True), uneven(tmp_path)
    result = quantize(source, batches(), options, tmp_path / "job", verifier=Unmeasured)
    plain = quantize(source, batches(), asked(AccuracyMode.OFF), tmp_path / "off")
    assert result.path.read_bytes() == plain.path.read_bytes()
    told = result.report.accuracy
    assert told is not None
    assert (told.held, told.searched) == (False, False)
    assert "the process died" in told.message


def test_numbers_that_were_decided_are_found_again_in_any_order(tmp_path: Path) -> None:
    source = uneven(tmp_path, between="Relu")
    layers = frozenset({"conv1", "conv2", "conv3"})
    decided = Changes(equalized=True, rounded=layers, corrected=layers)
    options = asked(AccuracyMode.GUARD, decisions=decided.to_json())
    results = [
        quantize(source, given, options, tmp_path / f"job-{number}")
        for number, given in enumerate((batches(), batches()[::-1]))
    ]
    assert results[0].report.digest == results[1].report.digest
    assert results[0].path.read_bytes() == results[1].path.read_bytes()
    plain = quantize(source, batches(), asked(AccuracyMode.OFF), tmp_path / "off")
    assert found(source, results[0]) > found(source, plain) + 10
    assert results[0].report.digest != plain.report.digest
