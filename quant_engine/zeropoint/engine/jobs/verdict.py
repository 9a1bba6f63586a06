"""What a verification means for the user: warnings, or a refusal where one was asked for."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from zeropoint.engine.errors import VerificationError
from zeropoint.engine.options import Options, QatOptions
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import NodeFigures, Verification, VerificationState, Warning
from zeropoint.engine.verify import Verified

_MOST_NODES = 3


def judge(
    verified: Verified,
    options: Options,
    quantized: Mapping[str, str],
    kept: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Warning, ...]:
    """Return what the user should know about the quality and the speed of a result.

    Args:
        verified: What was found.
        options: What was asked for.
        quantized: The user's name of each quantized node, by its name in the prepared model.
        kept: Likewise of each node that shall stay float.

    Raises:
        VerificationError: SQNR_TOO_LOW, below `min_sqnr_db` where `strict` is asked for.
    """
    warnings = (
        _not_compared(verified.verification),
        _low_sqnr(verified.verification, options),
        _float_kernels(verified, quantized),
        _requantized(verified, kept),
    )
    return tuple(warning for warning in warnings if warning is not None)


def _not_compared(verification: Verification) -> Warning | None:
    if verification.state is not VerificationState.NOT_RUN:
        return None
    return Warning(
        code=WarningCode.NOT_COMPARED,
        message="The result loads, but was not compared with the original: "
        f"{verification.message}. Send a sample to have it compared.",
    )


def _low_sqnr(verification: Verification, options: Options) -> Warning | None:
    floor, sqnr_db = options.verify.min_sqnr_db, verification.sqnr_db
    if sqnr_db is None or sqnr_db >= floor:
        return None
    worst = verification.nodes[:_MOST_NODES]
    message = " ".join((_loss(verification, floor), _blame(worst), _advice(worst, options)))
    if options.verify.strict:
        raise VerificationError(
            "SQNR_TOO_LOW",
            message,
            sqnrDb=f"{sqnr_db:.1f}",
            minSqnrDb=f"{floor:g}",
            nodes=", ".join(node.name for node in worst),
        )
    return Warning(
        code=WarningCode.SQNR_LOW, message=message, nodes=tuple(node.name for node in worst)
    )


def _loss(verification: Verification, floor: float) -> str:
    sqnr_db = verification.sqnr_db
    worst = [out.name for out in verification.outputs if out.similarity.sqnr_db == sqnr_db]
    inputs = " on made-up inputs" if verification.state is VerificationState.GENERATED else ""
    return (
        f"The result differs much from the original: SQNR of output {', '.join(map(repr, worst))} "
        f"is {sqnr_db:.1f} dB{inputs}, below min_sqnr_db={floor:g}."
    )


def _blame(worst: tuple[NodeFigures, ...]) -> str:
    if not worst:
        return "Which nodes cause it is not known."
    listed = ", ".join(
        f"{node.name!r} ({node.op_type}, {node.similarity.sqnr_db:.1f} dB)" for node in worst
    )
    return f"The nodes that lose most by themselves: {listed}."


def _advice(worst: tuple[NodeFigures, ...], options: Options) -> str:
    if isinstance(options, QatOptions):
        return "It should give nearly what the trained model gives: tell us, and set exact=True."
    advice = []
    if not options.weight.per_channel:
        advice.append("set per_channel=True")
    if worst:
        advice.append("list the worst in nodes_to_exclude")
    if not advice:
        advice.append("quantize fewer operator types with op_types_to_quantize")
    text = ", or ".join(advice)
    return f"{text[0].upper()}{text[1:]}."


def _float_kernels(verified: Verified, quantized: Mapping[str, str]) -> Warning | None:
    names = [quantized[name] for name in verified.float_nodes if name in quantized]
    if not names:
        return None
    return Warning(
        code=WarningCode.FLOAT_KERNELS,
        message=f"ONNX Runtime runs {len(names)} quantized nodes with float kernels on this "
        f"machine, which costs speed and not accuracy: {_first(names)}.",
        nodes=tuple(names),
    )


def _requantized(verified: Verified, kept: Mapping[str, str]) -> Warning | None:
    names = list(dict.fromkeys(kept[name] for name in verified.requantized if name in kept))
    if not names:
        return None
    return Warning(
        code=WarningCode.FLOAT_REQUANTIZED,
        message=f"ONNX Runtime runs {len(names)} nodes on integers that the plan leaves float, "
        f"with weights in one scale: {_first(names)}. Leave their neighbours float, too, with "
        "nodes_to_exclude, or run the result without graph optimizations.",
        nodes=tuple(names),
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_MOST_NODES])) + (", …" if names[_MOST_NODES:] else "")
