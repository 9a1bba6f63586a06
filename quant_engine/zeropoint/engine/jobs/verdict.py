"""What a verification means for the user: a verdict with warnings, or a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.jobs import own_figure
from zeropoint.engine.jobs.doubts import doubts, kernel_doubts
from zeropoint.engine.jobs.losses import Loss, loss_of
from zeropoint.engine.options import Options
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import (
    Accuracy,
    Speed,
    Verdict,
    Verification,
    VerificationState,
    Warning,
)
from zeropoint.engine.verify import Verified

# Those after which a result should be looked at before it is used.
_DOUBTFUL = frozenset(
    {
        WarningCode.FLOAT_REQUANTIZED,
        WarningCode.SQNR_LOW,
        WarningCode.SAMPLES_LOW,
        WarningCode.DECISIONS_DIFFER,
        WarningCode.SHAPES_DIFFER,
        WarningCode.NOT_REPEATABLE,
        WarningCode.RESULT_SLOWER,
    }
)

# Those that a figure of the caller's own knows better.
_OF_OUTPUTS = frozenset(
    {WarningCode.SQNR_LOW, WarningCode.SAMPLES_LOW, WarningCode.DECISIONS_DIFFER}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of a result: the verdict, the figures behind it in a sentence, warnings."""

    verdict: Verdict
    conclusion: str
    warnings: tuple[Warning, ...]


def judge(
    verified: Verified,
    options: Options,
    quantized: Mapping[str, str],
    kept: Mapping[str, str] = MappingProxyType({}),
    accuracy: Accuracy | None = None,
) -> Judgement:
    """Return what the user should think of a result.

    Args:
        verified: What was found.
        options: What was asked for.
        quantized: The user's name of each quantized node, by its name in the prepared model.
        kept: Likewise of each node that shall stay float.
        accuracy: How it came about, and whether the floor is kept, chance allowed for; a figure
            of the caller's own in it counts alone.

    Raises:
        VerificationError: where `strict` is asked for. SQNR_TOO_LOW, below `min_sqnr_db`;
            METRIC_TOO_LOW, below what the caller's own figure must be; NOT_VERIFIED, an output
            could not be compared at all, whatever the reason.
    """
    verification = verified.verification
    if accuracy is not None and own_figure.counts(accuracy):
        return _by_own_figure(verified, options, quantized, kept, accuracy)
    loss = loss_of(verification, options)
    if options.verify.strict:
        _require_verified(verification)
        _require_quality(verification, options, loss)
    warnings = (
        *doubts(verification, options, loss),
        *kernel_doubts(verified, quantized, kept),
    )
    return Judgement(
        verdict=_verdict(verification, warnings, held=bool(accuracy and accuracy.held)),
        conclusion=_conclusion(verification),
        warnings=warnings,
    )


def _by_own_figure(
    verified: Verified,
    options: Options,
    quantized: Mapping[str, str],
    kept: Mapping[str, str],
    accuracy: Accuracy,
) -> Judgement:
    """Judge by what the caller says; the rest is told, too."""
    verification, low = verified.verification, own_figure.too_low(accuracy)
    if low and options.verify.strict:
        raise VerificationError("METRIC_TOO_LOW", low)
    warnings = (
        *((Warning(code=WarningCode.METRIC_LOW, message=low),) if low else ()),
        *doubts(verification, options, None),
        *kernel_doubts(verified, quantized, kept),
    )
    own = accuracy.message.partition(": ")[2]
    doubtful = {warning.code for warning in warnings} & (_DOUBTFUL - _OF_OUTPUTS)
    good = Verdict.CHECK if doubtful else Verdict.ACCURATE
    return Judgement(
        verdict=Verdict.DEGRADED if low else good,
        conclusion=f"{own}; {_conclusion(verification)}",
        warnings=warnings,
    )


def unverified(verification: Verification) -> str:
    """Return why nothing, or not every output, could be compared; empty where all was."""
    if verification.state is VerificationState.NOT_RUN:
        return verification.message
    if verification.sqnr_db is not None:
        changed = [output.name for output in verification.outputs if output.by_sample is None]
        listed = ", ".join(map(repr, changed))
        return f"output {listed} has another shape than the original's" if changed else ""
    if all(output.repeat_db is not None for output in verification.outputs):
        return "the original gives other outputs each time that it runs, as with random numbers"
    return "no output has the shape of the original's on any sample"


def _require_verified(verification: Verification) -> None:
    why = unverified(verification)
    if why:
        raise VerificationError(
            "NOT_VERIFIED",
            f"strict=True asks for a result that was compared with the original, and {why}. "
            "Send samples with which it can be compared, or leave strict out.",
            state=verification.state.value,
        )


def _require_quality(verification: Verification, options: Options, loss: Loss | None) -> None:
    if loss is None or verification.sqnr_db is None:
        return
    raise VerificationError(
        "SQNR_TOO_LOW",
        loss.message,
        sqnrDb=f"{verification.sqnr_db:.1f}",
        minSqnrDb=f"{options.verify.min_sqnr_db:g}",
        nodes=", ".join(loss.nodes),
    )


def _verdict(verification: Verification, warnings: tuple[Warning, ...], *, held: bool) -> Verdict:
    if verification.sqnr_db is None:
        return Verdict.UNVERIFIED
    made_up = verification.state is VerificationState.GENERATED
    codes = {warning.code for warning in warnings}
    if WarningCode.SQNR_LOW in codes and not (made_up or held):
        return Verdict.DEGRADED
    return Verdict.CHECK if made_up or codes & _DOUBTFUL else Verdict.ACCURATE


def _conclusion(verification: Verification) -> str:
    parts = [_accuracy(verification)]
    decided = [output.decisions for output in verification.outputs if output.decisions]
    if decided:
        count = sum(each.count for each in decided)
        same = sum(each.agreement * each.count for each in decided)
        parts.append(f"{same / count:.1%} of {count} decisions as the original's")
    if verification.speed is not None:
        parts.append(_pace(verification.speed))
    return "; ".join(parts)


def _accuracy(verification: Verification) -> str:
    if verification.sqnr_db is None:
        return f"not compared: {unverified(verification)}"
    samples = max((o.by_sample.samples for o in verification.outputs if o.by_sample), default=0)
    if verification.state is VerificationState.GENERATED:
        kind = "made-up samples, which are not like yours"
    elif verification.held_out:
        kind = "samples that no range was chosen from"
    else:
        kind = "samples that ranges were chosen from, too"
    exact = verification.sqnr_db == float("inf")
    figure = "equal outputs" if exact else f"SQNR {verification.sqnr_db:.1f} dB"
    kind = kind.replace("samples", "sample", 1) if samples == 1 else kind
    return f"{figure}, median of {samples} {kind}"


def _pace(speed: Speed) -> str:
    if not speed.apart:
        return "no sure difference in speed"
    if speed.ratio > 1.0:
        return f"takes {speed.ratio:.2f} times as long as the original"
    return f"{1 / speed.ratio:.2f} times as fast as the original"
