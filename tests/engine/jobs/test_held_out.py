"""Batches that a result is verified with take no part in its ranges, where there are enough."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from support.engine import NO_SEARCH, Quantized, dynamic, open_here, quantize, static
from support.graphs import Array, normal_batches, residual

from zeropoint.engine import JobSettings, Options, Report, StaticOptions, VerificationState
from zeropoint.engine.jobs.held_out import Chosen
from zeropoint.engine.samples import Retained, content_digest
from zeropoint.sketch import Sketch

SHAPES = {"x": (2, 3, 16, 16)}
AS_ASKED = StaticOptions(accuracy=NO_SEARCH)
Batches = Sequence[dict[str, Array]]


def _loud(count: int, seed: int = 3) -> list[dict[str, Array]]:
    """Batches of which each has a greatest value of its own, above that of all before."""
    batches = normal_batches(SHAPES, count, seed)
    for index, batch in enumerate(batches):
        batch["x"][0, 0, 0, 0] = 10.0 + index
    return batches


def _high(result: Quantized) -> float:
    """The upper end of the input's range."""
    (tensor,) = (tensor for tensor in result.report.plan.tensors if tensor.name == "x")
    assert tensor.high is not None
    return tensor.high


def _expected(batches: Batches, held_out: int) -> float:
    """The greatest value of all but the batches with the smallest digests."""
    ordered = sorted(batches, key=content_digest)
    return max(float(batch["x"].max()) for batch in ordered[held_out:])


def _run(folder: Path, batches: Batches, workspace: Path, **settings: Any) -> Quantized:
    return quantize(residual().save(folder), batches, AS_ASKED, workspace, **settings)


def _held_out(batches: Batches) -> int:
    """How many batches of two samples are held out, by the rule as the module states it."""
    samples = 2 * len(batches)
    starts = [int.from_bytes(content_digest(batch)[:8]) for batch in batches]
    counts = {sum(start < 2**64 >> zeros for start in starts) for zeros in range(64)} - {0}
    allowed = [count for count in counts if 2 * count <= min(32, samples / 4)]
    if samples < 32 or not allowed:
        return 0
    return min(allowed, key=lambda count: (abs(2 * count - min(32, samples / 8)), -count))


@pytest.mark.parametrize(
    ("count", "verifying"), [(1, 1), (2, 1), (7, 4), (15, 4), (16, 0), (40, 0), (80, 0)]
)
@pytest.mark.parametrize("seed", [3, 4])
def test_about_one_sample_in_eight_is_held_out_of_many_and_none_of_few(
    count: int, verifying: int, seed: int, folder: Path, workspace: Path
) -> None:
    """Batches of two samples; of few, half verify, and ranges come from all."""
    batches = _loud(count, seed)
    result = _run(folder, batches, workspace)
    found, calibration = result.report.verification, result.report.calibration
    held_out = _held_out(batches)
    assert (held_out > 0) == (verifying == 0)
    assert held_out <= count / 4
    assert (found.held_out, found.batches) == (held_out > 0, held_out or verifying)
    assert (found.samples, found.independent) == (2 * found.batches, count > 1)
    assert calibration is not None
    assert (calibration.batches, calibration.held_out) == (count - held_out, held_out)
    assert _high(result) == pytest.approx(_expected(batches, held_out), rel=1e-6)


def test_one_large_batch_in_several_is_held_out(folder: Path, workspace: Path) -> None:
    """Batches of 32 samples."""
    batches = normal_batches({"x": (32, 3, 16, 16)}, 5)
    for count, held_out in ((3, 0), (4, 1), (5, 1)):
        result = _run(folder, batches[:count], workspace / str(count))
        calibration = result.report.calibration
        assert calibration is not None
        assert (calibration.batches, calibration.held_out) == (count - held_out, held_out)
        assert (result.report.verification.samples, result.report.verification.batches) == (32, 1)


def test_order_threads_and_how_batches_are_cut_decide_nothing(
    folder: Path, workspace: Path
) -> None:
    batches = _loud(36)
    first = _run(folder, batches, workspace / "first")
    for seed in (1, 2):
        Random(seed).shuffle(batches)
        again = _run(
            folder, batches, workspace / str(seed), threads=seed, observe_bytes=200_000 * seed
        )
        assert again.path.read_bytes() == first.path.read_bytes()
        assert again.report.calibration == first.report.calibration
        assert again.report.verification.batches == first.report.verification.batches


def test_a_batch_that_is_sent_again_is_held_out_with_its_copies(
    folder: Path, workspace: Path
) -> None:
    batches = _loud(36)
    smallest = min(batches, key=content_digest)
    result = _run(folder, [*batches, smallest, smallest], workspace)
    assert result.report.calibration is not None
    calibration, verifying = result.report.calibration, result.report.verification.batches
    assert calibration.batches + calibration.held_out == 38
    assert calibration.held_out == verifying + 2


def test_one_batch_sent_many_times_is_not_held_out(folder: Path, workspace: Path) -> None:
    result = _run(folder, normal_batches(SHAPES, 1) * 40, workspace)
    assert not result.report.verification.held_out
    assert result.report.calibration is not None
    assert result.report.calibration.batches == 40


def test_a_batch_that_is_sent_many_times_takes_the_memory_of_one(
    folder: Path, workspace: Path
) -> None:
    """Statistics of copies are added up at once."""
    settings = JobSettings(workspace=workspace)
    made: list[Sketch] = []
    copy = Sketch.empty_copy

    def counted(sketch: Sketch) -> Sketch:
        made.append(copy(sketch))
        return made[-1]

    with (
        pytest.MonkeyPatch.context() as patch,
        open_here(residual().save(folder), static(), settings) as job,
    ):
        patch.setattr(Sketch, "empty_copy", counted)
        for batch in normal_batches(SHAPES, 1) * 200:
            job.observe(batch)
        report = job.finish().report
    assert report.calibration is not None
    assert report.calibration.batches == 200
    assert 0 < len(made) <= 2 * report.calibration.tensors


def test_statistics_that_are_kept_give_the_same_bytes(folder: Path, workspace: Path) -> None:
    source, batches = residual().save(folder), _loud(40)
    (workspace / "kept").mkdir()
    settings = JobSettings(workspace=workspace / "kept", keep_calibration=True)
    with open_here(source, static(), settings) as job:
        for batch in batches:
            job.observe(batch)
        kept = job.finish()
    assert kept.calibration is not None
    plain = quantize(source, batches, static(), workspace / "plain")
    (workspace / "again").mkdir()
    settings = JobSettings(workspace=workspace / "again")
    with open_here(source, static(), settings, kept.calibration) as job:
        again = job.finish()
    contents = {kept.files[0].read_bytes(), plain.path.read_bytes(), again.files[0].read_bytes()}
    assert len(contents) == 1


@pytest.mark.parametrize("options", [StaticOptions(), dynamic()])
@pytest.mark.parametrize("count", [3, 40])
def test_batches_given_for_verification_are_used_for_that_alone(
    options: Options, count: int, folder: Path, workspace: Path
) -> None:
    settings = JobSettings(workspace=workspace)
    with open_here(residual().save(folder), options, settings) as job:
        for batch in normal_batches(SHAPES, count):
            job.submit(batch)
        for batch in normal_batches(SHAPES, 2, seed=99):
            job.submit({"x": batch["x"] * 100}, verify_only=True)
        job.submit({"x": np.zeros((1, 2), np.float32)}, verify_only=True)
        report = job.finish().report
    assert (report.verification.held_out, report.verification.batches) == (True, 2)
    assert [each.reason for each in report.rejected] == ["BATCH_SHAPE"]
    if report.calibration is not None:
        assert report.calibration.batches == count
        assert all(tensor.high is None or tensor.high < 50 for tensor in report.plan.tensors)


def test_batches_that_are_not_finite_are_kept_only_where_all_are(
    folder: Path, workspace: Path
) -> None:
    batches = normal_batches(SHAPES, 12)
    for index in range(1, 12):
        batches[index]["x"][0, 0, 0, 0] = np.nan
    some = _run(folder, batches, workspace / "some").report
    assert some.verification.batches == 1
    assert some.verification.non_finite_batches == tuple(range(2, 13))
    assert (some.verification.sqnr_db or 0) > 20
    every = _run(folder, batches[1:], workspace / "every").report
    assert every.verification.batches == 4


def test_memory_for_verification_bounds_what_is_held_out(folder: Path, workspace: Path) -> None:
    batches = _loud(40)
    nbytes = batches[0]["x"].nbytes
    two = _run(folder, batches, workspace / "two", retained_bytes=2 * nbytes)
    assert two.report.verification.batches == 1
    assert two.report.calibration is not None
    assert two.report.calibration.batches == 39
    none = _run(folder, batches, workspace / "none", retained_bytes=nbytes - 1)
    assert not none.report.verification.held_out
    assert none.report.calibration is not None
    assert none.report.calibration.batches == 40


def _moved(report: Report) -> tuple[float, list[str]]:
    assert report.calibration is not None
    assert report.calibration.convergence is not None
    codes = [warning.code for warning in report.warnings if warning.code == "RANGES_MOVING"]
    return report.calibration.convergence.moving_share, codes


def _of_digest(batches: Batches, *, small: bool) -> Batches:
    return [batch for batch in batches if (content_digest(batch)[0] < 128) is small][:4]


def test_the_report_says_how_far_the_ranges_still_moved(folder: Path, workspace: Path) -> None:
    """Whatever their order, the batches with the smallest digests are taken for the last."""
    plain = normal_batches(SHAPES, 40)
    wide = [{"x": batch["x"] * 50} for batch in normal_batches(SHAPES, 40, seed=1)]
    last_are_plain = [*_of_digest(plain, small=True), *_of_digest(wide, small=False)]
    assert _moved(_run(folder, last_are_plain, workspace / "plain").report) == (0.0, [])
    last_are_wide = [*_of_digest(wide, small=True), *_of_digest(plain, small=False)]
    share, codes = _moved(_run(folder, last_are_wide, workspace / "wide").report)
    assert share > 0.8
    assert codes == ["RANGES_MOVING"]
    alone = _run(folder, normal_batches(SHAPES, 1), workspace / "alone").report
    assert alone.calibration is not None
    assert alone.calibration.convergence is None


def _chosen(
    folder: Path, batches: Batches, options: Options, workspace: Path, given: Batches = ()
) -> Chosen:
    """What serves for what, once all batches have come."""
    with open_here(residual().save(folder), options, JobSettings(workspace=workspace)) as job:
        for batch in batches:
            job.submit(batch)
        for batch in given:
            job.submit(batch, verify_only=True)
        job.drain()
        return job._settle().chosen


def _samples(kept: Sequence[Retained]) -> int:
    return sum(each.samples for each in kept)


@pytest.mark.parametrize("count", [3, 7, 40, 80])
def test_candidates_are_compared_on_samples_that_do_not_verify(
    count: int, folder: Path, workspace: Path
) -> None:
    """Of 64 samples that are kept, or of all where there are less."""
    batches = normal_batches(SHAPES, count)
    chosen = _chosen(folder, batches, static(), workspace)
    assert chosen.independent
    assert len(chosen.batches) == (_held_out(batches) or (count + 1) // 2)
    assert _samples(chosen.choosing + chosen.batches) == min(64, 2 * count)
    assert all(kept.stored.load()["x"].shape == SHAPES["x"] for kept in chosen.choosing)


def test_one_batch_serves_for_everything(folder: Path, workspace: Path) -> None:
    chosen = _chosen(folder, normal_batches(SHAPES, 1), static(), workspace)
    assert chosen.choosing == chosen.batches
    assert not chosen.independent


@pytest.mark.parametrize("options", [static(), dynamic()])
def test_batches_given_for_verification_choose_nothing(
    options: Options, folder: Path, workspace: Path
) -> None:
    given = normal_batches(SHAPES, 3, seed=9)
    chosen = _chosen(folder, normal_batches(SHAPES, 5), options, workspace, given)
    assert sorted(kept.digest for kept in chosen.batches) == sorted(map(content_digest, given))
    assert (_samples(chosen.choosing), chosen.held_out, chosen.independent) == (10, True, True)


def test_half_of_what_is_given_chooses_where_there_is_nothing_else(
    folder: Path, workspace: Path
) -> None:
    given = normal_batches(SHAPES, 6)
    chosen = _chosen(folder, (), dynamic(), workspace, given)
    assert (_samples(chosen.batches), _samples(chosen.choosing)) == (6, 6)
    assert chosen.independent


def test_nothing_is_kept_where_nothing_is_to_be(folder: Path, workspace: Path) -> None:
    result = _run(folder, normal_batches(SHAPES, 40), workspace, retained_samples=0)
    found = result.report.verification
    assert (found.state, found.held_out) == (VerificationState.GENERATED, False)
    assert "there are no samples" in found.message
    assert result.report.calibration is not None
    assert result.report.calibration.batches == 40


def test_batches_that_are_given_twice_are_not_independent(folder: Path, workspace: Path) -> None:
    batches = normal_batches(SHAPES, 5)
    chosen = _chosen(folder, batches, static(), workspace, batches[:2])
    assert chosen.held_out
    assert not chosen.independent
