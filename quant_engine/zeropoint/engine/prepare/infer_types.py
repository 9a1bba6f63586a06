"""Types and shapes, as far as they can be known without running the model."""

from collections.abc import Iterable

import onnx
import onnx_ir as ir

from zeropoint.engine.graph import name_of
from zeropoint.engine.protobuf import body_infos, inferred
from zeropoint.engine.runtime import Session

_ELEMENT_TYPES = {f"tensor({kind.name.lower()})": kind for kind in ir.DataType}

# Shapes that are computed from shapes that were themselves open.
_ROUNDS = 3


def infer_shapes(model: ir.Model) -> None:
    """Fill in types and shapes of the values of all graphs, in place and at best effort.

    Nothing is done where all are known. Weights stay where they are: only tensors below 1 KiB are
    looked at. Names must be unique in the model (`settle_names`). Symbols that inference makes up
    are left out: it gives all elements of a sequence one shape, which ONNX Runtime would plan
    memory by.
    """
    values = _unknown(model.graph.all_nodes())
    if not values:
        return
    graph = inferred_proto(model).graph
    infos = (*graph.value_info, *graph.output, *body_infos(graph))
    types = {info.name: info.type.tensor_type for info in infos}
    symbols = _symbols(model)
    for value in values:
        if (known := types.get(name_of(value))) is None:
            continue
        if known.elem_type:
            value.type = ir.TensorType(ir.DataType(known.elem_type))
        if known.HasField("shape"):
            value.shape = ir.Shape(
                d.dim_value
                if d.HasField("dim_value")
                else (d.dim_param if d.dim_param in symbols else None)
                for d in known.shape.dim
            )


def _symbols(model: ir.Model) -> set[str]:
    """Return the symbols of sizes that the user's file declares."""
    inner = (value for node in model.graph.all_nodes() for value in node.outputs)
    values = (*model.graph.inputs, *model.graph.outputs, *inner)
    shapes = (value.shape for value in values if value.shape is not None)
    sizes = (size.value for shape in shapes for size in shape if isinstance(size, ir.SymbolicDim))
    return {symbol for symbol in sizes if symbol}


def unknown_values(model: ir.Model) -> list[ir.Value]:
    """Return the values of the main graph whose type or rank is not known."""
    return _unknown(model.graph)


def _unknown(nodes: Iterable[ir.Node]) -> list[ir.Value]:
    return [
        value
        for node in nodes
        for value in node.outputs
        if value.name and (value.type is None or value.shape is None)
    ]


def learn_types(values: Iterable[ir.Value], session: Session) -> None:
    """Give values the types and shapes that ONNX Runtime knows: they are outputs of the session."""
    slots = {slot.name: slot for slot in session.output_slots}
    for value in values:
        slot = slots.get(name_of(value))
        element_type = _ELEMENT_TYPES.get(slot.type) if slot is not None else None
        if slot is None or element_type is None:
            continue
        value.type = ir.TensorType(element_type)
        if value.shape is None and slot.shape:
            value.shape = ir.Shape([size if isinstance(size, int) else None for size in slot.shape])


def inferred_proto(model: ir.Model) -> onnx.ModelProto:
    """Return a model serialized, with types and shapes as far as they can be inferred."""
    proto = inferred(ir.serde.serialize_model(model))
    for _ in range(_ROUNDS):
        ranks = _ranks_of_reshaped(proto.graph)
        if not ranks:
            break
        for name, (element_type, rank) in ranks.items():
            proto.graph.value_info.append(
                onnx.helper.make_tensor_value_info(name, element_type, [None] * rank)
            )
        proto = inferred(proto)
    return proto


def _ranks_of_reshaped(graph: onnx.GraphProto) -> dict[str, tuple[int, int]]:
    """Return element type and rank of what is reshaped to a computed shape of known length.

    onnx leaves these open; everything behind them stays open with them.
    """
    infos = (*graph.value_info, *graph.input, *graph.output)
    types = {info.name: info.type.tensor_type for info in infos}
    lengths = {
        name: kind.shape.dim[0].dim_value
        for name, kind in types.items()
        if len(kind.shape.dim) == 1
    }
    found: dict[str, tuple[int, int]] = {}
    for node in graph.node:
        if node.op_type != "Reshape" or node.domain or len(node.input) < 2:
            continue
        output = types.get(node.output[0])
        rank = lengths.get(node.input[1], 0)
        if rank and (output is None or not output.HasField("shape")):
            source = types.get(node.input[0])
            found[node.output[0]] = (source.elem_type if source is not None else 0, rank)
    return found
