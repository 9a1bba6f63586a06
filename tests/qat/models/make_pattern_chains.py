"""Chains by hand: where parameters come from, and what stands between Q and DQ."""

import numpy as np
from onnx import numpy_helper
from qat.models.building import Graph, symmetric, trained
from qat.models.patterns import Plain


class Opset10(Plain):
    """Neither axis nor Clip of integers: one scale per tensor.

    ONNX Runtime 1.32 does not load it with its optimizations: for the float biases it makes a
    Round, which opset 10 does not have.
    """

    opset, ir_version, per_channel, optimizes = 10, 5, False, False


class Constants(Plain):
    """Parameters out of Constant nodes, through Identity, Cast, Reshape and Unsqueeze."""

    def act(self, graph: Graph, x: str, name: str) -> str:
        scale, zero = self.parts.affine(name)
        number = graph.add("Constant", value_float=float(scale))
        shaped = graph.add("Reshape", number, graph.add("Constant", value_ints=[1]))
        wide = graph.add("Unsqueeze", graph.add("Constant", value_int=zero), graph.constant([0]))
        return self.chain(graph, x, graph.add("Identity", shaped), graph.add("Cast", wide, to=2))


class MinMax(Plain):
    """The range 0..127 by Min and Max of integers in place of Clip."""

    opset, top = 13, 127

    def chain(self, graph: Graph, x: str, scale: str, zero: str) -> str:
        low, high = graph.constant(np.uint8(0)), graph.constant(np.uint8(127))
        quantized = graph.add("QuantizeLinear", x, scale, zero)
        clipped = graph.add("Min", graph.add("Max", quantized, low), high)
        return graph.add("DequantizeLinear", clipped, scale, zero)


class Moved(Plain):
    """Reshape and Transpose between Q and DQ; weights stored turned, and reshaped behind DQ."""

    def chain(self, graph: Graph, x: str, scale: str, zero: str) -> str:
        y = graph.add("QuantizeLinear", x, scale, zero)
        if x == "x":
            y = graph.add("Reshape", y, graph.constant(np.array([-1, 8, 8, 1])))
            y = graph.add("Transpose", y, perm=[0, 3, 1, 2])
        elif x.startswith("Gemm"):
            y = graph.add("Transpose", graph.add("Transpose", y, perm=[1, 0]), perm=[1, 0])
        return graph.add("DequantizeLinear", y, scale, zero)

    def weight(self, graph: Graph, name: str) -> str:
        data = self.parts.weights[name]
        scale = graph.constant(symmetric(data, 0))
        zero = graph.constant(np.zeros(len(data), np.int8))
        if name == "head":
            turned = graph.pair(graph.constant(data.T.copy()), scale, zero, axis=1)
            return graph.add("Transpose", turned, perm=[1, 0])
        flat = graph.pair(graph.constant(data.reshape(len(data), -1)), scale, zero, axis=0)
        return graph.add("Reshape", flat, graph.constant(np.array(data.shape)))


class Shared(Plain):
    """One scale for the activations of both Conv, no zero point at all, two DQ behind one Q."""

    def act(self, graph: Graph, x: str, name: str) -> str:
        if name in ("x", "scores"):
            return super().act(graph, x, name)
        if not any(t.name == "shared_scale" for t in graph.initializers):
            scale = max((self.parts.affine(n)[0] for n in ("first", "second")), key=float)
            graph.initializers.append(numpy_helper.from_array(scale, "shared_scale"))
        quantized = graph.add("QuantizeLinear", x, "shared_scale")
        one, two = (graph.add("DequantizeLinear", quantized, "shared_scale") for _ in range(2))
        return graph.add("Max", one, two)


class Unequal(Plain):
    """DQ with another scale than Q, as after equalization: the pair is also a Mul."""

    def chain(self, graph: Graph, x: str, scale: str, zero: str) -> str:
        if x.startswith("Gemm"):
            return graph.pair(x, scale, zero)
        quantized = graph.add("QuantizeLinear", x, scale, zero)
        learned = next(t for t in graph.initializers if t.name == scale)
        wider = numpy_helper.to_array(learned) * np.float32(1.015625)
        return graph.add("DequantizeLinear", quantized, graph.constant(wider), zero)


def main() -> None:
    parts = trained()
    Opset10(parts).save(
        "pattern_opset10", "opset 10, IR 5: no axis; ONNX Runtime's optimizer breaks it"
    )
    Constants(parts).save(
        "pattern_constants", "parameters from Constant through Identity, Cast, Reshape, Unsqueeze"
    )
    MinMax(parts).save("pattern_minmax", "0..127 by Max and Min of uint8 in place of Clip")
    Moved(parts).save(
        "pattern_moved", "Reshape and Transpose between Q and DQ, and behind the weights' DQ"
    )
    Shared(parts).save(
        "pattern_shared", "one scale in several pairs, no zero point, two DQ behind one Q"
    )
    Unequal(parts).save("pattern_unequal", "DQ's scale is not Q's: not a pair to be merged")


if __name__ == "__main__":
    main()
