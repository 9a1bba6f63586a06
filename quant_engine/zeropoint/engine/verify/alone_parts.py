"""How much of a node's own error its weights make, and how much what it reads and gives."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zeropoint.engine.protobuf import drop_unneeded
from zeropoint.engine.runtime import Session
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.effect_values import AloneModel
from zeropoint.engine.verify.exposed import expose, read_graph, written_beside
from zeropoint.engine.verify.noise import own_noise
from zeropoint.engine.verify.similarity import Sums


class Parts(NamedTuple):
    """SQNR of a node's own result in dB, with a part of it quantized; None where there is none."""

    weights_db: float | None = None
    activations_db: float | None = None


def parts_alone(
    model: AloneModel, names: Sequence[str], batches: Sequence[Batch], threads: int
) -> Mapping[str, Parts]:
    """Return the parts of nodes, by their names in the model.

    Args:
        model: The model with twins.
        names: The nodes.
        batches: What to run it on.
        threads: Threads to use.

    Raises:
        RuntimeRefusal: the model does not load or run.
    """
    nodes = [node for node in model.nodes if node.node in set(names)]
    pairs = {
        twin: node.tensor for node in nodes for twin in (node.weights, node.activations) if twin
    }
    if not pairs:
        return {}
    proto = read_graph(model.path)
    del proto.graph.output[:]
    expose(proto, [*pairs, *pairs.values()])
    drop_unneeded(proto.graph)
    with written_beside(model.path, proto) as file:
        session = Session(file, threads=threads, as_written=True)
    sums = dict.fromkeys(pairs, Sums())
    for batch in batches:
        found = dict(zip(session.outputs, session.run(_read(session, batch)), strict=True))
        for twin, tensor in pairs.items():
            sums[twin] += own_noise(found[tensor], found[twin])
    decibels = {twin: total.similarity.sqnr_db for twin, total in sums.items()}
    return {
        node.node: Parts(decibels.get(node.weights), decibels.get(node.activations))
        for node in nodes
    }


def _read(session: Session, batch: Batch) -> Batch:
    """Return what of a batch is still read."""
    names = {slot.name for slot in session.inputs}
    return {name: array for name, array in batch.items() if name in names}
