"""Models that give tensors of their inside: copies of files, beside their external data."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

_NAME = "exposed.onnx"


def read_graph(path: Path) -> onnx.ModelProto:
    """Read a model without its external data."""
    return onnx.ModelProto.FromString(path.read_bytes())


def expose(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Make tensors of the main graph outputs, in place; ONNX Runtime finds their types."""
    there = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in there
    )


@contextmanager
def written_beside(path: Path, model: onnx.ModelProto, name: str = _NAME) -> Iterator[Path]:
    """Write a model to where the external data of another one are, for as long as it is needed.

    Args:
        path: The other one.
        model: What is written.
        name: Of the file.
    """
    target = path.with_name(name)
    target.write_bytes(model.SerializeToString())
    try:
        yield target
    finally:
        target.unlink()
