"""What a user should know of a result that was compared, or could not be: warnings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from zeropoint.engine.jobs.losses import Loss, advice, blame, suspects
from zeropoint.engine.options import Options
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import (
    CalibrationFigures,
    OutputFigures,
    Verification,
    VerificationState,
    Warning,
)
from zeropoint.engine.search import LEAST_DECISIONS, TENTH_BELOW_DB
from zeropoint.engine.verify import Verified

_MOST_LISTED = 3
_MOST_NUMBERS = 16
_SLOWER, _SLOWER_MS = 1.1, 0.01  # less than the latter is the cost of a call
_MANY_MOVING = 0.5


def doubts(found: Verification, options: Options, loss: Loss | None) -> tuple[Warning, ...]:
    """Return what the user should know about the quality and the speed of a result.

    Args:
        found: What verification found.
        options: What was asked for.
        loss: What is said of its SQNR, where that is below the floor.
    """
    low = (_low(loss),) if loss is not None else ()
    return (*low, *(warning for doubt in _DOUBTS for warning in doubt(found, options)))


def kernel_doubts(
    verified: Verified, quantized: Mapping[str, str], kept: Mapping[str, str]
) -> tuple[Warning, ...]:
    """Return where ONNX Runtime computes otherwise than was planned.

    Args:
        verified: What was found.
        quantized: The user's name of each quantized node, by its name in the prepared model.
        kept: Likewise of each node that shall stay float.
    """
    return (*_float_kernels(verified, quantized), *_requantized(verified, kept))


def calibration_doubts(found: CalibrationFigures | None) -> Iterator[Warning]:
    """Return what the user should know about the ranges."""
    if found is None or found.convergence is None:
        return
    moving = found.convergence
    if moving.moving_share > _MANY_MOVING:
        yield Warning(
            code=WarningCode.RANGES_MOVING,
            message=f"{moving.moving_share:.0%} of the ranges move by more than 1 % of their width "
            f"with {moving.batches} batches more: {found.batches} are few for this model. Send "
            "more, or take a calibrate_method that single values move less, such as Percentile.",
        )


def with_non_finite(verified: Verified, numbers: Sequence[int]) -> Verified:
    """Add batches that were left out because of what was given to the original."""
    found = verified.verification
    together = tuple(sorted({*found.non_finite_batches, *numbers}))
    return replace(verified, verification=replace(found, non_finite_batches=together))


def _low(loss: Loss) -> Warning:
    return Warning(code=WarningCode.SQNR_LOW, message=loss.message, nodes=loss.nodes)


def _not_compared(found: Verification, _options: Options) -> Iterator[Warning]:
    if found.state is VerificationState.NOT_RUN:
        yield Warning(
            code=WarningCode.NOT_COMPARED,
            message="The result loads, but was not compared with the original: "
            f"{found.message}. Send a sample to have it compared.",
        )


def _low_samples(found: Verification, options: Options) -> Iterator[Warning]:
    floor = options.verify.min_sqnr_db
    low = {
        output.name: output.by_sample.tenth_db
        for output in _float_figures(found)
        if output.by_sample is not None
        and output.by_sample.median_db >= floor
        and output.by_sample.tenth_db < floor - TENTH_BELOW_DB
    }
    if not low:
        return
    worst = suspects(found, floor)
    listed = ", ".join(f"{name!r} ({figure:.1f} dB)" for name, figure in low.items())
    yield Warning(
        code=WarningCode.SAMPLES_LOW,
        message=f"One sample in ten is far from the original, though the median one is not: output "
        f"{listed}. Look at quiet or rare samples. {blame(worst, found)} {advice(worst, options)}",
        nodes=tuple(node.name for node in worst),
    )


def _decisions_differ(found: Verification, options: Options) -> Iterator[Warning]:
    for output in _float_figures(found):
        decided = output.decisions
        if decided is None or decided.count < LEAST_DECISIONS:
            continue
        share, counted = decided.agreement, f"{decided.count} cases"
        if decided.minority_agreement is not None:
            share = decided.minority_agreement
            counted = f"{decided.minority_count} cases that are not of its most frequent class"
        if share < options.verify.min_agreement:
            yield Warning(
                code=WarningCode.DECISIONS_DIFFER,
                message=f"Output {output.name!r} decides otherwise than the original in "
                f"{1 - share:.1%} of {counted} ({decided.kind.value}); of other samples like "
                f"these, in {1 - decided.high:.1%} to {1 - decided.low:.1%}.",
            )


def _shapes_differ(found: Verification, _options: Options) -> Iterator[Warning]:
    for output in found.outputs:
        if not output.shape_changed:
            continue
        same = output.by_sample.samples if output.by_sample is not None else 0
        rest = f"The figures are of the other {same}." if same else "There are no figures of it."
        yield Warning(
            code=WarningCode.SHAPES_DIFFER,
            message=f"Output {output.name!r} has another shape than the original's for "
            f"{output.shape_changed} of {output.shape_changed + same} samples: how long it is "
            f"follows from values, some of which crossed a limit. {rest}",
        )


def _not_repeatable(found: Verification, _options: Options) -> Iterator[Warning]:
    names = [output.name for output in found.outputs if output.repeat_db is not None]
    figures = [output.repeat_db for output in found.outputs if output.repeat_db is not None]
    if names:
        yield Warning(
            code=WarningCode.NOT_REPEATABLE,
            message=f"The original itself gives other values of output {_quoted(names)} each time "
            f"that it runs ({min(figures):.1f} dB against itself), as with random numbers: their "
            "figures say nothing about quantization.",
        )


def _non_finite(found: Verification, _options: Options) -> Iterator[Warning]:
    if found.non_finite_batches:
        yield Warning(
            code=WarningCode.NON_FINITE_BATCHES,
            message="NaN or infinities: the original gives some, or was given some, in "
            f"{_batches(found.non_finite_batches)}; what they are in takes no part in figures.",
        )


def _not_run(found: Verification, _options: Options) -> Iterator[Warning]:
    if found.not_run_batches:
        yield Warning(
            code=WarningCode.NOT_RUN_BATCHES,
            message=f"The original does not run on {_batches(found.not_run_batches)}, which would "
            "have been compared.",
        )


def _slower(found: Verification, _options: Options) -> Iterator[Warning]:
    speed = found.speed
    if speed is None or not speed.apart or speed.result_ms - speed.float_ms < _SLOWER_MS:
        return
    if speed.ratio > _SLOWER:
        yield Warning(
            code=WarningCode.RESULT_SLOWER,
            message=f"The result takes {speed.ratio:.2f} times as long as the original on this "
            f"machine ({speed.float_ms:.3g} ms -> {speed.result_ms:.3g} ms, one thread, "
            f"{speed.runs} runs each). Where speed is what it is for, keep the original, or "
            "quantize only the large layers: name the small ones in nodes_to_exclude.",
        )


_DOUBTS: Sequence[Callable[[Verification, Options], Iterator[Warning]]] = (
    _not_compared,
    _low_samples,
    _decisions_differ,
    _shapes_differ,
    _not_repeatable,
    _non_finite,
    _not_run,
    _slower,
)
"""All of them, in the order of the report; each gives its warnings."""


def _float_kernels(verified: Verified, quantized: Mapping[str, str]) -> Iterator[Warning]:
    names = [quantized[name] for name in verified.float_nodes if name in quantized]
    if names:
        yield Warning(
            code=WarningCode.FLOAT_KERNELS,
            message=f"ONNX Runtime runs {len(names)} quantized nodes with float kernels on this "
            f"machine, which costs speed and not accuracy: {_quoted(names)}.",
            nodes=tuple(names),
        )


def _requantized(verified: Verified, kept: Mapping[str, str]) -> Iterator[Warning]:
    names = list(dict.fromkeys(kept[name] for name in verified.requantized if name in kept))
    if names:
        yield Warning(
            code=WarningCode.FLOAT_REQUANTIZED,
            message=f"ONNX Runtime runs {len(names)} nodes on integers that the plan leaves float, "
            f"with weights in one scale: {_quoted(names)}. Leave their neighbours float, too, with "
            "nodes_to_exclude, or run the result without graph optimizations.",
            nodes=tuple(names),
        )


def _float_figures(found: Verification) -> Iterator[OutputFigures]:
    """Return the outputs whose figures say something about quantization."""
    return (output for output in found.outputs if output.repeat_db is None)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_MOST_LISTED])) + (", …" if names[_MOST_LISTED:] else "")


def _batches(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:_MOST_NUMBERS]))
    more = f" and {len(numbers) - _MOST_NUMBERS} more" if numbers[_MOST_NUMBERS:] else ""
    return f"batch {listed}" if len(numbers) == 1 else f"batches {listed}{more}"
