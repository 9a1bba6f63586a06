"""What the demo found: frozen values, and their JSON form."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zeropoint.client.report import NodePlan, Report


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians of interleaved runs on one input, in milliseconds."""

    float_ms: float
    quantized_ms: float


@dataclass(frozen=True, slots=True)
class Job:
    """One model quantized.

    Attributes:
        name: "detector" or "recogniser".
        report: What the server says.
        batches: Batches streamed for calibration.
        seconds: The whole job as the client saw it, upload to download.
    """

    name: str
    report: Report
    batches: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ModelOutcome:
    """One model before and after: how it was made, and the time of one inference."""

    job: Job
    latency: Latency


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """A line of a page: what is written there, and what each pipeline reads."""

    written: str
    float_text: str
    quantized_text: str

    @property
    def same(self) -> bool:
        """Whether quantization changed nothing."""
        return self.float_text == self.quantized_text

    @property
    def right(self) -> bool:
        """Whether the float models read what is written."""
        return self.float_text == self.written


@dataclass(frozen=True, slots=True)
class FloatNodes:
    """Nodes that stayed float for one reason.

    Attributes:
        reason: UPPER_SNAKE.
        message: The same for people; one of several where they name their nodes.
        op_types: How many of each operator type, most first.
    """

    reason: str
    message: str
    op_types: dict[str, int]

    @property
    def count(self) -> int:
        """How many nodes."""
        return sum(self.op_types.values())


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """Everything that the demo found.

    Attributes:
        models: Detector and recogniser.
        lines: The text of pages that were not used for calibration.
        threads: Threads of each inference.
        seconds: Wall-clock time of the whole demo.
    """

    models: tuple[ModelOutcome, ...]
    lines: tuple[LineOutcome, ...]
    threads: int
    seconds: float

    @property
    def agreement(self) -> float:
        """Share of lines that both pipelines read the same, 0..1."""
        return sum(line.same for line in self.lines) / len(self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; the reports are whole."""
        return {
            "agreement": self.agreement,
            "lines": [{**asdict(line), "same": line.same} for line in self.lines],
            "models": [_model_values(model) for model in self.models],
            "threads": self.threads,
            "seconds": self.seconds,
        }


def _model_values(model: ModelOutcome) -> dict[str, Any]:
    return {
        "name": model.job.name,
        "batches": model.job.batches,
        "seconds": model.job.seconds,
        "latency": asdict(model.latency),
        "float_nodes": [asdict(group) for group in by_reason(model.job.report.skipped)],
        "report": model.job.report.to_dict(),
    }


def by_reason(nodes: Iterable[NodePlan]) -> list[FloatNodes]:
    """Group nodes that stayed float, the largest group first."""
    groups: dict[str, list[NodePlan]] = {}
    for node in nodes:
        groups.setdefault(node.reason, []).append(node)
    grouped = [_float_nodes(reason, members) for reason, members in groups.items()]
    return sorted(grouped, key=lambda group: -group.count)


def _float_nodes(reason: str, members: Sequence[NodePlan]) -> FloatNodes:
    messages = sorted({node.message for node in members})
    op_types = Counter(node.op_type for node in members).most_common()
    example = "such as: " if len(messages) > 1 else ""
    return FloatNodes(reason, example + messages[0], dict(op_types))
