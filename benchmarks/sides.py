"""What quantizes in the bench of accuracy: this project in three modes, and others."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import quantization

from benchmarks import competitor
from benchmarks.child import ROOT
from benchmarks.tasks import Batch
from zeropoint.engine import (
    AccuracyMode,
    AccuracyOptions,
    JobSettings,
    Report,
    StaticOptions,
    open_job,
)

Side = Callable[[Path, Sequence[Batch], Path], tuple[Path, Report | None]]
"""Given a model, calibration data and an empty folder, returns the result and its report."""

NNCF_PYTHON = Path(os.environ.get("NNCF_PYTHON") or ROOT / ".venv-nncf" / "bin" / "python")
"""The interpreter that has NNCF; `make accuracy` makes it."""


def _float(source: Path, _batches: Sequence[Batch], _folder: Path) -> tuple[Path, None]:
    return source, None


def _defaults(source: Path, batches: Sequence[Batch], folder: Path) -> tuple[Path, None]:
    target = folder / "model.onnx"
    competitor.quantize(source, target, batches, "MinMax")
    return target, None


def _per_channel(source: Path, batches: Sequence[Batch], folder: Path) -> tuple[Path, None]:
    prepared, target = folder / "prepared.onnx", folder / "model.onnx"
    try:
        quantization.quant_pre_process(source, prepared)
    except Exception:  # noqa: BLE001 - whatever symbolic shapes raise; users are told to skip them
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
    competitor.quantize(prepared, target, batches, "MinMax", per_channel=True)
    return target, None


def _nncf(correction: str) -> Side:
    def quantize(source: Path, batches: Sequence[Batch], folder: Path) -> tuple[Path, None]:
        given, target = folder / "batches.npz", folder / "model.onnx"
        arrays: dict[str, Any] = {
            f"{index}:{name}": array
            for index, batch in enumerate(batches)
            for name, array in batch.items()
        }
        np.savez(given, **arrays)
        script = Path(__file__).with_name("nncf_side.py")
        command = [str(NNCF_PYTHON), str(script), str(source), str(given), str(target), correction]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
        return target, None

    return quantize


def _zeropoint(mode: AccuracyMode) -> Side:
    def quantize(source: Path, batches: Sequence[Batch], folder: Path) -> tuple[Path, Report]:
        options = StaticOptions(accuracy=AccuracyOptions(mode=mode))
        settings = JobSettings(workspace=folder, threads=os.cpu_count() or 1)
        with open_job(source, options, settings) as job:
            for batch in batches:
                job.submit(batch)
            result = job.finish()
        return result.files[0], result.report

    return quantize


SIDES: dict[str, Side] = {
    "float": _float,
    "ort": _defaults,
    "ort per channel": _per_channel,
    "nncf": _nncf("fast"),
    "nncf full": _nncf("full"),
    "off": _zeropoint(AccuracyMode.OFF),
    "guard": _zeropoint(AccuracyMode.GUARD),
    "auto": _zeropoint(AccuracyMode.AUTO),
}
"""All of them by the name that tables have; per channel is behind ONNX Runtime's pre-processing."""
