"""What to think of a result and what to do about it, in sentences, from its report alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zeropoint.client.figures import counted, percent
from zeropoint.client.sensitivity_table import NodeRow, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zeropoint.client.proof import Decisions
    from zeropoint.client.report import Report

_LEADS = {
    "accurate": "Good to ship",
    "check": "Look before you ship it",
    "degraded": "Do not ship it as it is",
    "unverified": "Not checked",
}
LEAST_DECISIONS = 100
"""Fewer decisions are not judged."""

_LOSSES = frozenset({"SQNR_LOW", "SAMPLES_LOW", "DECISIONS_DIFFER", "SHAPES_DIFFER"})
_FEW_SAMPLES = 32
_MUCH = 0.5  # of the arithmetic
_FLOOR_IS = re.compile(r"^the floor is (?:not )?kept: ")
_MOST_STEPS = 5
_MOST_NAMES = 3


def shipping(report: Report) -> str:
    """Return in a few words whether to ship a result."""
    if report.accuracy is not None and report.accuracy.held is False:
        return _LEADS["degraded"]
    return _LEADS.get(report.verdict.value, _LEADS["check"])


def figures(report: Report) -> str:
    """Return what `shipping` follows from, as the rest of its sentence: how close, fast, small."""
    size = report.result_bytes / max(report.source_bytes, 1)
    return f"{report.conclusion}; {percent(size)} of the original's size."


def floor(report: Report) -> str:
    """Return whether the floor is held and how; empty where the report does not tell."""
    found = report.accuracy
    if found is None:
        return ""
    held = {True: "held", False: "not held", None: "not checked"}[found.held]
    told = _FLOOR_IS.sub("", found.message) or floor_text(report)
    return f"{held}: {told}"


def floor_text(report: Report) -> str:
    """Return what must be kept."""
    if report.accuracy is None:
        return ""
    kept = report.accuracy.floor
    if kept.min_metric is not None:
        original = kept.original_metric
        known = "" if original is None else f" where the original has {original:.6g}"
        return f"your own figure, {kept.min_metric:.6g} or more{known}"
    return (
        f"each output {kept.min_sqnr_db:g} dB for the median sample, {kept.min_tenth_db:g} dB for "
        f"one in ten, {percent(kept.min_agreement)} of its decisions"
    )


def agreement(decisions: Decisions) -> float:
    """Return the share of decisions that is judged: without the most frequent class, if known."""
    minority = decisions.minority_agreement
    return decisions.agreement if minority is None else minority


def decided(report: Report) -> Decisions | None:
    """Return the decisions of the output that decides otherwise most often."""
    found = [output.decisions for output in report.verification.outputs if output.decisions]
    return min(found, key=agreement, default=None)


def replayed(report: Report) -> bool:
    """Whether it is the result of what an earlier job decided."""
    return bool(report.options.accuracy.decisions)


def interval(decisions: Decisions) -> str:
    """Return the interval of 95 % that the number of samples allows."""
    return f"{percent(decisions.low)} to {percent(decisions.high)}"


def steps(report: Report) -> tuple[str, ...]:
    """Return what to do next, the most important first; never empty."""
    found = [step for rule in _RULES for step in rule(report)]
    return tuple(found[:_MOST_STEPS]) or (_NOTHING,)


_NOTHING = (
    "Nothing has to be done. Before a release, run your own test on it once: samples without "
    "labels cannot tell what your users mind."
)


def _unverified(report: Report) -> Iterator[str]:
    if report.verdict.value == "unverified":
        yield (
            "Give samples, so that it can be compared with the original: --data or "
            "verification_data=, 64 or more."
        )
    elif report.verification.state.value == "generated":
        yield "Give real samples: made-up ones cannot tell how it does on yours."


def _below(report: Report) -> Iterator[str]:
    """Yield what helps against a result below the floor, by what was tried already."""
    found = report.accuracy
    if not _is_below(report):
        return
    mode = found.mode.value if found else "off"
    if mode == "off":
        yield "Have it mended: accuracy='guard' finds the nodes that cause it, and mends those."
    elif mode == "guard":
        yield "Have more tried: accuracy='auto' also chooses ranges, operators and what pays."
    else:
        yield (
            "Nothing that was tried keeps the floor: stay with the float model, or train with fake "
            "quantization and use quantize_qat."
        )
    if names := _worst(report):
        yield f"Or leave the worst float yourself, with nodes_to_exclude: {', '.join(names)}."


def _culprits(report: Report) -> Iterator[str]:
    """Yield what helps the node that matters most, where it was measured what harms it."""
    first = next(iter(_quantized(report)), None)
    if first is None or report.verdict.value == "accurate" or not first.cause:
        return
    if "weights" in first.cause and not _per_channel(report):
        yield f"{first.name} loses by {first.cause}: per_channel=True gives them finer scales."
    elif "activations" in first.cause:
        yield (
            f"{first.name} loses by {first.cause}: try another range, calibrate_method='Auto' or "
            "'Percentile'; the histograms of the page show which."
        )


def _unknown_culprits(report: Report) -> Iterator[str]:
    lossy = bool(_LOSSES & {warning.code for warning in report.warnings})
    if (lossy or _is_below(report)) and not (report.accuracy and report.accuracy.sensitivities):
        yield (
            "To see which nodes cause it, and whether their weights or their activations do: "
            "zeropoint sensitivity, or sensitivity=True."
        )


def _unquantized(report: Report) -> Iterator[str]:
    if not any(node.state.value == "quantized" for node in report.plan.nodes):
        yield (
            "Nothing of it is quantized: ship it for what else was gained, or have size count with "
            "objective='size'."
        )


def _much_float(report: Report) -> Iterator[str]:
    """Yield what may leave less of the arithmetic float."""
    found, share = report.accuracy, report.verification.integer_share
    if found is None or found.mode.value != "guard" or not (found.searched and found.departures):
        return
    if share is not None and share < _MUCH:
        yield (
            f"To keep the floor, {percent(1 - share)} of the arithmetic stayed float: "
            "accuracy='auto' weighs more remedies."
        )


def _slow(report: Report) -> Iterator[str]:
    speed = report.verification.speed
    if speed is None or not speed.apart or speed.ratio <= 1.0:
        return
    if report.accuracy is not None and report.accuracy.mode.value == "auto":
        yield "It is slower than the original: ship it only where its size counts."
    else:
        yield (
            "It is slower than the original on this machine: accuracy='auto' quantizes only what "
            "pays."
        )


def _few(report: Report) -> Iterator[str]:
    """Yield what more samples would tell."""
    found, agreed = report.accuracy, decided(report)
    compared = report.verification.state.value == "compared"
    least = found.floor.min_agreement if found else 0.0
    if agreed and compared and not _is_below(report) and agreed.low < least <= agreement(agreed):
        yield (
            f"More samples would make it sure: {counted(agreed.count, 'decision')} allow "
            f"{interval(agreed)}; verification_data= of four times as many halves that."
        )
    elif compared and not _is_below(report) and 0 < _samples(report) < _FEW_SAMPLES:
        yield (
            f"More samples would make it surer: it was compared on {_samples(report)}; give "
            "verification_data= of 64 or more, of all kinds that you have."
        )
    if any(warning.code == "RANGES_MOVING" for warning in report.warnings):
        yield "More calibration data would help: the last batches still moved the ranges."


def _same_samples(report: Report) -> Iterator[str]:
    proof, seen = report.verification, report.calibration
    if proof.state.value == "compared" and not proof.held_out and seen is not None:
        yield (
            "For figures that are not a little too good, give more batches, or verification_data= "
            "of its own."
        )


def _replay(report: Report) -> Iterator[str]:
    found = report.accuracy
    if found is not None and found.held is not False and found.decisions and found.searched:
        yield "To get this again without a search, give decisions= (--decisions report.json)."


_RULES: Sequence[Callable[[Report], Iterator[str]]] = (
    _unverified,
    _unquantized,
    _below,
    _culprits,
    _unknown_culprits,
    _much_float,
    _slow,
    _few,
    _same_samples,
    _replay,
)


def _is_below(report: Report) -> bool:
    """Whether the result is below the floor."""
    if report.accuracy is not None:
        return report.accuracy.held is False
    return report.verdict.value == "degraded"


def _worst(report: Report) -> list[str]:
    return [row.name for row in _quantized(report)[:_MOST_NAMES]]


def _quantized(report: Report) -> list[NodeRow]:
    return [row for row in rows(report) if not row.left_float]


def _per_channel(report: Report) -> bool:
    weight = getattr(report.options, "weight", None)
    return bool(weight is not None and weight.per_channel)


def _samples(report: Report) -> int:
    figures = (output.by_sample for output in report.verification.outputs)
    return max((found.samples for found in figures if found), default=0)
