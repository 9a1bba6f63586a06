"""What one model of the bench of accuracy is worth: measured in a process of its own."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from benchmarks.all_tasks import all_tasks
from benchmarks.sides import SIDES
from benchmarks.tasks import Batch, runner
from zeropoint.engine import Report
from zeropoint.engine.protobuf import all_nodes
from zeropoint.engine.samples import store_batch
from zeropoint.engine.verify import InProcessTrials, ReferenceRequest, TrialRequest

_LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def measure(task: str, side: str, samples: int) -> dict[str, Any]:
    """Quantize the model of a task, and measure what came out.

    Args:
        task: Name of the task.
        side: Name of what quantizes.
        samples: That the score is of; half as many calibrate, and another quarter, which took no
            part in anything, gives the other figures.

    Returns:
        Figures by name; see `benchmarks.accuracy`.
    """
    chosen = all_tasks()[task]
    source = chosen.path()
    batches = list(chosen.calibration(samples * 3 // 4))
    ranges = len(batches) * 2 // 3
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "job"
        work.mkdir()
        begin = time.perf_counter()
        path, report = SIDES[side](source, batches[:ranges], work)
        seconds = time.perf_counter() - begin
        original = runner(source)
        run = original if path == source else runner(path)
        figures: dict[str, Any] = {
            "seconds": seconds,
            "score": chosen.score(samples, run, original),
        }
        figures |= _beside(source, path, batches[ranges:], Path(folder))
    return figures | _told(report)


def _beside(
    source: Path, path: Path, batches: Sequence[Batch], folder: Path
) -> dict[str, float | None]:
    """Return what the result is beside the original: noise, size, time, arithmetic."""
    scratch = folder / "scratch"
    scratch.mkdir()
    stored = [
        store_batch(batch, scratch / f"{number}.batch", number)
        for number, batch in enumerate(batches, 1)
    ]
    request = ReferenceRequest(original=source, scratch=scratch, batches=tuple(stored))
    trials = InProcessTrials(request)
    found = trials.measure(TrialRequest(shipped=path, nodes=_layers(path)))
    [speed] = trials.speed([path])
    trials.close()
    samples = [output.by_sample for output in found.outputs if output.by_sample is not None]
    agreements = [output.decisions.agreement for output in found.outputs if output.decisions]
    return {
        "sqnr_db": found.sqnr_db,
        "tenth_db": min((each.tenth_db for each in samples), default=None),
        "agreement": min(agreements, default=None),
        "size": found.nbytes / _bytes(source),
        "latency": speed.ratio,
        "share": found.integer_share,
    }


def _layers(path: Path) -> dict[str, str]:
    model = onnx.load(path, load_external_data=False)
    layers = (node for node in all_nodes(model.graph) if node.op_type in _LAYERS)
    return {node.name: node.op_type for node in layers if node.name}


def _bytes(path: Path) -> int:
    data = path.with_name(f"{path.name}.data")
    return sum(file.stat().st_size for file in (path, data) if file.is_file())


def _told(report: Report | None) -> dict[str, Any]:
    """Return what the report says of the search."""
    if report is None or report.accuracy is None:
        return {}
    accuracy = report.accuracy
    return {
        "held": accuracy.held,
        "trials": len(accuracy.trials),
        "remedies": [
            f"{departure.remedy}: {len(departure.nodes)}" for departure in accuracy.departures
        ],
        "message": accuracy.message,
    }
