"""Trials survive whatever a candidate does to their process, and go on in another one."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import onnx
import psutil
import pytest
from support.full_disk import largest_file
from support.graphs import normal_batches
from support.quantized import classifier, endless
from support.trials import alone, candidate, reference_of

from zeropoint.engine.errors import ResourceError
from zeropoint.engine.verify import (
    ContainedTrials,
    EffectsRequest,
    InProcessTrials,
    ReferenceRequest,
    TrialFailed,
    TrialRequest,
)

PATIENT, HASTY = 300.0, 2.0


@pytest.fixture
def request_of(tmp_path: Path) -> ReferenceRequest:
    path = tmp_path / "original.onnx"
    onnx.save(classifier(quantized=False).model(), path)
    return reference_of(path, normal_batches({"x": (4, 3, 8, 8)}, count=2))


@pytest.fixture
def trials(request_of: ReferenceRequest) -> Iterator[ContainedTrials]:
    trials = ContainedTrials(request_of, PATIENT)
    yield trials
    trials.close()


def test_the_answers_are_those_of_this_process(
    trials: ContainedTrials, request_of: ReferenceRequest, tmp_path: Path
) -> None:
    here = InProcessTrials(request_of)
    assert trials.reference == here.reference
    good, bad = candidate(tmp_path, "good"), candidate(tmp_path, "bad", error=2.0)
    for request in (good, bad, good):
        assert trials.measure(request) == here.measure(request)
    assert request_of.original is not None
    effects = EffectsRequest(model=alone(request_of.original))
    told: list[tuple[int, int]] = []
    assert trials.effects(effects, lambda *done: told.append(done)) == here.effects(effects)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    speeds = trials.speed([good.shipped, bad.shipped])
    assert [speed.float_ms > 0 for speed in speeds] == [True, True]
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(TrialFailed, match="does not load") as caught:
        trials.measure(TrialRequest(shipped=broken))
    assert not caught.value.died
    assert trials.measure(good).outputs


def test_after_a_crash_another_process_goes_on_with_what_the_original_gave(
    trials: ContainedTrials, request_of: ReferenceRequest, tmp_path: Path
) -> None:
    good = candidate(tmp_path, "good")
    before, pid = trials.measure(good), trials.pid
    assert pid is not None
    onnx.save(endless().model(), tmp_path / "endless.onnx")
    killer = threading.Timer(0.2, os.kill, (pid, signal.SIGSEGV))
    killer.start()
    with pytest.raises(TrialFailed, match=r"measuring endless.onnx crashed \(SIGSEGV\)") as caught:
        trials.measure(TrialRequest(shipped=tmp_path / "endless.onnx"))
    killer.join()
    assert caught.value.died
    assert trials.pid is None
    assert request_of.original is not None
    request_of.original.unlink()  # it is not run again
    assert trials.measure(good) == before
    assert trials.pid not in (None, pid)


def test_what_takes_too_long_is_ended(request_of: ReferenceRequest, tmp_path: Path) -> None:
    trials = ContainedTrials(request_of, HASTY)
    assert trials.reference.batches
    child = psutil.Process(trials.pid)
    onnx.save(endless().model(), tmp_path / "endless.onnx")
    with pytest.raises(TrialFailed, match=f"measuring endless.onnx took more than {HASTY:g} s"):
        trials.measure(TrialRequest(shipped=tmp_path / "endless.onnx"))
    assert not child.is_running()
    trials.close()


def test_an_original_that_crashes_is_told(request_of: ReferenceRequest) -> None:
    assert request_of.original is not None
    onnx.save(endless().model(), request_of.original)
    trials = ContainedTrials(request_of, PATIENT)
    assert trials.pid is not None
    os.kill(trials.pid, signal.SIGABRT)
    with pytest.raises(TrialFailed, match=r"running the original model crashed \(SIGABRT\)"):
        _ = trials.reference
    trials.close()


def test_trials_can_be_ended_while_they_run(
    trials: ContainedTrials, request_of: ReferenceRequest, tmp_path: Path
) -> None:
    assert trials.reference.batches
    child = psutil.Process(trials.pid)
    assert len(list(request_of.scratch.glob("original-*.output"))) == 4
    onnx.save(endless().model(), tmp_path / "endless.onnx")
    ender = threading.Timer(0.2, trials.close)
    ender.start()
    with pytest.raises(TrialFailed):
        trials.measure(TrialRequest(shipped=tmp_path / "endless.onnx"))
    ender.join()
    assert not child.is_running()
    assert not list(request_of.scratch.glob("*.output"))
    with pytest.raises(TrialFailed, match="were ended"):
        trials.measure(candidate(tmp_path, "good"))


def test_a_full_disk_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "original.onnx"
    onnx.save(classifier(quantized=False).model(), path)
    batches = normal_batches({"x": (4096, 3, 8, 8)}, count=1)  # whose logits take 80 KiB
    request = reference_of(path, batches)
    with largest_file(32 << 10):
        trials = ContainedTrials(request, PATIENT)
        with pytest.raises(ResourceError) as caught:
            _ = trials.reference
    trials.close()
    assert caught.value.reason == "SCRATCH_FULL"
