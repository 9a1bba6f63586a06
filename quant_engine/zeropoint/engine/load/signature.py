"""What a model takes and gives."""

import onnx_ir as ir

from zeropoint.engine.graph import name_of
from zeropoint.engine.report import Signature, TensorSpec


def read_signature(graph: ir.Graph) -> Signature:
    """Return what must be fed and what comes out.

    Inputs that have a default value are left out: calibration runs with the default.
    """
    return Signature(
        inputs=tuple(
            tensor_spec(value) for value in graph.inputs if value.name not in graph.initializers
        ),
        outputs=tuple(tensor_spec(value) for value in graph.outputs),
    )


def tensor_spec(value: ir.Value) -> TensorSpec:
    """Return name, element type and shape of an input or output."""
    is_tensor = isinstance(value.type, ir.TensorType)
    return TensorSpec(
        name=name_of(value),
        element_type=value.type.dtype.value if is_tensor and value.type else 0,
        shape=_dimensions(value.shape),
    )


def _dimensions(shape: ir.Shape | None) -> tuple[int | str | None, ...] | None:
    if shape is None:
        return None
    return tuple(_dimension(size) for size in shape)


def _dimension(size: int | ir.SymbolicDim) -> int | str | None:
    if isinstance(size, int):
        return size if size >= 0 else None
    return size.value or None
