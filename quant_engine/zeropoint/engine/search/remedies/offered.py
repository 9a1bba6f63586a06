"""All remedies, the one that costs least first, and which of them there are for which options."""

from collections.abc import Iterator, Sequence

from zeropoint.engine.options import DynamicOptions, Options, QatOptions
from zeropoint.engine.plan import PlannedModel
from zeropoint.engine.report import Remedy
from zeropoint.engine.search.changes import Changes
from zeropoint.engine.search.remedies import dynamic, nodes, numeric, ranges
from zeropoint.engine.search.remedies.proposal import Proposal, Proposer
from zeropoint.engine.search.workbench import Suspect

REMEDIES: tuple[Proposer, ...] = (
    Proposer(Remedy.RANGE_CLIPPED, ranges.clipped),
    Proposer(Remedy.RANGE_METHOD, ranges.other_method),
    Proposer(Remedy.PER_CHANNEL, nodes.per_channel),
    Proposer(Remedy.OUTPUT_FLOAT, nodes.float_outputs),
    Proposer(Remedy.EQUALIZED, numeric.equalized),
    Proposer(Remedy.SMOOTHED, numeric.smoothed),
    Proposer(Remedy.BIAS_CORRECTED, numeric.corrected),
    Proposer(Remedy.WEIGHTS_ROUNDED, numeric.rounded),
    Proposer(Remedy.DYNAMIC_INPUT, dynamic.dynamic),
    Proposer(Remedy.WEIGHT_ONLY, nodes.weight_only),
    Proposer(Remedy.STAYS_FLOAT, nodes.stays_float),
)

_DYNAMIC = frozenset({Remedy.PER_CHANNEL, Remedy.WEIGHT_ONLY, Remedy.STAYS_FLOAT})


def offers(options: Options) -> frozenset[Remedy]:
    """Return the remedies that there are for options: what was learned stays as it is."""
    if isinstance(options, QatOptions):
        return frozenset()
    found = _DYNAMIC if isinstance(options, DynamicOptions) else frozenset(Remedy)
    if options.weight.symmetric is False:  # kernels take no others for channels
        found -= {Remedy.PER_CHANNEL}
    if options.tensor_quant_overrides:  # which are those of the tensors as they are
        found -= {Remedy.EQUALIZED, Remedy.SMOOTHED}
    return found


def proposals(
    planned: PlannedModel,
    changes: Changes,
    suspects: Sequence[Suspect],
    kinds: frozenset[Remedy] = frozenset(Remedy),
) -> Iterator[Proposal]:
    """Yield what may help, the least costly first.

    Args:
        planned: The model as it was asked to be quantized.
        changes: What is done otherwise already.
        suspects: The nodes to be helped, the one to blame most first.
        kinds: The remedies to ask.
    """
    wanted = kinds & offers(planned.options)
    for remedy in REMEDIES:
        if remedy.kind in wanted:
            yield from remedy.propose(planned, changes, suspects)
