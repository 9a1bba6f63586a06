"""The demo's outcome as tables."""

from collections import Counter
from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from zeropoint.client.demo.outcome import DemoOutcome, ModelOutcome, by_reason
from zeropoint.client.figures import decibels
from zeropoint.client.report import NodeState


def present(console: Console, outcome: DemoOutcome, *, json_output: bool) -> int:
    """Print what the demo found, as tables or as a JSON document, and return its exit code.

    Args:
        console: Where it goes.
        outcome: What was found.
        json_output: A JSON document instead of tables.

    Returns:
        0 when both pipelines read the same text, else 1.
    """
    if json_output:
        console.print_json(data=outcome.to_dict())
    else:
        console.print(_figures(outcome), _float_nodes(outcome), _text(outcome))
        console.print(_verdict(outcome))
    return 0 if outcome.agreement == 1 else 1


def _verdict(outcome: DemoOutcome) -> str:
    total = len(outcome.lines)
    same = sum(line.same for line in outcome.lines)
    right = sum(line.right for line in outcome.lines)
    style = "green" if same == total else "red"
    return (
        f"[{style}]{same} of {total} lines read the same before and after[/]; the float models "
        f"read {right} of {total} as written. {outcome.seconds:.0f} s in all."
    )


def _figures(outcome: DemoOutcome) -> Table:
    table = _table("Before and after")
    table.add_column()
    for model in outcome.models:
        table.add_column(model.job.name, justify="right")
    threads = f"{outcome.threads} thread{'s' if outcome.threads > 1 else ''}"
    rows: dict[str, Callable[[ModelOutcome], str]] = {
        "size": _size,
        "signal to quantization noise": lambda model: decibels(model.job.report.sqnr_db),
        f"latency, {threads}": _latency,
        "integer kernels": _kernels,
        "quantized nodes": _nodes,
        "calibration": _calibration,
    }
    for title, cell in rows.items():
        table.add_row(title, *(cell(model) for model in outcome.models))
    return table


def _size(model: ModelOutcome) -> str:
    before, after = model.job.report.source_bytes, model.job.report.result_bytes
    return f"{decimal(before)} → {decimal(after)} ({after / before:.0%})"


def _latency(model: ModelOutcome) -> str:
    before, after = model.latency.float_ms, model.latency.quantized_ms
    return f"{before:.1f} → {after:.1f} ms ({after / before:.0%})"


def _kernels(model: ModelOutcome) -> str:
    counts = model.job.report.verification.kernels
    return "\n".join(f"{kernel.op_type} {kernel.integer} of {kernel.nodes}" for kernel in counts)


def _nodes(model: ModelOutcome) -> str:
    count = Counter(node.state for node in model.job.report.plan.nodes)
    return f"{count[NodeState.QUANTIZED]} of {count.total() - count[NodeState.FOLDED]}"


def _calibration(model: ModelOutcome) -> str:
    return f"{model.job.batches} batches, {model.job.seconds:.1f} s"


def _float_nodes(outcome: DemoOutcome) -> Table:
    table = _table("Nodes that stayed float, and why")
    for title in ("model", "reason", "nodes"):
        table.add_column(title)
    for model in outcome.models:
        for group in by_reason(model.job.report.skipped):
            kinds = ", ".join(f"{count} {op_type}" for op_type, count in group.op_types.items())
            why = f"[bold]{group.reason}[/]\n{escape(group.message)}"
            table.add_row(model.job.name, why, f"{group.count}: {kinds}")
    return table


def _text(outcome: DemoOutcome) -> Table:
    table = _table("Text read on pages that were not used for calibration")
    for title in ("float models", "quantized models"):
        table.add_column(title)
    for line in outcome.lines:
        style = "" if line.same else "red"
        table.add_row(escape(line.float_text), escape(line.quantized_text), style=style)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
