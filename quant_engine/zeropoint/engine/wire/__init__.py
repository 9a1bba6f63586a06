"""Models as bytes: looked through and changed in a few places without being parsed."""

from zeropoint.engine.wire.mapping import map_file
from zeropoint.engine.wire.model_wire import (
    CHILDREN,
    Field,
    Message,
    Pieces,
    WireError,
    bytes_field_head,
    fields,
    rewrite_tensors,
)
from zeropoint.engine.wire.skeleton import embed, skeleton
