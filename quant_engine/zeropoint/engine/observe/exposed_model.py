"""The float model with activations as outputs, whole or cut into groups."""

import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from zeropoint.engine.graph import repeats
from zeropoint.engine.load import input_ranges
from zeropoint.engine.observe.measured_sizes import measured_bytes
from zeropoint.engine.protobuf import body_infos, has_bodies, inferred, surface

Shapes = Mapping[str, tuple[int, ...]]


class ExposedModel:
    """A model of which activations are to be seen.

    With `groups` groups, group g has every groups-th activation, from the g-th on. Neighbours are
    alike in size, so the groups are, too, whatever the shapes: the same few files serve all
    batches. Group 0 also has the model's own outputs; the operators behind the last activation of
    another group do not run there.
    """

    def __init__(self, model: ir.Model, tensors: Sequence[str], folder: Path) -> None:
        """Take a model.

        Args:
            model: It may be changed afterwards. Its external data lies in `folder`.
            tensors: Names of activations, in the main graph or in bodies of If and Loop.
            folder: Where to write models.
        """
        self._folder = folder
        self._proto = ir.to_proto(model)  # changed while a group is written
        self._lock = threading.Lock()
        self._written: dict[tuple[int, int], Path] = {}
        self._repeats = repeats(model)
        self._inputs = input_ranges(model.graph) if self._repeats else ()
        graph = self._proto.graph
        self._own = [output.SerializeToString() for output in graph.output]
        self.outputs = tuple(output.name for output in graph.output)
        inputs = {value.name for value in graph.input}
        self.inputs = tuple(name for name in tensors if name in inputs)
        hidden = inputs.union(self.outputs)
        self.hidden = tuple(name for name in tensors if name not in hidden)
        self._seen = tuple(name for name in self.outputs if name in set(tensors) - inputs)
        # Inputs whose first axis may have any size.
        self.batched = frozenset(
            value.name
            for value in graph.input
            if any(not d.HasField("dim_value") for d in value.type.tensor_type.shape.dim[:1])
        )
        self.most_groups = 1 << max(0, len(self.hidden) - 1).bit_length()

    def members(self, groups: int, group: int) -> tuple[str, ...]:
        """Return the activations that one group makes visible."""
        return self.hidden[group::groups]

    def write(self, groups: int, group: int) -> tuple[Path, tuple[str, ...]]:
        """Write the model of one group, once; return its path, and its outputs that are to be seen.

        For any thread: one may open a session while another looks for where to cut batches.
        """
        members = self.members(groups, group)
        with self._lock:
            if (groups, group) not in self._written:
                self._written[groups, group] = self._write(groups, group, members)
        return self._written[groups, group], members if group else (*self._seen, *members)

    def _write(self, groups: int, group: int, members: Sequence[str]) -> Path:
        proto = self._proto
        if has_bodies(proto):
            proto = onnx.ModelProto()
            proto.CopyFrom(self._proto)
            surface(proto, members)
        outputs = proto.graph.output
        del outputs[:]
        if group == 0:
            outputs.extend(onnx.ValueInfoProto.FromString(output) for output in self._own)
        # ONNX Runtime infers the types.
        outputs.extend(onnx.ValueInfoProto(name=name) for name in members)
        path = self._folder / f"observed-{group + 1}-of-{groups}.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    def weight_bytes(self) -> int:
        """Return how much one session takes, roughly."""
        return sum(
            math.prod(tensor.dims) * _item_bytes(tensor.data_type)
            for tensor in self._proto.graph.initializer
        )

    def samples(self, shapes: Shapes) -> int:
        """Return how many samples inputs of these shapes hold; 1 where they do not agree."""
        rows = {shape[0] for name, shape in shapes.items() if name in self.batched and shape}
        return rows.pop() if len(rows) == 1 else 1

    def sizes(self, shapes: Shapes) -> dict[str, int]:
        """Return the bytes of each hidden activation for given shapes of the inputs.

        It is inferred, at a few milliseconds for hundreds of nodes. What cannot be inferred is
        measured where there are Loops, and else taken to be as large as the largest that can.
        """
        known = _inferred_bytes(self._copy(), shapes)
        largest = max(known.values(), default=0)
        sizes = {
            name: known.get(name, largest) * self._repeats.get(name, 1) for name in self.hidden
        }
        unknown = [name for name in self.hidden if name not in known]
        if self._repeats and unknown:
            path = self._folder / f"sizes-{threading.get_ident()}.onnx"
            sizes.update(measured_bytes(self._copy(), unknown, self._inputs, shapes, path))
        return sizes

    def _copy(self) -> onnx.ModelProto:
        proto = onnx.ModelProto()
        with self._lock:
            proto.CopyFrom(self._proto)
        return proto


def _inferred_bytes(proto: onnx.ModelProto, shapes: Shapes) -> dict[str, int]:
    """Return the bytes of each value whose shape follows from the inputs'; the model is changed."""
    graph = proto.graph
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    for value in graph.input:
        if value.name in shapes:
            shape = value.type.tensor_type.shape
            shape.ClearField("dim")
            shape.dim.extend(
                onnx.TensorShapeProto.Dimension(dim_value=size) for size in shapes[value.name]
            )
    known = inferred(proto).graph
    values = (*known.value_info, *known.output, *known.input, *body_infos(known))
    return {value.name: size for value in values if (size := _bytes(value)) is not None}


def _bytes(value: onnx.ValueInfoProto) -> int | None:
    kind = value.type.tensor_type
    dims = kind.shape.dim
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in dims):
        return None
    return math.prod(dim.dim_value for dim in dims) * _item_bytes(kind.elem_type)


def _item_bytes(element_type: int) -> int:
    return np.dtype(ir.DataType(element_type).numpy()).itemsize if element_type else 4
