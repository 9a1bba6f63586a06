"""What a file says of shapes and types beside its graph, where the graph contradicts it.

Editors change a graph and leave what was declared of its values. ONNX Runtime warns and runs such
a model, as long as it reuses no buffer by a size that is not true; quantized, it may.
"""

from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

import onnx

from zeropoint.engine.protobuf import all_nodes, graphs, inferred
from zeropoint.engine.runtime import RuntimeRefusal, Session

_ONNX = ("", "ai.onnx", "ai.onnx.ml")
_Infos = dict[str, onnx.TypeProto.Tensor]


def drop_stale_shapes(model: onnx.ModelProto, probe: Path) -> None:
    """Put what follows from the graph in the place of what contradicts it, in place, bodies too.

    A file of which one shape is wrong is not believed in others, unless they follow from the graph.

    Args:
        model: The model; its weights lie beside `probe`.
        probe: Where a file may stand for a moment, for ONNX Runtime to say what onnx cannot infer.
    """
    if not any(True for graph in graphs(model.graph) for _ in _declared(graph)):
        return
    bare = _undeclared(model)
    known = inferred(bare)
    further = _asked(bare, known, model.graph, probe)
    symbols = {
        dim.dim_param
        for value in model.graph.input
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
    found = [
        (info.type.tensor_type, truth)
        for declared, inner in zip(graphs(model.graph), graphs(known.graph), strict=True)
        for truths in ((further if declared is model.graph else {}) | _known(inner),)
        for info in _declared(declared)
        for truth in (truths.get(info.name, onnx.TypeProto.Tensor()),)
    ]
    if any(_contradicts(declared, truth, symbols) for declared, truth in found):
        for declared, truth in found:
            _correct(declared, truth, symbols)


def _declared(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    """Return what is said of tensors that a graph computes."""
    for info in (*graph.value_info, *graph.output):
        if info.type.HasField("tensor_type") and info.type.tensor_type.HasField("shape"):
            yield info


def _undeclared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that says nothing of shapes, and has no functions: they may be without end."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    for graph in graphs(bare.graph):
        del graph.value_info[:]
        for info in _declared(graph):
            info.type.tensor_type.ClearField("shape")
    return bare


def _known(graph: onnx.GraphProto) -> _Infos:
    infos = (*graph.value_info, *graph.output)
    return {info.name: info.type.tensor_type for info in infos if _has_shape(info)}


def _has_shape(info: onnx.ValueInfoProto) -> bool:
    return info.type.tensor_type.HasField("shape")


def _asked(
    bare: onnx.ModelProto, known: onnx.ModelProto, declared: onnx.GraphProto, probe: Path
) -> _Infos:
    """Return what ONNX Runtime knows of values behind operators that onnx does not know."""
    if all(node.domain in _ONNX for node in all_nodes(bare.graph)):
        return {}
    there = _known(known.graph)
    names = [info.name for info in _declared(declared) if info.name not in there]
    outputs = {output.name for output in bare.graph.output}
    bare.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in outputs)
    answers: _Infos = {}
    with suppress(RuntimeRefusal):
        probe.write_bytes(bare.SerializeToString())
        for slot in Session(probe, as_written=True).output_slots:
            if slot.name in names and slot.shape:
                answer = answers.setdefault(slot.name, onnx.TypeProto.Tensor())
                for size in slot.shape:
                    dim = answer.shape.dim.add()
                    if isinstance(size, int):
                        dim.dim_value = size
                    elif size:
                        dim.dim_param = size
    probe.unlink(missing_ok=True)
    return answers


def _contradicts(
    declared: onnx.TypeProto.Tensor, truth: onnx.TypeProto.Tensor, symbols: Set[str]
) -> bool:
    """Whether both cannot be true; `symbols` are those of the model's inputs."""
    if truth.elem_type and declared.elem_type != truth.elem_type:
        return True
    if not truth.HasField("shape"):
        return False
    if len(declared.shape.dim) != len(truth.shape.dim):
        return True
    for said, dim in zip(declared.shape.dim, truth.shape.dim, strict=True):
        if said.HasField("dim_value"):
            if dim.HasField("dim_value") and said.dim_value != dim.dim_value:
                return True
            if dim.dim_param in symbols:
                return True
        elif {said.dim_param, dim.dim_param} <= symbols and said.dim_param != dim.dim_param:
            return True
    return False


def _correct(
    declared: onnx.TypeProto.Tensor, truth: onnx.TypeProto.Tensor, symbols: Set[str]
) -> None:
    """Leave of what is declared only what the truth confirms."""
    declared.elem_type = truth.elem_type or declared.elem_type
    if not truth.HasField("shape"):
        declared.ClearField("shape")
        return
    same = not _contradicts(declared, truth, symbols)
    old = [dim.dim_param for dim in declared.shape.dim] if same else []
    declared.shape.CopyFrom(truth.shape)
    for axis, dim in enumerate(declared.shape.dim):
        if dim.dim_param not in symbols and not dim.HasField("dim_value"):
            dim.ClearField("dim_param")
            if same and old[axis]:
                dim.dim_param = old[axis]
