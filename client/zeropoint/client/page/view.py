"""A report as the page shows it: rows of text, bounded in number, and what plots are drawn from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from zeropoint.client import advice
from zeropoint.client.accuracy_summary import names, tried, worst
from zeropoint.client.figures import counted, decibels, percent, size
from zeropoint.client.json_values import to_json_values
from zeropoint.client.page.words import RangeRow, range_rows
from zeropoint.client.reasons import REASONS
from zeropoint.client.sensitivity_table import NodeRow, rows
from zeropoint.client.summary import (
    by_reason,
    calibration_lines,
    exactness_text,
    how_checked,
    rejected_lines,
    types_text,
)

if TYPE_CHECKING:
    from zeropoint.client.accuracy_report import Departure, Trial
    from zeropoint.client.distribution import Histogram
    from zeropoint.client.proof import Decisions, OutputFigures
    from zeropoint.client.report import Report

MOST_ROWS: Final = 50
_MOST_NODES: Final = 15
_MOST_NAMES: Final = 12
_DB, _DB_TENTH = "min_sqnr_db", "min_tenth_db"
_TONES = {"accurate": "good", "check": "warn", "degraded": "bad", "unverified": "none"}
_COMPARED_AS = {
    "logits": "logits",
    "log_odds": "log-odds",
    "pre_activations": "last operator's input",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A figure before and after: its name, both values, and what to know of them."""

    label: str
    before: str
    after: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRow:
    """One thing that must be kept, of one output: the figure, the least, and if it is kept."""

    output: str
    what: str
    figure: str
    least: str
    kept: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRow:
    """Nodes that stayed float for one reason."""

    types: str
    why: str
    reason: str
    names: str


def tone(report: Report) -> str:
    """Return the class of the verdict's colour."""
    if report.accuracy is not None and report.accuracy.held is False:
        return "bad"
    return _TONES.get(report.verdict.value, "warn")


def cards(report: Report) -> Iterator[Card]:
    """Yield size, latency, share of integers and decisions, before and after."""
    proof = report.verification
    ratio = report.result_bytes / max(report.source_bytes, 1)
    yield Card(
        label="Size",
        before=size(report.source_bytes),
        after=size(report.result_bytes),
        note=f"{percent(ratio)} of the original",
        tone="good" if ratio < 0.95 else "warn",
    )
    yield _latency(report)
    counts = ", ".join(f"{k.integer} of {k.nodes} {k.op_type}" for k in proof.kernels[:4])
    if proof.integer_share is not None or proof.kernels:
        share = proof.integer_share
        yield Card(
            label="Arithmetic in integers",
            before="0%",
            after="not known" if share is None else percent(share),
            note=counts,
        )
    yield from _own_figure(report)
    yield _closeness(report)
    agreed = advice.decided(report)
    if agreed is not None:
        yield Card(
            label=_decisions(agreed),
            before="100%",
            after=percent(advice.agreement(agreed)),
            note=f"{advice.interval(agreed)} is the interval of 95% that the samples allow",
        )


def _decisions(decided: Decisions) -> str:
    """Return what is judged of decisions."""
    if decided.minority_agreement is None:
        return f"same decisions, of {decided.count}"
    return f"same decisions, of {decided.minority_count} that are not the most frequent class"


def _own_figure(report: Report) -> Iterator[Card]:
    found = report.accuracy
    chosen = [trial.metric for trial in found.trials if trial.chosen] if found else []
    if found is None or not chosen or chosen[0] is None:
        return
    original, least = found.floor.original_metric, found.floor.min_metric
    yield Card(
        label="your own figure",
        before="" if original is None else f"{original:.6g}",
        after=f"{chosen[0]:.6g}",
        note="" if least is None else f"at least {least:.6g}",
    )


def _latency(report: Report) -> Card:
    speed = report.verification.speed
    if speed is None:
        return Card(label="Latency", before="", after="not measured")
    if not speed.apart:
        note, colour = "no sure difference", ""
    elif speed.ratio > 1:
        note, colour = f"{speed.ratio:.2f} times as long", "bad"
    else:
        note, colour = f"{1 / max(speed.ratio, 1e-9):.2f} times as fast", "good"
    return Card(
        label="Latency, one thread",
        before=f"{speed.float_ms:.3g} ms",
        after=f"{speed.result_ms:.3g} ms",
        note=f"{note}; {counted(speed.runs, 'run')} of each",
        tone=colour,
    )


def _closeness(report: Report) -> Card:
    figures = [output.by_sample for output in report.verification.outputs if output.by_sample]
    least = min((found.tenth_db for found in figures), default=None)
    samples = max((found.samples for found in figures), default=0)
    return Card(
        label="SQNR, worst output",
        before="",
        after=decibels(report.verification.sqnr_db),
        note=f"one in ten of {counted(samples, 'sample')}: {decibels(least)} or less"
        if figures
        else "",
    )


def shortly(report: Report) -> Iterator[tuple[str, str, str]]:
    """Yield the most asked-for facts: the part of the page, its name, and what it says first."""
    proof = report.verification
    yield "floor", "Checked", how_checked(proof)
    if proof.exactness is not None:
        yield "again", "Trained", exactness_text(proof.exactness, proof.kernels)
    accuracy = report.accuracy
    done = [f"{d.remedy.value.replace('_', ' ')}: {_nodes(d.nodes)}" for d in _departures(report)]
    nothing = "as an earlier job decided" if advice.replayed(report) else "nothing"
    yield "otherwise", "Done otherwise", "; ".join(done) or nothing
    if accuracy is not None and accuracy.trials:
        yield "search", "Tried", tried(accuracy)
    if report.warnings:
        yield "warnings", "Warnings", "; ".join(w.code for w in report.warnings[:_MOST_NAMES])
    if nodes := worst_nodes(report):
        yield "nodes", "Worst node", worst(nodes[0])
    if report.histograms:
        yield "ranges", "Values and ranges", f"of {counted(len(report.histograms), 'tensor')}"
    groups = by_reason(report.skipped)
    reasons = ", ".join(f"{len(nodes)} {reason}" for reason, nodes in list(groups.items())[:4])
    yield (
        "float",
        "Still float",
        f"{len(report.skipped)} of {len(report.plan.nodes)} nodes"
        + (f": {reasons}" if reasons else ""),
    )
    yield "again", "Make it again", "options, versions, digests"


def _departures(report: Report) -> Sequence[Departure]:
    return report.accuracy.departures if report.accuracy else ()


def _nodes(nodes: Sequence[str]) -> str:
    return counted(len(nodes), "node") if nodes else "everywhere"


def floor_rows(report: Report) -> list[FloorRow]:
    """Return what must be kept of each output, and whether it is."""
    found = [row for output in report.verification.outputs for row in _floor_of(output, report)]
    found.sort(key=lambda row: row.kept != "no")
    return found


def _floor_of(output: OutputFigures, report: Report) -> Iterator[FloorRow]:
    floor = report.accuracy.floor if report.accuracy else None
    kind = _COMPARED_AS.get(output.compared_as.value, "")
    of = f" of the {kind}" if kind else ""
    if output.by_sample is not None:
        pairs = (
            (f"SQNR{of}, median sample", output.by_sample.median_db, _DB),
            (f"SQNR{of}, one in ten", output.by_sample.tenth_db, _DB_TENTH),
        )
        for what, figure, name in pairs:
            least = getattr(floor, name) if floor else None
            yield FloorRow(
                output=output.name,
                what=what,
                figure=decibels(figure),
                least="" if least is None else f"{least:g} dB",
                kept=_kept(figure, least, report),
            )
    if output.decisions is not None:
        share = advice.agreement(output.decisions)
        enough = floor is not None and output.decisions.count >= advice.LEAST_DECISIONS
        yield FloorRow(
            output=output.name,
            what=_decisions(output.decisions),
            figure=f"{percent(share)} ({advice.interval(output.decisions)})",
            least=percent(floor.min_agreement) if floor is not None and enough else "",
            kept=_kept(share, floor.min_agreement if floor and enough else None, report),
        )


def _kept(figure: float, least: float | None, report: Report) -> str:
    """Return whether something is kept, in a word; empty where it is not judged.

    On samples that took no part in the choice a little less will do: chance has its part in them.
    """
    if least is None:
        return ""
    if figure >= least:
        return "yes"
    held = report.accuracy is not None and report.accuracy.held
    return "within tolerance" if held else "no"


def in_graph_order(report: Report) -> list[NodeRow]:
    """Return the quantized nodes of which something is known, in the order of the graph."""
    known = {row.name: row for row in rows(report)}
    ordered = [known.pop(node.name) for node in report.plan.nodes if node.name in known]
    return [*ordered, *known.values()]


def has_bars(report: Report) -> bool:
    """Whether the error of any node by itself is known."""
    return any(row.isolated_db is not None for row in rows(report))


def worst_nodes(report: Report) -> list[NodeRow]:
    """Return the nodes of the page's table, the worst first."""
    return list(rows(report)[:_MOST_NODES])


def columns(worst: Sequence[NodeRow]) -> list[tuple[str, Callable[[NodeRow], str]]]:
    """Return the columns of that table in which there is anything, and what each has of a node."""
    return [
        (label, cell) for label, cell in _COLUMNS if any(cell(row) != _UNKNOWN for row in worst)
    ]


def _db(value: float | None) -> str:
    return _UNKNOWN if value is None else decibels(value)


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else percent(value)


_UNKNOWN: Final = "–"
_COLUMNS: Final[tuple[tuple[str, Callable[[NodeRow], str]], ...]] = (
    ("At worst output", lambda row: _db(row.worst.sqnr_db if row.worst else None)),
    ("By itself", lambda row: _db(row.isolated_db)),
    ("Weights alone", lambda row: _db(row.weight_db)),
    ("Activations alone", lambda row: _db(row.activation_db)),
    ("Arithmetic", lambda row: _share(row.share)),
    ("Clipped", lambda row: _share(row.clipped_share)),
)


def trials(report: Report) -> list[Trial]:
    """Return the candidates of the page's table: the first, the last ones and the chosen."""
    found = list(report.accuracy.trials) if report.accuracy else []
    if len(found) <= MOST_ROWS:
        return found
    kept = {0, *range(len(found) - MOST_ROWS + 2, len(found))}
    return [trial for place, trial in enumerate(found) if place in kept or trial.chosen]


def ranges_of(report: Report) -> list[tuple[Histogram, tuple[RangeRow, ...]]]:
    """Return the histograms, each with the ranges of its tensor."""
    plans = {tensor.name: tensor for tensor in report.plan.tensors}
    return [
        (histogram, range_rows(histogram, plans))
        for histogram in report.histograms[:_MOST_NAMES]
        if histogram.counts and abs(histogram.high) + abs(histogram.low) < float("inf")
    ]


def float_rows(report: Report) -> list[FloatRow]:
    """Return why nodes stayed float, the most frequent reason first."""
    return [
        FloatRow(
            types=types_text(nodes),
            why=REASONS.get(reason, nodes[0].message),
            reason=reason,
            names=names([node.name for node in nodes], _MOST_NAMES),
        )
        for reason, nodes in list(by_reason(report.skipped).items())[:MOST_ROWS]
    ]


def facts(report: Report) -> list[tuple[str, str]]:
    """Return how the result was checked and made, and what reproduces it."""
    versions, proof = report.versions, report.verification
    lines = [*calibration_lines(report), *rejected_lines(report)][:MOST_ROWS]
    trained = proof.exactness
    differs = [] if trained is None else [f"{t.name}: by {t.steps} steps" for t in trained.worst]
    return [
        ("Checked", how_checked(proof)),
        *(("Differs by itself", text) for text in differs),
        *((line[:11].strip().capitalize(), line[12:]) for line in lines),
        ("Time", ", ".join(f"{p.phase} {p.seconds:.1f} s" for p in report.phases)),
        ("Zeropoint", versions.zeropoint),
        ("ONNX Runtime", versions.onnxruntime),
        ("ONNX", versions.onnx),
        ("SHA-256 of the original", report.source_sha256.hex()),
        ("zeropoint.digest of the result", report.digest.hex()),
    ]


def option_lines(report: Report) -> list[str]:
    """Return the options as lines of JSON."""
    kind: Any = type(report.options)
    values = {kind.__name__: to_json_values(report.options)}
    return json.dumps(values, indent=2).splitlines()


def few(items: Sequence[Any], most: int = MOST_ROWS) -> Sequence[Any]:
    """Return the first of many."""
    return items[:most]
