"""What tf2onnx makes of a Keras network with FakeQuant: channels last, weights folded or not."""

import numpy as np
from qat.models.building import Graph, Parts, stored, symmetric, trained
from qat.models.saving import save

PATTERN = "tf2onnx's documented output, by hand, from a trained float model"
LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def activation(graph: Graph, parts: Parts, x: str, name: str) -> str:
    """FakeQuantWithMinMaxVars: uint8, the range nudged so that zero is a whole number."""
    scale, zero = parts.affine(name)
    return graph.pair(x, graph.constant(scale), graph.constant(np.uint8(zero)))


def weight(graph: Graph, parts: Parts, name: str, *, folded: bool) -> str:
    """Narrow range; as tf2onnx leaves it (stored, OIHW), or turned from HWIO at run time."""
    data = parts.weights[name]
    scale = symmetric(data, 0)
    named = [graph.constant(scale), graph.constant(np.zeros(scale.shape, np.int8))]
    whole = stored(data, scale, 0).astype(np.int8)
    if folded:
        return graph.add("DequantizeLinear", graph.constant(whole), *named, axis=0)
    turned = graph.constant(whole.transpose(2, 3, 1, 0).copy())
    wide = graph.add("DequantizeLinear", turned, *named, axis=3)
    return graph.add("Transpose", wide, perm=[3, 2, 0, 1])


def channels_last(parts: Parts, *, folded: bool) -> Graph:
    """Pairs see NHWC, Conv and MaxPool NCHW: a Transpose stands between DQ and each of them."""
    graph = Graph(13)
    y = activation(graph, parts, graph.add("Transpose", "x", perm=LAST), "x")
    for name in ("first", "second"):
        bias = graph.constant(parts.biases[name])
        y = graph.add("Transpose", y, perm=FIRST)
        y = graph.add("Conv", y, weight(graph, parts, name, folded=folded), bias, pads=[1, 1, 1, 1])
        y = graph.add("Transpose", graph.add("Relu", y), perm=LAST)
        y = activation(graph, parts, y, name)
        if name == "first":
            y = graph.add("Transpose", y, perm=FIRST)
            y = graph.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
            y = graph.add("Transpose", y, perm=LAST)
    flat = graph.add("Reshape", y, graph.constant(np.array([-1, 192])))
    # Keras flattens channels last: the head's columns are in that order.
    head = parts.weights["head"].reshape(10, 12, 4, 4).transpose(0, 2, 3, 1).reshape(10, -1)
    scale = symmetric(head, None)
    whole = graph.constant(stored(head, scale, None).astype(np.int8).T.copy())
    wide = graph.add("DequantizeLinear", whole, graph.constant(scale), graph.constant(np.int8(0)))
    product = graph.add("MatMul", flat, wide)
    scores = graph.add("Add", product, graph.constant(parts.biases["head"]))
    activation(graph, parts, scores, "scores")
    return graph


def main() -> None:
    parts = trained()
    for name, folded in (("pattern_tf2onnx", True), ("pattern_tf2onnx_turned", False)):
        graph = channels_last(parts, folded=folded)
        how = "OIHW, lone DQ" if folded else "HWIO, lone DQ on axis 3, Transpose"
        special = f"Transpose between DQ and Conv; weights stored as int8 {how}; MatMul, Add"
        save(name, graph.model(graph.nodes[-1].output[0]), special, pattern=PATTERN)


if __name__ == "__main__":
    main()
