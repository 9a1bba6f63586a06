"""What default options leave of models' work: task metrics and speed beside the float model.

Static quantization without any option, and dynamic quantization without any. Sessions have default
options and one thread, and run in turns; their time is that of the thread, so that what else runs
counts little.
"""

import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from support.engine import quantize

from benchmarks.effort import Effort
from benchmarks.other_tasks import other_tasks
from benchmarks.page_tasks import page_tasks
from benchmarks.table import Budget, Ratio, Row
from benchmarks.tasks import Run, Task, runner
from benchmarks.timing import in_turns, milliseconds, own_seconds, ratio
from zeropoint.engine import DynamicOptions, StaticOptions

_KEPT = Budget(0.98, at_least=True)
_NOT_SLOWER = {"static": None, "dynamic": Budget(1.05)}
_LEAST_SECONDS = 0.01  # of one measurement: smaller models are run several times


def run(effort: Effort) -> Iterator[Row]:
    """Measure every task."""
    for task in chain(page_tasks(), other_tasks()):
        with tempfile.TemporaryDirectory() as folder:
            yield from _measure(task, Path(folder), effort)


def _measure(task: Task, folder: Path, effort: Effort) -> Iterator[Row]:
    source, calibration = task.path(), task.calibration(effort.task_samples // 2)
    paths = {
        "float": source,
        "static": quantize(source, calibration, StaticOptions(), folder / "static").path,
        "dynamic": quantize(source, (), DynamicOptions(), folder / "dynamic").path,
    }
    runs = {name: runner(path) for name, path in paths.items()}
    original = runs["float"]
    scores = {name: task.score(effort.task_samples, run, original) for name, run in runs.items()}
    repeated = max(1, round(_LEAST_SECONDS / own_seconds(lambda: original(calibration[0]))))

    def timed(run: Run) -> Callable[[], float]:
        return lambda: own_seconds(lambda: [run(calibration[0]) for _ in range(repeated)])

    times = in_turns({name: timed(run) for name, run in runs.items()}, 3 * effort.rounds)
    for name in ("static", "dynamic"):
        kept = scores[name] / scores["float"]
        yield Row(
            benchmark="zoo",
            case=f"{task.name}, {name}: {task.metric}",
            ours=f"{scores[name]:.3f}",
            against=f"{scores['float']:.3f} float model",
            ratio=Ratio(kept, kept, kept),
            budget=_KEPT,
        )
        yield Row(
            benchmark="zoo",
            case=f"{task.name}, {name}: latency",
            ours=milliseconds(times[name], repeated),
            against=f"{milliseconds(times['float'], repeated)} float model",
            ratio=ratio(times[name], times["float"]),
            budget=_NOT_SLOWER[name],
        )
