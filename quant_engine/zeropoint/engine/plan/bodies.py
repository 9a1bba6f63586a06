"""What can be quantized in bodies of If, Loop and Scan.

Ranges come from observed tensors. Those in a body are carried out of it (`surface`), which for a
Loop means one tensor for each iteration, all held at once: whether that can be done is decided
here, before there is data.
"""

import math

import onnx_ir as ir

from zeropoint.engine.graph import (
    Path,
    bodies_of,
    constant,
    graph_of,
    iterations,
    observable_from,
    origins,
    paths,
)
from zeropoint.engine.operators import OpRule, Role, Trait, has
from zeropoint.engine.reasons import Kept, Reason

_BODIES = frozenset({"If", "Loop", "Scan"})
_FLOAT_BYTES = 4
_MANY_TURNS = 32


class Bodies:
    """The bodies of one model, as quantization sees them."""

    def __init__(self, model: ir.Model, opset: int, observe_bytes: int | None) -> None:
        """Look at a prepared model.

        `observe_bytes` is the budget for the activations held at once while observing; None where
        nothing is to be observed.
        """
        self._paths = paths(model)
        self._budget = observe_bytes
        self._refused = {graph: self._refuses(path, opset) for graph, path in self._paths.items()}
        self._foreign = {graph: _foreign(path) for graph, path in self._paths.items()}

    def of(self, model: ir.Model, opset: int) -> "Bodies":
        """Return those of a copy of the model."""
        return Bodies(model, opset, self._budget)

    def refuses(self, node: ir.Node, rule: OpRule) -> Kept | None:
        """Return why a node stays float because of where it stands; None where it need not."""
        graph = graph_of(node)
        if not self._paths[graph]:
            return None
        if rule.role is Role.STORED:  # what it needs is constant
            return self._foreign[graph]
        read = [node.inputs[index] for index in rule.activation_inputs(node)]
        why = self._refused[graph]
        for value in (*read, *rule.data_outputs(node)):
            why = why or self.hides(value)
        return why

    def hides(self, value: ir.Value | None) -> Kept | None:
        """Return why a tensor cannot be observed because of where it is; None where it can."""
        if value is None or value.graph is None or constant(value) is not None:
            return None
        path = self._paths[value.graph]
        if not path or self._budget is None or self._refused[value.graph] is not None:
            return self._refused[value.graph]
        times = iterations(path)
        assert times is not None, value.name
        return None if times == 1 else _too_large(value, times, self._budget)

    def feeds_back(self, node: ir.Node) -> Kept | None:
        """Return why a node of a long Loop stays float, unless the user names it.

        Its Loop goes on from what it chose (the word that it read, say): one choice that rounding
        turns changes everything that follows. Its products are small, and gain no time.
        """
        for loop, body in self._paths[graph_of(node)]:
            times = iterations(((loop, body),)) if loop.op_type == "Loop" else None
            if times is not None and times > _MANY_TURNS and _state_is_chosen(body):
                return Kept(
                    Reason.LOOP_FEEDBACK,
                    f"inside of {_told(loop)}: each of its {times} turns goes on from what the one "
                    "before has chosen, and rounding changes choices",
                )
        return None

    def _refuses(self, path: Path, opset: int) -> Kept | None:
        if (why := _foreign(path)) is not None or self._budget is None:
            return why
        for node, body in path:
            name = _told(node)
            if node.op_type == "Scan":
                return Kept(
                    Reason.IN_SCAN, f"inside of {name}: what a Scan computes is not observed"
                )
            needed = observable_from(((node, body),))
            if opset < needed:
                return Kept(
                    Reason.OPSET_TOO_LOW,
                    f"inside of {name}: its tensors can be observed from opset {needed}, and this "
                    f"model has {opset}",
                )
            if iterations(((node, body),)) is None:
                return Kept(
                    Reason.LOOP_LENGTH_UNKNOWN,
                    f"inside of {name}: it has no constant trip count, so nobody knows how many "
                    "tensors there are to observe",
                )
        return None


def _state_is_chosen(body: ir.Graph) -> bool:
    """Whether what a Loop carries from turn to turn comes from choices among values."""
    states = body.outputs[1 : len(body.inputs) - 1]  # behind the condition; scanned ones follow
    pending = [value.producer() for value in states]
    seen: set[ir.Node] = set()
    while pending:
        node = pending.pop()
        if node is None or node in seen or graph_of(node) not in (body, *body.subgraphs()):
            continue
        seen.add(node)
        if has(node, Trait.CHOOSES):
            return True
        inner = (each for graph in bodies_of(node) for each in graph.all_nodes())
        pending += (*inner, *(value.producer() for value in node.inputs if value is not None))
    return False


def _foreign(path: Path) -> Kept | None:
    """Return why nothing in a body can be changed: it is that of an operator not known."""
    for node, _ in path:
        if node.domain or node.op_type not in _BODIES:
            return Kept(Reason.IN_SUBGRAPH, f"inside of {_told(node)}, whose body stays as it is")
    return None


def _told(node: ir.Node) -> str:
    return f"the {node.op_type} {next(iter(origins(node)), node.name)!r}"


def _too_large(value: ir.Value, times: int, budget: int) -> Kept | None:
    """Return why the tensors of all iterations cannot be held; sizes not known count as one."""
    if value.shape is None:
        return Kept(Reason.LOOP_SIZE_UNKNOWN, f"the size of {value.name} in a Loop is not known")
    sizes = [size for size in value.shape if isinstance(size, int)]
    size = times * math.prod(sizes) * _FLOAT_BYTES
    if size <= budget:
        return None
    return Kept(
        Reason.LOOP_TOO_LARGE,
        f"{value.name} would take {size} bytes in {times} iterations; {budget} can be observed",
    )
