"""The base of the patterns made by hand: the float CNN with pairs of the plainest kind."""

import numpy as np
from onnx import TensorProto
from qat.models.building import Graph, Parts, network, symmetric
from qat.models.saving import save

BY_HAND = "by hand, from a trained float model"


class Plain:
    """uint8 activations and int8 weights with initializers as parameters."""

    opset, ir_version = 13, 8
    kind = TensorProto.FLOAT
    top, per_channel, optimizes = 255, True, True
    pattern = BY_HAND

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def act(self, graph: Graph, x: str, name: str) -> str:
        scale, zero = self.parts.affine(name, self.top)
        return self.chain(graph, x, graph.constant(scale), graph.constant(np.uint8(zero)))

    def chain(self, graph: Graph, x: str, scale: str, zero: str) -> str:
        return graph.pair(x, scale, zero)

    def weight(self, graph: Graph, name: str) -> str:
        data = self.parts.weights[name]
        scale = symmetric(data, 0 if self.per_channel else None)
        zero = graph.constant(np.zeros(scale.shape, np.int8))
        named = {"axis": 0} if self.per_channel else {}
        return graph.pair(graph.constant(data, name), graph.constant(scale), zero, **named)

    def save(self, name: str, special: str) -> None:
        graph = Graph(self.opset, self.kind)
        output = network(graph, self.parts, self.act, self.weight)
        model = graph.model(output, self.ir_version)
        save(name, model, special, optimizes=self.optimizes, pattern=self.pattern)
