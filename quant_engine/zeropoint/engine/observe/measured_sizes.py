"""How large the tensors of bodies are, where that cannot be inferred: by running the model once.

A Loop makes each as often as it turns. One whose size is not known would count as much as the
largest of the model, in every iteration: the model would be run once for every tensor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from zeropoint.engine.protobuf import graphs, surface
from zeropoint.engine.runtime import RuntimeRefusal, Session
from zeropoint.engine.samples import CannotGenerate, InputRange, generate_batches

_FLOAT_BYTES = 4


def measured_bytes(
    model: onnx.ModelProto,
    names: Sequence[str],
    inputs: Sequence[InputRange],
    shapes: Mapping[str, tuple[int, ...]],
    path: Path,
) -> Mapping[str, int]:
    """Return the bytes of float32 tensors in one run, those of all iterations together.

    They follow from shapes alone: inputs are made up, always the same ones.

    Args:
        model: It is changed.
        names: Tensors, in the main graph or in bodies of If and Loop.
        inputs: What the inputs may be.
        shapes: Those of the inputs.
        path: Where to write a model, in the folder that has the external data.

    Returns:
        No entry for a tensor that was not computed, or where the model does not run.
    """
    counted = _counting(model, names)
    path.write_bytes(model.SerializeToString())
    given = [
        replace(each, spec=replace(each.spec, shape=shapes.get(each.spec.name, each.spec.shape)))
        for each in inputs
    ]
    found: list[object] = []
    try:
        session = Session(path, threads=1)
        generate_batches(given, lambda batch: _keep(found, session.run(batch, counted)), 1)
    except (CannotGenerate, RuntimeRefusal):
        return {}
    finally:
        path.unlink(missing_ok=True)
    totals = (float(np.nansum(np.asarray(sizes, np.float64))) for sizes in found)
    return {
        name: int(total) * _FLOAT_BYTES for name, total in zip(names, totals, strict=False) if total
    }


def _counting(model: onnx.ModelProto, names: Sequence[str]) -> list[str]:
    """Let a model give how many elements tensors have; return the names of its outputs."""
    wanted = {name: f"{name}/elements" for name in names}
    for graph in tuple(graphs(model.graph)):
        made = [name for node in graph.node for name in node.output if name in wanted]
        for name in (*made, *(value.name for value in graph.input if value.name in wanted)):
            size, output = f"{name}/size", wanted[name]
            graph.node.append(helper.make_node("Size", [name], [size]))
            graph.node.append(helper.make_node("Cast", [size], [output], to=TensorProto.FLOAT))
    surface(model, wanted.values(), scalars=True)
    outputs = list(wanted.values())
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return outputs


def _keep(found: list[object], sizes: Sequence[object]) -> Sequence[object]:
    found[:] = sizes
    return [np.zeros(1, np.float32)]  # whatever they are, they will do
