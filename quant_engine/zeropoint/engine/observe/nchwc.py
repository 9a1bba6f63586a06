"""Activations in ONNX Runtime's blocked layout, so that seeing them costs no conversion.

On CPUs ONNX Runtime keeps the tensors between convolutions as [N, C/b, H, W, b], with the channels
filled up to a multiple of b, and converts each that becomes an output to [N, C, H, W]: half the
time of a convolution for nothing, since a statistic does not ask where a value stands. Here the
optimized graph is changed so that the blocked tensors are the outputs.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from zeropoint.engine.runtime import Session

_DOMAIN = "com.microsoft.nchwc"


@dataclass(frozen=True, slots=True)
class BlockedOutput:
    """A tensor in blocked layout that stands for one of [N, channels, ...]."""

    name: str
    channels: int


def expose_blocked(optimized: Path, target: Path) -> dict[str, BlockedOutput]:
    """Write a graph that ONNX Runtime has optimized, in its folder, with blocked outputs.

    Returns:
        The outputs that have been replaced, by their former names; where there are none, nothing
        is written.
    """
    proto = onnx.load(optimized, load_external_data=False)
    graph = proto.graph
    read = {name for node in graph.node for name in node.input}
    outputs = {output.name for output in graph.output}
    replaced: dict[str, BlockedOutput] = {}
    nodes = []
    for node in graph.node:
        channels = _converted_channels(node)
        name = node.output[0] if node.output else ""
        if channels and name in outputs and name not in read and node.input[0] not in outputs:
            replaced[name] = BlockedOutput(node.input[0], channels)
        else:
            nodes.append(node)
    if not replaced:
        return {}
    del graph.node[:]
    graph.node.extend(nodes)
    for output in graph.output:
        if output.name in replaced:
            output.CopyFrom(onnx.ValueInfoProto(name=replaced[output.name].name))
    target.write_bytes(proto.SerializeToString())
    return replaced


def own_values(array: NDArray[Any], channels: int) -> Iterator[NDArray[Any]]:
    """Return the parts of a blocked array that are values and not filling.

    Args:
        array: Any type, [N, B, ...] with B, a multiple of the block, at least `channels`.
        channels: C of the tensor that it stands for.
    """
    if array.shape[1] == channels:
        yield array
        return
    block = block_size()
    spatial = array.shape[2:]
    blocks = array.reshape(array.shape[0], array.shape[1] // block, *spatial, block)
    whole, rest = divmod(channels, block)
    for sample in blocks:
        yield sample[:whole]
        if rest:
            yield sample[whole, ..., :rest]


@functools.cache
def block_size() -> int:
    """Return b of this CPU, found by letting ONNX Runtime convert one tensor."""
    channels, width = 64, 2
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("ReorderOutput", ["x"], ["y"], domain=_DOMAIN, channels=channels)],
            "block",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 1, width])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, 1, width])],
        ),
        opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(_DOMAIN, 1)],
        ir_version=8,
    )
    session = Session(model.SerializeToString(), finished=True)
    order = np.arange(channels * width, dtype=np.float32).reshape(1, channels, 1, width)
    (plain,) = session.run({"x": order})
    # The second column of the first channel stands one block behind the first one.
    return int(plain[0, 0, 0, 1])


def _converted_channels(node: onnx.NodeProto) -> int:
    """Return C where a node converts a blocked tensor to [N, C, ...], else 0."""
    if node.domain != _DOMAIN or node.op_type != "ReorderOutput":
        return 0
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    return 0 if attributes.get("channels_last") else attributes.get("channels", 0)
