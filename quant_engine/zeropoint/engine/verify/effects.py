"""What quantizing each node alone, in the float model, does to the model's outputs.

The float model runs once on each sample, with the twins of all nodes. For each node, what is behind
it then runs again, with the result of its twin, in pieces that are cut behind every such node: so
all nodes share their sessions, and each runs no more than what it can change.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from zeropoint.engine.runtime import RuntimeRefusal
from zeropoint.engine.samples import StoredBatch
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.alone_parts import parts_alone
from zeropoint.engine.verify.arithmetic import multiply_accumulates
from zeropoint.engine.verify.comparison import unit_decibels
from zeropoint.engine.verify.disturbed import Disturbed, Whole
from zeropoint.engine.verify.effect_values import (
    AloneNode,
    Effect,
    Effects,
    EffectsRequest,
    OutputNoise,
)
from zeropoint.engine.verify.noise import Undisturbed, own_noise
from zeropoint.engine.verify.original import Reference
from zeropoint.engine.verify.output_forms import PLAIN
from zeropoint.engine.verify.parts import parts_of
from zeropoint.engine.verify.saturating import Values
from zeropoint.engine.verify.similarity import Sums, is_float

_MOST_SAMPLES: Final = 16
_ARITHMETIC: Final = 4e11  # multiply-accumulates for all nodes and samples: 20 s of one core
_BATCHES_FOR_PARTS: Final = 2  # a figure of one tensor settles soon

OnNode = Callable[[int, int], None]
"""Told how many nodes on how many samples are done, and how many there are."""


def measure_effects(
    request: EffectsRequest, reference: Reference, threads: int, notify: OnNode | None = None
) -> Effects:
    """Quantize each node alone and compare the model's outputs.

    Args:
        request: What is measured.
        reference: The original: its samples, and how its outputs end.
        threads: Nodes that are tried at once.
        notify: Told how far it is.

    Raises:
        RuntimeRefusal: the model does not load or run.
    """
    deadline = math.inf if request.seconds is None else time.monotonic() + request.seconds
    nodes = request.model.nodes
    if not nodes or not reference.batches:
        return Effects(nodes=(), samples=0, not_measured=tuple(node.node for node in nodes))
    whole = Whole(request.model, threads)
    smallest = min(reference.batches, key=lambda batch: batch.nbytes)
    counts = multiply_accumulates(request.model.path, whole.layers, smallest.load())
    taken = _taken(reference, request.samples or _affordable(len(nodes), counts, smallest))
    chosen = _in_order(whole, taken[0].load(), request)
    disturbed = Disturbed(whole, chosen, request.cache_bytes)
    tally = _Tally(reference, chosen)
    total = len(taken) * len(chosen)
    late = False
    with ThreadPoolExecutor(threads) as pool:
        for index, sample in enumerate(taken):
            done = index * len(chosen)
            tried = []
            for one in _try_all(disturbed, tally, sample.load(), pool, deadline):
                tried.append(one)
                if notify is not None:
                    notify(done + len(tried), total)
            late = None in tried
            if not late or not index:  # no node has more samples than another
                tally.add(tried, sample.samples)
            if late:
                break
    found = tally.answer(counts, request, late=late)
    worst = [node.node for node in found.nodes[: request.parts]]
    batches = [sample.load() for sample in taken[:_BATCHES_FOR_PARTS]]
    parts = parts_alone(request.model, worst, batches, threads)
    told = [
        replace(node, **parts[node.node]._asdict()) if node.node in parts else node
        for node in found.nodes
    ]
    return replace(found, nodes=tuple(told))


@dataclass(frozen=True, slots=True)
class _Taken:
    """Samples that are run at once: those of a batch, or the first few of them."""

    batch: StoredBatch
    samples: int
    rows: int | None = None

    def load(self) -> Batch:
        arrays = self.batch.load()
        size = _rows(arrays)
        return {
            name: array[: self.rows] if array.ndim and len(array) == size else array
            for name, array in arrays.items()
        }


def _rows(arrays: Batch) -> int:
    return next((len(array) for array in arrays.values() if array.ndim), 1)


def _affordable(nodes: int, counts: Mapping[str, int], batch: StoredBatch) -> int:
    """Return how many samples are taken: the fewer, the more arithmetic there is."""
    rows = next((array.shape[0] for array in batch.arrays.values() if array.shape), 1)
    each = nodes * sum(counts.values()) / (2 * max(1, rows))  # behind a node is half of the model
    return max(1, min(_MOST_SAMPLES, int(_ARITHMETIC / max(1.0, each))))


def _taken(reference: Reference, samples: int) -> list[_Taken]:
    """Return what is run; only where all outputs have their samples apart, a batch is divided."""
    apart = all(behaviour.apart for behaviour in reference.behaviours)
    found: list[_Taken] = []
    left = samples
    for batch in reference.batches:
        if left <= 0:
            break
        rows = next((array.shape[0] for array in batch.arrays.values() if array.shape), 1)
        count = min(left, rows) if apart else 1
        found.append(_Taken(batch, count, count if apart and count < rows else None))
        left -= count
    return found


def _in_order(whole: Whole, batch: Batch, request: EffectsRequest) -> tuple[AloneNode, ...]:
    """Return the nodes that are tried: where not all can be, those with the worst results first."""
    nodes = whole.nodes
    most = len(nodes) if request.most is None else request.most
    if most >= len(nodes) and request.seconds is None:
        return nodes
    noise = {}
    for group in whole.groups(nodes, batch, request.cache_bytes):
        known = whole.run(group, batch)
        for node in group:
            noise[node.node] = _own(node, known).similarity.sqnr_db
    return tuple(sorted(nodes, key=lambda node: noise[node.node])[:most])


def _own(node: AloneNode, known: Mapping[str, Any]) -> Sums:
    """Compare what a node gives, the floats of it, with what its twin does."""
    pairs = ((node.tensor, node.quantized), *node.others.items())
    arrays = ((known[tensor], known[twin]) for tensor, twin in pairs if tensor in known)
    floats = (pair for pair in arrays if isinstance(pair[0], np.ndarray) and is_float(pair[0]))
    return sum((own_noise(*pair) for pair in floats), Sums())


@dataclass(frozen=True, slots=True)
class _Found:
    """What one node did on one batch: its own result, and for each output the sums of samples."""

    own: Sums
    units: Mapping[str, Values]


_Tried = tuple[str, _Found | None]
"""Name of a node, and what it did; None where what is behind it does not run."""


def _try_all(
    disturbed: Disturbed,
    tally: "_Tally",
    batch: Batch,
    pool: ThreadPoolExecutor,
    deadline: float,
) -> Iterator[_Tried | None]:
    """Return for each node what it did; None for one that came too late."""
    for group, known in disturbed.snapshots(batch):
        outputs = tally.undisturbed(known)
        yield from pool.map(partial(_try, disturbed, known, outputs, deadline), group)


def _try(
    disturbed: Disturbed,
    known: dict[str, Any],
    outputs: Mapping[str, Undisturbed],
    deadline: float,
    node: AloneNode,
) -> _Tried | None:
    if time.monotonic() >= deadline:
        return None
    try:
        changed = disturbed.behind(node, known)
    except RuntimeRefusal:  # what its twin gives does not fit what reads it
        return node.node, None
    units = {
        name: outputs[name].units(list(parts_of(value)))
        for name, value in changed.items()
        if name in outputs
    }
    return node.node, _Found(_own(node, known), units)


class _Tally:
    """Adds up what nodes did, over samples."""

    def __init__(self, reference: Reference, nodes: Sequence[AloneNode]) -> None:
        self._forms = dict(zip(reference.names, reference.forms, strict=True))
        self._apart = {
            name: behaviour.apart
            for name, behaviour in zip(reference.names, reference.behaviours, strict=True)
        }
        repeated = [
            name
            for name, behaviour in zip(reference.names, reference.behaviours, strict=True)
            if behaviour.repeat_db is None
        ]
        self._names = repeated or reference.names
        self._nodes = nodes
        self._found: dict[str, list[_Found | None]] = {}
        self._samples = 0

    def undisturbed(self, known: Mapping[str, Any]) -> Mapping[str, Undisturbed]:
        """Return the outputs to compare with: those that are floats, or all where none is.

        Without those that the model does not repeat, as with random numbers.
        """
        parts = {name: list(parts_of(known[name])) for name in self._names if name in known}
        floats = {name: each for name, each in parts.items() if any(map(is_float, each))}
        return {
            name: Undisturbed(each, self._forms.get(name, PLAIN), apart=self._apart[name])
            for name, each in (floats or parts).items()
        }

    def add(self, found: Sequence[_Tried | None], samples: int) -> None:
        """Take what nodes did on further samples."""
        self._samples += samples
        for name, one in filter(None, found):
            self._found.setdefault(name, []).append(one)

    def _measured(self) -> Mapping[str, list[_Found]]:
        """Return what is known of the nodes that ran each time."""
        ran = {name: [one for one in found if one] for name, found in self._found.items()}
        return {name: ones for name, ones in ran.items() if len(ones) == len(self._found[name])}

    def answer(self, counts: Mapping[str, int], request: EffectsRequest, *, late: bool) -> Effects:
        """Return all of it."""
        total = sum(counts.values())
        measured = self._measured()
        effects = [
            Effect(
                node=node.node,
                name=node.name,
                op_type=node.op_type,
                outputs=_noises(measured[node.node]),
                own_db=sum((found.own for found in measured[node.node]), Sums()).similarity.sqnr_db,
                share=counts[node.node] / total if node.node in counts else None,
            )
            for node in self._nodes
            if node.node in measured
        ]
        return Effects(
            nodes=tuple(sorted(effects, key=lambda effect: -effect.noise)),
            samples=self._samples,
            not_measured=tuple(n.node for n in request.model.nodes if n.node not in measured),
            late=late,
        )


def _noises(found: Sequence[_Found]) -> tuple[OutputNoise, ...]:
    return tuple(
        _noise(name, np.concatenate([one.units[name] for one in found if name in one.units]))
        for name in found[0].units
    )


def _noise(name: str, units: Values) -> OutputNoise:
    signal, noise, _ = units.sum(0)
    decibels = np.sort(unit_decibels(units))
    return OutputNoise(
        name=name,
        noise=float(noise / signal) if signal else (math.inf if noise else 0.0),
        median_db=float(np.percentile(decibels, 50.0, method="lower")),
    )
