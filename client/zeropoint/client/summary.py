"""Reports as a page of text for people."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zeropoint.client.proof import Exactness, KernelCount, Verification
    from zeropoint.client.report import (
        Inspection,
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
_WORST_NODES = 5


def of_report(report: Report) -> str:
    """Return what was done and how good it is, the most important first."""
    return "\n".join(
        [
            f"size        {_size(report.source_bytes)} -> {_size(report.result_bytes)}"
            f" ({report.result_bytes / max(report.source_bytes, 1):.0%})",
            *_verification(report.verification),
            *_plan(report.plan),
            *_calibration(report),
            *_rejected(report),
            *_warnings(report.warnings),
            "time        " + ", ".join(f"{p.phase} {p.seconds:.1f} s" for p in report.phases),
            f"made by     Zeropoint {report.versions.zeropoint},"
            f" ONNX Runtime {report.versions.onnxruntime}, ONNX {report.versions.onnx}",
        ]
    )


def of_inspection(inspection: Inspection) -> str:
    """Return what would be done with a model."""
    return "\n".join(
        [
            f"size        {_size(inspection.model_bytes)}, opset {inspection.opset}",
            *(f"input       {spec_text(spec)}" for spec in inspection.signature.inputs),
            *(f"output      {spec_text(spec)}" for spec in inspection.signature.outputs),
            *_plan(inspection.plan),
            *_warnings(inspection.plan.warnings),
        ]
    )


def spec_text(spec: TensorSpec) -> str:
    """Return an input or output as "name: float32[batch, 3, 224, 224]"."""
    kind = _TYPE_NAMES.get(spec.element_type, f"type {spec.element_type}")
    if spec.shape is None:
        return f"{spec.name}: {kind} of any rank"
    sizes = ", ".join("?" if size is None else str(size) for size in spec.shape)
    return f"{spec.name}: {kind}[{sizes}]"


def decibels(value: float | None) -> str:
    """Return a ratio as text; None where nothing was compared, infinity where nothing differs."""
    if value is None:
        return "not compared"
    return "exact" if value == math.inf else f"{value:.1f} dB"


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _verification(proof: Verification) -> Iterator[str]:
    how = f"{proof.state.value.replace('_', ' ')}, {proof.batches} batches"
    yield f"checked     {how}{f': {proof.message}' if proof.message else ''}"
    for output in proof.outputs:
        figures, decided = output.similarity, output.decisions
        agreement = "" if decided is None else f", same decisions {decided.agreement:.1%}"
        yield (
            f"output      {output.name}: SQNR {decibels(figures.sqnr_db)},"
            f" cosine {figures.cosine:.5f}{agreement}"
        )
    if proof.exactness is not None:
        yield f"trained     {_exactness(proof.exactness, proof.kernels)}"
        for tensor in proof.exactness.worst[:_WORST_NODES]:
            yield f"differs     {tensor.name}: by {_steps(tensor.steps)} by itself"
    elif proof.kernels:
        yield f"integer     {', '.join(map(_kernels, proof.kernels))} kernels"
    for node in proof.nodes[:_WORST_NODES]:
        sqnr = decibels(node.similarity.sqnr_db)
        yield f"worst node  {node.name} ({node.op_type}): {sqnr} by itself"


def _exactness(found: Exactness, kernels: tuple[KernelCount, ...]) -> str:
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


def _plan(plan: Plan) -> Iterator[str]:
    states = Counter(node.state.value for node in plan.nodes)
    counts = ", ".join(f"{times} {state}" for state, times in states.most_common())
    yield f"nodes       {counts}; opset {plan.opset}"
    reasons = Counter((node.reason, node.op_type) for node in plan.skipped)
    for (reason, op_type), times in reasons.most_common():
        yield f"float       {times} {op_type}: {reason}"


def _calibration(report: Report) -> Iterator[str]:
    seen = report.calibration
    if seen is None:
        return
    rejected = f", {seen.rejected} rejected" if seen.rejected else ""
    yield f"calibrated  {seen.tensors} tensors on {seen.batches} batches{rejected}"
    chosen = Counter(map(_method, (one for one in report.plan.tensors if one.alternatives)))
    if chosen:
        yield "chosen      " + ", ".join(f"{n} {method}" for method, n in chosen.most_common())
    for tensor in seen.non_finite:
        infinite = tensor.positive_infinity + tensor.negative_infinity
        yield f"not finite  {tensor.name}: {tensor.nan} NaN, {infinite} infinities"


def _method(tensor: TensorPlan) -> str:
    """Return what chose the range of a tensor: "MinMax", "Percentile 99.99"."""
    return f"{tensor.method}{'' if tensor.percentile is None else f' {tensor.percentile:g}'}"


def _rejected(report: Report) -> Iterator[str]:
    """Return a line for each reason why batches were left out."""
    for left_out in report.rejected:
        count = f"{left_out.batches} batches" if left_out.batches > 1 else "1 batch"
        which = "the first, " if left_out.batches > 1 else ""
        yield (
            f"rejected    {count}: {which}number {left_out.sequence}: {left_out.message}"
            f" [{left_out.reason}]"
        )


def _warnings(warnings: Iterable[ReportWarning]) -> Iterator[str]:
    for warning in warnings:
        yield f"warning     {warning.message} [{warning.code}]"
