"""What a model file is made of: its nodes, its opset, and whether its weights lie elsewhere.

Read without onnx, field by field; field numbers are those of onnx.proto.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zeropoint.client.errors import ModelError
from zeropoint.client.external_data import external_tensors
from zeropoint.client.protobuf_fields import Fields, MalformedError

_MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 7, 8, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _FUNCTION_NODE = 1, 7
_NODE_NAME, _NODE_OP_TYPE, _NODE_ATTRIBUTE = 3, 4, 5
_ATTRIBUTE_GRAPHS = (6, 11)  # one, and many
_ONNX_DOMAINS = ("", "ai.onnx")
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class OutlineNode:
    """A node of a model, of a body in it, or of a local function.

    Attributes:
        name: Its name, which may be empty.
        op_type: Its operator type.
    """

    name: str
    op_type: str


@dataclass(frozen=True, slots=True)
class Outline:
    """A model without its numbers.

    Attributes:
        nodes: Its nodes, those of bodies and local functions included.
        opset: Version of ONNX's own operators; 0 where the model does not say.
        external: Whether some weights lie in files of their own.
    """

    nodes: tuple[OutlineNode, ...]
    opset: int
    external: bool


def outline(path: Path) -> Outline:
    """Read the outline of an ONNX file.

    Raises:
        ModelError: the file is no protobuf message.
        OSError: the file cannot be read.
    """
    nodes: list[OutlineNode] = []
    opset = 0
    with path.open("rb") as file:
        fields = Fields(file)
        try:
            for number, _, end in fields.fields(path.stat().st_size):
                if number == _MODEL_GRAPH:
                    nodes += _nodes(fields, _GRAPH_NODE, end, 0)
                elif number == _MODEL_FUNCTION:
                    nodes += _nodes(fields, _FUNCTION_NODE, end, 0)
                elif number == _MODEL_OPSET:
                    opset = max(opset, _opset(fields, end))
        except MalformedError as error:
            message = f"{path} is not an ONNX model: {error} at byte {file.tell()}."
            raise ModelError("MODEL_INVALID", message, {"path": str(path)}) from None
    external = next(external_tensors(path), None) is not None
    return Outline(tuple(nodes), opset, external)


def _nodes(fields: Fields, node: int, end: int, depth: int) -> Iterator[OutlineNode]:
    """Yield the nodes of a graph or function, whose field `node` holds them."""
    if depth > _MAX_DEPTH:
        raise MalformedError("graphs are nested too deeply")
    for number, _, field_end in fields.fields(end):
        if number == node:
            yield from _node(fields, field_end, depth)


def _node(fields: Fields, end: int, depth: int) -> Iterator[OutlineNode]:
    name = op_type = ""
    inner: list[OutlineNode] = []
    for number, _, field_end in fields.fields(end):
        if number == _NODE_NAME:
            name = fields.text(field_end)
        elif number == _NODE_OP_TYPE:
            op_type = fields.text(field_end)
        elif number == _NODE_ATTRIBUTE:
            for attribute, _, graph_end in fields.fields(field_end):
                if attribute in _ATTRIBUTE_GRAPHS:
                    inner += _nodes(fields, _GRAPH_NODE, graph_end, depth + 1)
    yield OutlineNode(name, op_type)
    yield from inner


def _opset(fields: Fields, end: int) -> int:
    domain, version = "", 0
    for number, value, field_end in fields.fields(end):
        if number == _OPSET_DOMAIN:
            domain = fields.text(field_end)
        elif number == _OPSET_VERSION:
            version = value
    return version if domain in _ONNX_DOMAINS else 0
