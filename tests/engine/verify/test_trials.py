"""Candidates are measured as results are verified, as many as wanted."""

import dataclasses
from pathlib import Path

import onnx
import pytest
from support.graphs import normal_batches
from support.quantized import CLASSIFIER_NODES, classifier
from support.trials import candidate, reference_of

from zeropoint.engine.verify import (
    InProcessTrials,
    ReferenceRequest,
    TrialFailed,
    TrialRequest,
    VerifyRequest,
    verify,
)


def _reference(folder: Path, count: int = 3) -> ReferenceRequest:
    path = folder / "original.onnx"
    onnx.save(classifier(quantized=False).model(), path)
    return reference_of(path, normal_batches({"x": (4, 3, 8, 8)}, count=count))


def test_the_figures_are_those_of_the_verification(tmp_path: Path) -> None:
    reference = _reference(tmp_path)
    good, bad = candidate(tmp_path, "good"), candidate(tmp_path, "bad", error=2.0)
    trials = InProcessTrials(reference)
    measured = [trials.measure(request) for request in (good, bad, good)]
    trials.close()
    assert measured[0] == measured[2]
    for request, found in zip((good, bad), measured, strict=False):
        whole = VerifyRequest(reference=reference, shipped=request.shipped, nodes=CLASSIFIER_NODES)
        expected = verify(whole)
        assert found.outputs == expected.verification.outputs
        assert found.sqnr_db == expected.verification.sqnr_db
        assert found.kernels == expected.verification.kernels
        assert found.float_nodes == expected.float_nodes
        assert found.integer_share == expected.verification.integer_share == 1.0
        assert found.nbytes == request.shipped.stat().st_size
    assert {file.suffix for file in reference.scratch.iterdir()} == {".batch"}


def test_a_candidate_that_does_not_load_is_told(tmp_path: Path) -> None:
    trials = InProcessTrials(_reference(tmp_path))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(TrialFailed, match="does not load"):
        trials.measure(TrialRequest(shipped=broken))
    with pytest.raises(TrialFailed, match="cannot be timed"):
        trials.speed([broken])
    good = candidate(tmp_path, "good")
    assert trials.measure(good).outputs


def test_without_samples_kernels_are_counted_and_nothing_is_compared(tmp_path: Path) -> None:
    trials = InProcessTrials(_reference(tmp_path, count=0))
    measured = trials.measure(candidate(tmp_path, "good"))
    assert (measured.outputs, measured.sqnr_db) == ((), None)
    assert [count.integer for count in measured.kernels] == [1, 1]
    assert measured.integer_share is None  # of an unknown number of samples
    assert trials.speed([tmp_path / "good.onnx"]) == ()


@pytest.mark.parametrize("side_by_side", [True, False])
def test_candidates_are_timed_together(side_by_side: bool, tmp_path: Path) -> None:
    request = dataclasses.replace(_reference(tmp_path, count=1), side_by_side=side_by_side)
    trials = InProcessTrials(request)
    paths = [candidate(tmp_path, name).shipped for name in ("one", "two")]
    speeds = trials.speed(paths)
    assert len(speeds) == 2
    assert speeds[0].float_ms == speeds[1].float_ms > 0
    for speed in speeds:
        assert speed.ratio == pytest.approx(speed.result_ms / speed.float_ms)
        assert speed.runs >= 3
