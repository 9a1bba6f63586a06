"""Batches that only verify, from the call or the command line to the report of a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.graphs import normal_batches, residual

from zeropoint.client import QuantizationClient, embedded, quantize_static
from zeropoint.client.cli.app import app

BATCHES = normal_batches({"x": (2, 3, 16, 16)})


@pytest.fixture(scope="module", autouse=True)
def _own_server() -> Iterator[None]:
    yield
    embedded.stop()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return residual().save(tmp_path)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.onnx"


def test_batches_that_only_verify_with_data_and_with_a_cache(
    model: Path, output: Path, tmp_path: Path
) -> None:
    """Loud ones widen no range, whatever the rest comes from."""
    loud = [{name: array * 50 for name, array in batch.items()} for batch in BATCHES[:2]]
    cache = tmp_path / "model.zpcal"
    plain = quantize_static(model, output, BATCHES)
    expected = plain.model.read_bytes()
    for data, verifying in ((BATCHES, 2), (None, 1)):  # candidates need some, too
        result = quantize_static(
            *(model, output, data),
            calibration_cache_path=cache,
            verification_data=loud,
            accuracy="off",
        )
        assert result.model.read_bytes() == expected
        verification = result.report.verification
        assert (verification.held_out, verification.batches) == (True, verifying)
        assert verification.state.value == "compared"
        assert not result.rejected


def test_batches_that_only_verify_on_the_command_line(
    model: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loud ones in an .npz, samples of another count, and one batch a file."""
    folder = model.parent
    samples = np.concatenate([batch["x"] for batch in BATCHES])
    np.savez(folder / "data.npz", x=samples)
    np.savez(folder / "loud.npz", x=samples[:6] * 50)
    (folder / "batches").mkdir()
    np.savez(folder / "batches" / "loud.npz", x=samples[:6] * 50)
    expected = quantize_static(model, output, [{"x": samples}]).model.read_bytes()
    static = ["quantize", "static", str(model), str(output), "--json", "--batch-size", "3"]
    static += ["--accuracy", "off"]
    here = ["--data", f"{folder}/data.npz", "--server", embedded.endpoint().target]
    for name, count in (("loud.npz", 2), ("batches", 1)):
        verifying = ["--verification-data", str(folder / name)]
        with pytest.raises(SystemExit) as ended:
            app([*static, *here, *verifying])
        assert ended.value.code == 0
        verification = json.loads(capsys.readouterr().out)["report"]["verification"]
        assert (verification["held_out"], verification["batches"]) == (True, count)
        assert output.read_bytes() == expected


def test_a_server_says_that_batches_may_only_verify() -> None:
    with QuantizationClient() as client:
        assert "verification_only" in client.server_info().features
