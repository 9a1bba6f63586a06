"""Silero VAD with everything inside If, by sample rate: as good as the same network without."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import models
from support.engine import (
    NO_SEARCH,
    Feeds,
    Quantized,
    dynamic,
    open_here,
    quantize,
    run,
    sqnr_db,
    static,
)

from zeropoint.engine import JobSettings, Options, VerificationState

THEN, ELSE = "If_0_then_branch__Inline_0__", "If_0_else_branch__Inline_0__"


def silero(name: str) -> Path:
    return next(models.folder(models.SILERO).rglob(name))


def sounds(count: int, rate: int = 16000, seed: int = 0) -> Iterator[Feeds]:
    """Tones in noise, with some state from before: input float [2, S], state float [2, 2, 128]."""
    rng = np.random.default_rng(seed)
    samples = 576 * rate // 16000
    for _ in range(count):
        time = np.arange(samples) / rate
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(80, 2000, (2, 1)) * time)
        noise = 0.05 * rng.standard_normal((2, samples))
        yield {
            "input": (tone + noise).astype(np.float32),
            "state": (0.5 * rng.standard_normal((2, 2, 128))).astype(np.float32),
            "sr": np.array(rate),
        }


def convolutions(result: Quantized, branch: str) -> list[str]:
    return [
        state
        for (name, state), node in zip(
            result.states().items(), result.report.plan.nodes, strict=True
        )
        if node.op_type == "Conv" and name.startswith(branch)
    ]


@pytest.mark.parametrize(
    ("options", "integer", "other"),
    [(static(per_channel=True), 5, "NEVER_RUN"), (dynamic(per_channel=True), 0, "quantized")],
    ids=["static", "dynamic"],
)
def test_branches_are_as_good_as_the_plain_network(
    tmp_path: Path, options: Options, integer: int, other: str
) -> None:
    batches = list(sounds(8))
    result = quantize(silero("silero_vad.onnx"), batches, options, tmp_path / "if")
    plain = quantize(silero("silero_vad_16k_op15.onnx"), batches, options, tmp_path / "plain")
    assert convolutions(result, THEN) == ["quantized"] * 6
    assert convolutions(result, ELSE) == [other] * 6
    verification, expected = result.report.verification, plain.report.verification
    assert verification.state is VerificationState.COMPARED
    kernels = {k.op_type: (k.nodes, k.integer) for k in verification.kernels}
    assert kernels["Conv"] == (12, integer)
    assert (verification.sqnr_db or 0) > 20
    assert verification.sqnr_db == pytest.approx(expected.sqnr_db, abs=0.5)
    figures = {node.name.removeprefix(THEN): node.similarity.sqnr_db for node in verification.nodes}
    plain_figures = {
        node.name.removeprefix("/model"): node.similarity.sqnr_db for node in expected.nodes
    }
    assert figures == pytest.approx(plain_figures, abs=0.5)


def test_both_rates_with_batches_of_both(tmp_path: Path) -> None:
    batches = [*sounds(6), *sounds(6, 8000)]
    options = static(per_channel=True, accuracy=NO_SEARCH)
    result = quantize(silero("silero_vad.onnx"), batches, options, tmp_path / "job")
    assert [(k.nodes, k.integer) for k in result.report.verification.kernels] == [(12, 10)]
    for rate, least in (
        (16000, 15.0),
        (8000, 6.0),
    ):  # of other sounds, where most answers are near 0
        given = list(sounds(12, rate, seed=1))
        expected, got = (
            np.concatenate([run(path, feeds)[0] for feeds in given])
            for path in (result.source, result.path)
        )
        assert sqnr_db(expected, got) > least


def test_other_branch_is_untouched(tmp_path: Path) -> None:
    source = silero("silero_vad.onnx")
    result = quantize(source, sounds(2), static(per_channel=True), tmp_path / "job")
    feeds = next(sounds(1, 8000))
    for one, other in zip(run(source, feeds), run(result.path, feeds), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_again_without_data(tmp_path: Path) -> None:
    source = silero("silero_vad.onnx")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    settings = JobSettings(workspace=tmp_path / "first", keep_calibration=True)
    with open_here(source, static(per_channel=True), settings) as job:
        for batch in sounds(4):
            job.observe(batch)
        first = job.finish()
    again = JobSettings(workspace=tmp_path / "second")
    with open_here(source, static(per_channel=True), again, first.calibration) as job:
        second = job.finish()
    assert first.files[0].read_bytes() == second.files[0].read_bytes()
    assert second.report.digest == first.report.digest
