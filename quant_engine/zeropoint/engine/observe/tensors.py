"""Which tensors are observed, under which names, and what of that a calibration keeps.

The plan says what it needs. A calibration that is kept for other options has every tensor that any
plan may want the range of. Tensors that hold the values of another one in another shape or order
share its sketch.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx_ir as ir

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.observe.calibration import Calibration, Statistics, read_calibration
from zeropoint.engine.operators import Role, Trait, has, rule_of
from zeropoint.engine.plan import Bodies, PlannedModel, spare_tensors
from zeropoint.engine.settings import JobSettings


def observed_tensors(planned: PlannedModel, settings: JobSettings) -> tuple[str, ...]:
    """Return the tensors that a job observes: those of its plan, or all that any plan may need.

    A plan that is made anew for what batches show needs some more than the first.
    """
    needed = (*planned.plan.observed, *spare_tensors(planned))
    if not settings.keep_calibration:
        return tuple(dict.fromkeys(needed))
    every = observable_tensors(planned.prepared.model, planned.bodies)
    return tuple(dict.fromkeys((*needed, *every)))


def gathered(planned: PlannedModel, statistics: Statistics) -> Calibration:
    """Return what a job on a model has seen as a calibration of that model."""
    return Calibration(
        model_sha256=planned.loaded.content_sha256(),
        preparation=_preparation(planned),
        statistics=statistics,
    )


def recalled(planned: PlannedModel, path: Path) -> Statistics:
    """Return the statistics of a calibration file, which have all that a plan needs.

    Raises:
        CalibrationError: CALIBRATION_INVALID, CALIBRATION_MISMATCH or CALIBRATION_INCOMPLETE.
    """
    calibration = read_calibration(path)
    calibration.require_model(planned.loaded.content_sha256())
    calibration.require_tensors(planned.plan.observed, _preparation(planned))
    return calibration.statistics


def observable_tensors(model: ir.Model, bodies: Bodies) -> tuple[str, ...]:
    """Return the names of the tensors to observe for options that are not known yet; graph order.

    Without those that only operators need which are never quantized unless the user names them.
    These are the computed float32 inputs and the outputs of every node whose operator has a row in
    the table. What one plan leaves out another needs: the tensor between a convolution and its
    Relu once the Relu is excluded; the output of a Reshape, which else inherits its range, once
    the Reshape is excluded and the next node is not.
    """
    values = (value for node in model.graph.all_nodes() for value in _values(node))
    seen = (value for value in values if _is_observable(value) and bodies.hides(value) is None)
    return tuple(dict.fromkeys(name_of(value) for value in seen))


def value_sources(graph: ir.Graph) -> Mapping[str, str]:
    """Return for each tensor that only moves values the name of the one that has them first."""
    sources: dict[str, str] = {}
    for node in graph:
        value = input_at(node, 0)
        if not has(node, Trait.MOVES) or value is None or not value.name:
            continue
        # A constant is not observed, and an input with a default need not be fed.
        if constant(value) is None and not value.is_initializer():
            sources[name_of(node.outputs[0])] = sources.get(value.name, value.name)
    return sources


def _preparation(planned: PlannedModel) -> bytes:
    return hashlib.sha256(planned.prepared.path.read_bytes()).digest()


def _values(node: ir.Node) -> Iterator[ir.Value]:
    rule = rule_of(node)
    if rule is None or rule.role in (Role.STORED, Role.FLOAT):
        return
    for index in rule.activation_inputs(node):
        value = node.inputs[index]
        if value is not None:
            yield value
    yield from rule.data_outputs(node)


def _is_observable(value: ir.Value) -> bool:
    # An input with a default value need not be among those of a batch.
    fed = not (value.is_graph_input() and value.is_initializer())
    return value.dtype is ir.DataType.FLOAT and constant(value) is None and fed
