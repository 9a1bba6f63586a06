"""A model without its weights, which stay where they are in its file."""

from pathlib import Path

import numpy as np
import onnx

from zeropoint.engine.wire.mapping import map_file
from zeropoint.engine.wire.model_wire import Pieces, fields, rewrite_tensors

_RAW_DATA = 9  # number of the field in onnx.TensorProto
_LEAST_BYTES = 1024  # smaller constants may say shapes


def skeleton(path: Path) -> onnx.ModelProto:
    """Read a model; tensors of 1 KiB and more refer to the file as to external data.

    Args:
        path: The ONNX file.

    Raises:
        WireError: it is no ONNX model.
    """
    view = map_file(path)
    base = _address(view)

    def refer(tensor: memoryview) -> Pieces | None:
        found = next((field for field in fields(tensor) if field.number == _RAW_DATA), None)
        if found is None or not found.is_bytes:
            return None
        rest = onnx.TensorProto.FromString(
            bytes(tensor[: found.start]) + bytes(tensor[found.end :])
        )
        rest.data_location = onnx.TensorProto.EXTERNAL
        offset = _address(tensor) + found.begin - base
        length = found.end - found.begin
        for key, value in (("location", path.name), ("offset", offset), ("length", length)):
            rest.external_data.add(key=key, value=str(value))
        return [memoryview(rest.SerializeToString())]

    pieces = rewrite_tensors(view, refer, threshold=_LEAST_BYTES)
    return onnx.ModelProto.FromString(b"".join(pieces))


def embed(model: onnx.ModelProto, path: Path) -> None:
    """Give a skeleton, or what is left of it, its weights back, in place.

    Args:
        model: What `skeleton` returned, nodes and initializers removed.
        path: The ONNX file.
    """
    view = map_file(path)
    for tensor in model.graph.initializer:
        told = {entry.key: entry.value for entry in tensor.external_data}
        if told.get("location") != path.name:
            continue
        offset, length = int(told["offset"]), int(told["length"])
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        tensor.raw_data = bytes(view[offset : offset + length])


def _address(view: memoryview) -> int:
    address: int = np.frombuffer(view, np.uint8).ctypes.data
    return address
