"""Changes -> what the report says was done otherwise than asked for."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple

from zeropoint.engine.graph import name_of
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Departure, Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.workbench import Attempt


class _Kind(NamedTuple):
    """How one kind of change is told.

    Attributes:
        remedy: What it is.
        nodes: Returns the nodes concerned, by their names in the prepared model.
        reason: Why, for people.
    """

    remedy: Remedy
    nodes: Callable[[Changes], Collection[str]]
    reason: str


_KINDS: Final = (
    _Kind(
        Remedy.STAYS_FLOAT,
        lambda changes: changes.floats,
        "integers there change the outputs most for the arithmetic that they save",
    ),
    _Kind(
        Remedy.STAYS_FLOAT,
        lambda changes: changes.slower - changes.weight_only,
        "the model is faster with them float",
    ),
    _Kind(
        Remedy.WEIGHT_ONLY,
        lambda changes: changes.weight_only - changes.slower,
        "integers there change the outputs too much; the weights alone do not",
    ),
    _Kind(
        Remedy.WEIGHT_ONLY,
        lambda changes: changes.weight_only & changes.slower,
        "the model is faster with them float, and smaller with their weights as integers",
    ),
    _Kind(
        Remedy.OUTPUT_FLOAT,
        lambda changes: changes.float_outputs,
        "what they give has too wide a range for 8 bits",
    ),
    _Kind(
        Remedy.DYNAMIC_INPUT,
        lambda changes: changes.dynamic,
        "what they read differs in size from sample to sample",
    ),
    _Kind(
        Remedy.PER_CHANNEL,
        lambda changes: changes.per_channel,
        "one scale loses channels of their weights",
    ),
    _Kind(
        Remedy.SMOOTHED,
        lambda changes: changes.smoothed,
        "single channels of what they read are much larger than the others",
    ),
    _Kind(
        Remedy.BIAS_CORRECTED,
        lambda changes: changes.corrected,
        "rounding moved the means of their outputs",
    ),
    _Kind(
        Remedy.WEIGHTS_ROUNDED,
        lambda changes: changes.rounded,
        "rounded together, weights make up for each other's errors",
    ),
)


def departures(planned: PlannedModel, asked: Attempt, chosen: Attempt) -> tuple[Departure, ...]:
    """Return what was done otherwise, each with its reason and the effect of all together.

    Args:
        planned: The model as it was asked to be quantized.
        asked: The candidate that does what was asked for.
        chosen: The one that is returned.
    """
    return _told(planned, chosen.changes, _effect(asked, chosen))


def done_again(planned: PlannedModel, changes: Changes) -> tuple[Departure, ...]:
    """Return what was done otherwise because an earlier job decided it; its effect is told there.

    Args:
        planned: The model.
        changes: What was decided.
    """
    return _told(planned, changes, "")


def _told(planned: PlannedModel, changes: Changes, effect: str) -> tuple[Departure, ...]:
    names = {name_of(node): planned.user_name(node) for node in planned.graph.all_nodes()}
    return tuple(
        Departure(remedy=remedy, nodes=nodes, reason=reason, effect=effect)
        for remedy, nodes, reason in _found(changes, names)
    )


def _found(
    changes: Changes, names: Mapping[str, str]
) -> Iterator[tuple[Remedy, tuple[str, ...], str]]:
    if changes.ranges is not None:
        method = changes.ranges.method
        share = f" of {changes.ranges.percentile:g} %" if method.value == "Percentile" else ""
        yield Remedy.RANGE_METHOD, (), f"{method.value}{share} loses less than what was asked for"
    if changes.own_ranges:
        listed = ", ".join(name for name, _ in changes.own_ranges)
        yield Remedy.RANGE_CLIPPED, (), f"what follows passes on no more of {listed}"
    if changes.equalized:
        yield Remedy.EQUALIZED, (), "channels of neighbouring layers differ much in size"
    for kind in _KINDS:
        chosen = kind.nodes(changes)
        if chosen:
            in_order = (user for name, user in names.items() if name in chosen)
            yield kind.remedy, tuple(dict.fromkeys(in_order)), kind.reason


def _effect(asked: Attempt, chosen: Attempt) -> str:
    """Return what all changes together did, on the samples that candidates were compared on."""
    before, after = asked.standing, chosen.standing
    if before is None or after is None:
        return f"as asked for it could not be made: {asked.failure}" if before is None else ""
    parts = [
        f"{what} {one:{form}} -> {other:{form}}{unit}"
        for what, one, other, form, unit in (
            ("SQNR", before.sqnr_db, after.sqnr_db, ".1f", " dB"),
            ("one sample in ten", before.tenth_db, after.tenth_db, ".1f", " dB"),
            ("same decisions", before.agreement, after.agreement, ".1%", ""),
            ("your figure", before.metric, after.metric, ".4g", ""),
        )
        if one is not None and other is not None
    ]
    return ", ".join(parts)
