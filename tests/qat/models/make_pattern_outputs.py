"""Graphs by hand whose outputs, gaps or BatchNormalization a converter must take care of."""

import numpy as np
from onnx import TensorProto, helper
from qat.models.building import Graph, network, symmetric, trained
from qat.models.patterns import Plain
from qat.models.saving import save


class WeightsOnly(Plain):
    """Pairs on weights alone: every activation stays float."""

    def act(self, graph: Graph, x: str, name: str) -> str:
        return x


class ActivationsOnly(Plain):
    """Pairs on activations alone: every weight stays float."""

    def weight(self, graph: Graph, name: str) -> str:
        return graph.constant(self.parts.weights[name])


class Normalized(Plain):
    """BatchNormalization behind the Conv of the quantized weight; two of its scales negative.

    The weight is taken out of the trained one, so that the two in a row compute what it did.
    """

    factors = (np.linspace(0.5, 2, 12) * np.where(np.arange(12) % 5, 1, -1)).astype(np.float32)

    def weight(self, graph: Graph, name: str) -> str:
        if name != "second":
            return super().weight(graph, name)
        data = self.parts.weights[name] / self.factors.reshape(-1, 1, 1, 1)
        scale = symmetric(data, 0)
        zero = graph.constant(np.zeros(scale.shape, np.int8))
        return graph.pair(graph.constant(data), graph.constant(scale), zero, axis=0)

    def act(self, graph: Graph, x: str, name: str) -> str:
        if name == "second":
            graph.nodes.pop()  # the Relu, which comes behind the BatchNormalization
            conv = graph.nodes[-1]
            del conv.input[2]
            mean = self.factors / 4
            shift = self.parts.biases[name] + mean * self.factors
            values = (2 * self.factors, shift, mean, np.full(12, 4, np.float32))
            named = [graph.constant(value) for value in values]
            y = graph.add("BatchNormalization", conv.output[0], *named, epsilon=0.0)
            x = graph.add("Relu", y)
        return super().act(graph, x, name)


class Watched(Plain):
    """More outputs: a float tensor in front of its pair, integers behind Q, and a pair's DQ."""

    def save(self, name: str, special: str) -> None:
        graph = Graph(self.opset)
        model = graph.model(network(graph, self.parts, self.act, self.weight))
        relus = [node for node in model.graph.node if node.op_type == "Relu"]
        quantized = [node for node in model.graph.node if node.input[0] == relus[1].output[0]]
        behind = [node for node in model.graph.node if node.input[0] == quantized[0].output[0]]
        for node, kind, channels, size in (
            (relus[0], TensorProto.FLOAT, 8, 8),
            (quantized[0], TensorProto.UINT8, 12, 4),
            (behind[0], TensorProto.FLOAT, 12, 4),
        ):
            shape: list[str | int | None] = ["N", channels, size, size]
            value = helper.make_tensor_value_info(node.output[0], kind, shape)
            model.graph.output.append(value)
        save(name, model, special, pattern=self.pattern)


def main() -> None:
    parts = trained()
    WeightsOnly(parts).save("pattern_weights_only", "pairs on weights, none on activations")
    ActivationsOnly(parts).save("pattern_activations_only", "pairs on activations, float weights")
    Normalized(parts).save(
        "pattern_batchnorm", "BatchNormalization behind Conv, with negative scales; no Conv bias"
    )
    Watched(parts).save(
        "pattern_outputs", "graph outputs in front of a pair, between Q and DQ, and behind DQ"
    )


if __name__ == "__main__":
    main()
