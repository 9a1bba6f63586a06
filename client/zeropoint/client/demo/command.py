"""The demo: two models quantized over gRPC, then real text read before and after."""

import os
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from zeropoint.client import QuantType, quantize_static
from zeropoint.client.demo.display import present
from zeropoint.client.demo.errors import DemoError
from zeropoint.client.demo.images import Floats, crop
from zeropoint.client.demo.measure import compare_latency, compare_text
from zeropoint.client.demo.models import DETECTOR, PP_OCR, RECOGNIZER, fetch
from zeropoint.client.demo.ocr import Reader, detector_input, open_reader, recognizer_input
from zeropoint.client.demo.outcome import DemoOutcome, Job, ModelOutcome
from zeropoint.client.demo.pages import Page, pages
from zeropoint.client.options import StaticKeywords

OPTIONS = StaticKeywords(per_channel=True, weight_type=QuantType.QInt8, reduce_range=True)
"""Int8 weights in 7 bits, a scale for each channel: fast on every CPU, and none saturates."""
THREADS = 1
"""Threads of each inference that is timed."""
READ_PAGES = 3
"""Pages that both pipelines read."""
FIRST_READ_SEED = 1000
"""Seed of the first of them; calibration starts at 0."""


def run(
    console: Console,
    *,
    models: Path | None,
    server: str | None,
    json_output: bool,
    samples: int,
) -> int:
    """Quantize the PP-OCRv4 detector and recogniser, compare what is read, and print it.

    Args:
        console: Where tables, or the JSON document, go.
        models: As for `demonstrate`.
        server: As for `demonstrate`.
        json_output: Print one JSON document and nothing else.
        samples: As for `demonstrate`.

    Returns:
        Exit code: 0 when both pipelines read the same text, else 1.

    Raises:
        ZeropointError: as for `demonstrate`.
    """
    log = Console(quiet=True) if json_output else console
    outcome = demonstrate(log, models=models, server=server, samples=samples)
    return present(console, outcome, json_output=json_output)


def demonstrate(
    log: Console, *, models: Path | None, server: str | None, samples: int
) -> DemoOutcome:
    """Quantize both models and compare the pipelines.

    Args:
        log: Told what is being done.
        models: Folder that holds both ONNX files, or in which to keep them; None: the user's
            cache folder.
        server: Address of a Zeropoint server; None: one is started for the demo.
        samples: Pages drawn for calibration, at least 1.

    Raises:
        DemoError: the models cannot be had, or a package is not installed.
        ZeropointError: quantization failed.
    """
    started = time.perf_counter()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    _require("onnxruntime", "PIL", "font_roboto")
    folder = _model_folder(models, log)
    sources = folder / DETECTOR, folder / RECOGNIZER
    with tempfile.TemporaryDirectory() as scratch:
        targets = Path(scratch) / "detector.onnx", Path(scratch) / "recogniser.onnx"
        before = open_reader(*sources, threads=THREADS)
        jobs = _quantize(before, list(pages(samples)), sources, targets, server, log)
        after = open_reader(*targets, threads=THREADS)
    log.print(f"Reading {READ_PAGES} other pages before and after...")
    drawn = list(pages(READ_PAGES, first=FIRST_READ_SEED))
    lines = tuple(compare_text(before, after, drawn))
    outcomes = _time(before, after, drawn[0], jobs)
    return DemoOutcome(outcomes, lines, THREADS, time.perf_counter() - started)


def _require(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise DemoError(
            "DEPENDENCY_MISSING",
            f"The demo needs {', '.join(missing)}: pip install 'zeropoint[server,demo]'.",
            {"packages": ",".join(missing)},
        )


def _model_folder(models: Path | None, log: Console) -> Path:
    if models and all((models / name).is_file() for name in (DETECTOR, RECOGNIZER)):
        return models
    log.print(f"PP-OCRv4 from {PP_OCR.package} {PP_OCR.version}, fetched if not yet there...")
    return fetch(PP_OCR, models)


def _quantize(
    reader: Reader,
    drawn: Sequence[Page],
    sources: Sequence[Path],
    targets: Sequence[Path],
    server: str | None,
    log: Console,
) -> list[Job]:
    """Quantize both models; the recogniser is calibrated on what the float detector finds."""
    found = [detector_input(page.image) for page in drawn]
    lines = [
        recognizer_input(crop(page.image, box))
        for page in drawn
        for box in reader.boxes(page.image)
    ]
    sessions = (reader.detector, reader.recognizer)
    return [
        _quantize_one(source, target, session.get_inputs()[0].name, inputs, server, log)
        for source, target, session, inputs in zip(
            sources, targets, sessions, (found, lines), strict=True
        )
    ]


def _quantize_one(
    source: Path,
    target: Path,
    name: str,
    inputs: Sequence[Floats],
    server: str | None,
    log: Console,
) -> Job:
    log.print(
        f"Quantizing the {target.stem} over gRPC, {len(inputs)} batches of calibration data..."
    )
    started = time.perf_counter()
    batches = [{name: value} for value in inputs]
    result = quantize_static(source, target, batches, server=server, **OPTIONS)
    return Job(target.stem, result.report, len(batches), time.perf_counter() - started)


def _time(
    before: Reader, after: Reader, page: Page, jobs: Sequence[Job]
) -> tuple[ModelOutcome, ...]:
    line = crop(page.image, page.lines[0].box)
    latencies = (
        compare_latency(before.detector, after.detector, detector_input(page.image)),
        compare_latency(before.recognizer, after.recognizer, recognizer_input(line)),
    )
    return tuple(map(ModelOutcome, jobs, latencies))
