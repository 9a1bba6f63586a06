"""A loss that is too great: how great, what causes it, and what to do about it."""

from dataclasses import dataclass

from zeropoint.engine.options import Options, QatOptions
from zeropoint.engine.report import NodeFigures, Verification, VerificationState

_MOST_NODES = 3
_SUSPECT_DB = 20.0  # above the floor: whatever loses less by itself is not what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is said of a result below the floor, and the nodes to blame, worst first."""

    message: str
    nodes: tuple[str, ...]


def loss_of(verification: Verification, options: Options) -> Loss | None:
    """Return what is to be said of a result below `min_sqnr_db`; None where it is not."""
    floor, sqnr_db = options.verify.min_sqnr_db, verification.sqnr_db
    if sqnr_db is None or sqnr_db >= floor:
        return None
    worst = suspects(verification, floor)
    how = (_how_much(verification, sqnr_db, floor), blame(worst, verification))
    message = " ".join((*how, advice(worst, options)))
    return Loss(message=message, nodes=tuple(node.name for node in worst))


def suspects(verification: Verification, floor: float) -> tuple[NodeFigures, ...]:
    """Return the nodes that lose so much by themselves that they may be to blame, worst first."""
    lossy = (n for n in verification.nodes if n.similarity.sqnr_db < floor + _SUSPECT_DB)
    return tuple(lossy)[:_MOST_NODES]


def blame(worst: tuple[NodeFigures, ...], verification: Verification) -> str:
    """Return a sentence on the nodes that cause a loss."""
    if not verification.nodes:
        return "Which nodes cause it is not known."
    if not worst:
        return "No node loses much by itself: small losses add up."
    listed = ", ".join(
        f"{node.name!r} ({node.op_type}, {node.similarity.sqnr_db:.1f} dB)" for node in worst
    )
    return f"The nodes that lose most by themselves: {listed}."


def advice(worst: tuple[NodeFigures, ...], options: Options) -> str:
    """Return a sentence on what to do."""
    if isinstance(options, QatOptions):
        return "It should give nearly what the trained model gives: tell us, and set exact=True."
    found = []
    if options.weight.per_channel is False:
        found.append("set per_channel=True")
    if worst:
        found.append("list the worst in nodes_to_exclude")
    if not found:
        found.append("quantize fewer operator types with op_types_to_quantize")
    text = ", or ".join(found)
    return f"{text[0].upper()}{text[1:]}."


def _how_much(verification: Verification, sqnr_db: float, floor: float) -> str:
    worst = [
        output.name
        for output in verification.outputs
        if output.by_sample is not None and output.by_sample.median_db == sqnr_db
    ]
    inputs = " on made-up inputs" if verification.state is VerificationState.GENERATED else ""
    return (
        f"The result differs much from the original: SQNR of output {', '.join(map(repr, worst))} "
        f"is {sqnr_db:.1f} dB for the median sample{inputs}, below min_sqnr_db={floor:g}."
    )
