"""Reports as a page of text for people: verdict, warnings, accuracy, speed, size, details.

Every line goes through `printable`: names are the model's.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from zeropoint.client.accuracy_summary import accuracy_lines, verdict_lines, worst_lines
from zeropoint.client.figures import counted, decibels, size
from zeropoint.client.printable import printable
from zeropoint.client.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from zeropoint.client.proof import (
        Decisions,
        Exactness,
        KernelCount,
        OutputFigures,
        RollOut,
        SampleFigures,
        Speed,
        Verification,
    )
    from zeropoint.client.report import (
        CalibrationFigures,
        Inspection,
        NodePlan,
        NonFiniteTensor,
        Plan,
        Report,
        ReportWarning,
        TensorPlan,
        TensorSpec,
    )

# onnx.TensorProto.DataType
_TYPE_NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
    16: "bfloat16",
}  # fmt: skip
_COMPARED_AS = {
    "logits": " of the logits",
    "log_odds": " of the log-odds",
    "pre_activations": " in front of the last operator",
}
_DECISIONS = {
    "argmax": "classes",
    "threshold": "scores above 0.5",
    "equal": "values",
    "sequence": "labels in a row",
    "selection": "selected positions",
}
_STATES = {"folded": "no longer needed", "float": "left float"}
_WORST_NODES = 5
_TYPES_OF_A_REASON = 6


def of_report(report: Report) -> str:
    """Return what was done and how good it is, the most important first."""
    proof = report.verification
    return _page(
        (
            f"verdict     {report.verdict.value.upper()}: {report.conclusion}",
            *verdict_lines(report),
            *_warnings(report.warnings),
            *accuracy_lines(report),
            *_accuracy(proof),
            *worst_lines(report),
            *_speed(proof),
            f"size        {size(report.source_bytes)} -> {size(report.result_bytes)}"
            f" ({report.result_bytes / max(report.source_bytes, 1):.0%})",
            *_plan(report.plan),
            *calibration_lines(report),
            *rejected_lines(report),
            "time        " + ", ".join(f"{p.phase} {p.seconds:.1f} s" for p in report.phases),
            f"made by     Zeropoint {report.versions.zeropoint},"
            f" ONNX Runtime {report.versions.onnxruntime}, ONNX {report.versions.onnx}",
        )
    )


def of_inspection(inspection: Inspection) -> str:
    """Return what would be done with a model."""
    return _page(
        (
            *_warnings(inspection.plan.warnings),
            f"size        {size(inspection.model_bytes)}, opset {inspection.opset}",
            *(f"input       {spec_text(spec)}" for spec in inspection.signature.inputs),
            *(f"output      {spec_text(spec)}" for spec in inspection.signature.outputs),
            *_plan(inspection.plan),
        )
    )


def _page(lines: Iterable[str]) -> str:
    return "\n".join(map(printable, lines))


def spec_text(spec: TensorSpec) -> str:
    """Return an input or output as "name: float32[batch, 3, 224, 224]"."""
    kind = _TYPE_NAMES.get(spec.element_type, f"type {spec.element_type}")
    if spec.shape is None:
        return printable(f"{spec.name}: {kind} of any rank")
    sizes = ", ".join("?" if axis is None else str(axis) for axis in spec.shape)
    return printable(f"{spec.name}: {kind}[{sizes}]")


def _warnings(warnings: Iterable[ReportWarning]) -> Iterator[str]:
    for warning in warnings:
        yield f"warning     {warning.message} [{warning.code}]"


# How close it is


def _accuracy(proof: Verification) -> Iterator[str]:
    yield f"checked     {how_checked(proof)}"
    yield from (f"output      {_output(output)}" for output in proof.outputs)
    if proof.roll_out is not None:
        yield from _rolled_out(proof.roll_out)
    if proof.exactness is not None:
        yield f"trained     {exactness_text(proof.exactness, proof.kernels)}"
        for tensor in proof.exactness.worst[:_WORST_NODES]:
            yield f"differs     {tensor.name}: by {_steps(tensor.steps)} by itself"


def _rolled_out(found: RollOut) -> Iterator[str]:
    fed = ", ".join(f"{pair.output} to {pair.input}" for pair in found.state)
    yield f"rolled out  {counted(found.batches, 'batch')} in a row; each model feeds itself {fed}"
    for output in found.outputs:
        first, middle, last = map(decibels, (output.first_db, output.middle_db, output.last_db))
        yield f"            {output.name}: SQNR {first} at first, then {middle}, {last} at last"


def how_checked(proof: Verification) -> str:
    """Return how a result was checked, and on what."""
    number = counted(proof.batches, "batch")
    chosen = "no range was chosen from" if proof.held_out else "ranges were chosen from, too"
    text = {
        "compared": f"compared with the original on {number} that {chosen}",
        "generated": f"compared with the original on {number} of made-up data",
    }.get(proof.state.value, f"{proof.state.value.replace('_', ' ')}, {number}")
    return f"{text}: {proof.message}" if proof.message else text


def _output(output: OutputFigures) -> str:
    found, decided = output.by_sample, output.decisions
    if found is None:
        text = f"{output.name}: not compared"
    else:
        text = (
            f"{output.name}: SQNR{_COMPARED_AS.get(output.compared_as.value, '')}"
            f" {_by_sample(found)}"
        )
    if decided is not None:
        text += f"; {_decisions(decided)}"
    if output.shape_changed:
        text += f"; {counted(output.shape_changed, 'sample')} of another shape"
    if output.repeat_db is not None:
        text += f"; the original itself repeats it with {decibels(output.repeat_db)}"
    return text


def _decisions(decided: Decisions) -> str:
    text = f"{decided.agreement:.1%} of {decided.count} {_DECISIONS[decided.kind.value]} agree"
    if decided.minority_agreement is not None:
        text += f", {decided.minority_agreement:.1%} of {decided.minority_count}"
        text += " without the most frequent class"
    if decided.whole is not None:
        text += f", {decided.whole:.1%} of the samples in all of them"
    return f"{text} (95 % interval {decided.low:.1%} to {decided.high:.1%})"


def _by_sample(found: SampleFigures) -> str:
    median, tenth, least = map(decibels, (found.median_db, found.tenth_db, found.least_db))
    number = counted(found.samples, "sample")
    if median == least:
        return f"{median}, {number}" if found.samples == 1 else f"{median}, all {number}"
    return f"{median} (median of {number}; one in ten has {tenth} or less, the lowest {least})"


def exactness_text(found: Exactness, kernels: tuple[KernelCount, ...]) -> str:
    """Return how far what was learned survived, and what it gained."""
    text = f"{found.exact_tensors} of {found.tensors} tensors exact"
    if found.node_steps:
        text += f", the others within {_steps(found.node_steps)}"
    text += f", {_steps(found.end_to_end_steps)} end to end"
    return f"{text}; integer kernels {_gain(found.kernels_before, kernels)}" if kernels else text


def _gain(before: tuple[KernelCount, ...], after: tuple[KernelCount, ...]) -> str:
    """Return the integer kernels of two models, side by side where they have the same nodes."""
    if [(k.op_type, k.nodes) for k in before] == [(k.op_type, k.nodes) for k in after]:
        pairs = zip(before, after, strict=True)
        return ", ".join(
            f"{_kernels(one)} -> {other.integer}/{other.nodes}" for one, other in pairs
        )
    return " -> ".join(", ".join(map(_kernels, counts)) for counts in (before, after) if counts)


def _kernels(count: KernelCount) -> str:
    return f"{count.op_type} {count.integer}/{count.nodes}"


def _steps(number: int) -> str:
    return f"{number} step" if number == 1 else f"{number} steps"


# How fast it is


def _speed(proof: Verification) -> Iterator[str]:
    if proof.speed is not None:
        yield f"speed       {_pace(proof.speed)}"
    if proof.kernels and proof.exactness is None:
        counts = ", ".join(f"{one.integer} of {one.nodes} {one.op_type}" for one in proof.kernels)
        share = proof.integer_share
        arithmetic = "" if share is None else f", {share:.0%} of their arithmetic"
        yield f"integer     {counts} on integer kernels{arithmetic}"


def _pace(speed: Speed) -> str:
    chance = "" if speed.apart else ", which may be chance"
    faster = f"{1 / speed.ratio:.2f} times as fast" if 0 < speed.ratio < 1 else ""
    return (
        f"{speed.float_ms:.3g} ms -> {speed.result_ms:.3g} ms a batch on one thread"
        f" ({faster or f'{speed.ratio:.2f} times as long'}{chance})"
    )


# What was done


def _plan(plan: Plan) -> Iterator[str]:
    states = Counter(node.state.value for node in plan.nodes)
    counts = ", ".join(
        f"{times} {_STATES.get(state, state)}" for state, times in states.most_common()
    )
    yield f"nodes       {counts}; opset {plan.opset}"
    for reason, nodes in by_reason(plan.skipped).items():
        yield f"float       {types_text(nodes)}: {REASONS.get(reason, nodes[0].message)} [{reason}]"


def by_reason(nodes: Iterable[NodePlan]) -> Mapping[str, Sequence[NodePlan]]:
    """Return nodes that stay float by their reason, the most frequent first."""
    groups: dict[str, list[NodePlan]] = {}
    for node in nodes:
        groups.setdefault(node.reason, []).append(node)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def types_text(nodes: Sequence[NodePlan]) -> str:
    """Return how many nodes of which types there are, the most frequent first."""
    types = Counter(node.op_type for node in nodes).most_common()
    listed = ", ".join(f"{times} {op_type}" for op_type, times in types[:_TYPES_OF_A_REASON])
    rest = sum(times for _, times in types[_TYPES_OF_A_REASON:])
    return f"{listed}, {rest} other{'s' if rest > 1 else ''}" if rest else listed


def calibration_lines(report: Report) -> Iterator[str]:
    """Yield what calibration saw."""
    seen = report.calibration
    if seen is None:
        return
    rejected = f", {seen.rejected} rejected" if seen.rejected else ""
    held_out = f", {seen.held_out} more held out to verify with" if seen.held_out else ""
    batches = counted(seen.batches, "batch")
    yield f"calibrated  {seen.tensors} tensors on {batches}{rejected}{held_out}{_moving(seen)}"
    chosen = Counter(_method(tensor) for tensor in report.plan.tensors if tensor.alternatives)
    if chosen:
        yield "chosen      " + ", ".join(f"{n} {method}" for method, n in chosen.most_common())
    if seen.non_finite:
        yield f"not finite  {_non_finite(seen.non_finite)}"


def _method(tensor: TensorPlan) -> str:
    return f"{tensor.method}{'' if tensor.percentile is None else f' {tensor.percentile:g}'}"


def rejected_lines(report: Report) -> Iterator[str]:
    """Return a line for each reason why batches were left out."""
    for left_out in report.rejected:
        which = "the first, " if left_out.batches > 1 else ""
        yield (
            f"rejected    {counted(left_out.batches, 'batch')}: {which}number"
            f" {left_out.sequence}: {left_out.message} [{left_out.reason}]"
        )


def _moving(seen: CalibrationFigures) -> str:
    last = seen.convergence
    if last is None:
        return ""
    those = "the last batch" if last.batches == 1 else f"the last {last.batches} batches"
    moved = "these would move" if seen.held_out else f"{those} moved"
    return f"; {moved} {last.moving_share:.0%} of the ranges"


def _non_finite(tensors: Sequence[NonFiniteTensor]) -> str:
    """Return in one line what holds NaN or infinities, first of all the first."""
    first = tensors[0]
    infinite = first.positive_infinity + first.negative_infinity
    text = f"{first.name}: {first.nan} NaN, {infinite} infinities"
    more = len(tensors) - 1
    return f"{text}, and {counted(more, 'tensor')} more" if more else text
