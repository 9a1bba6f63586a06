"""Types by hand: float16, uint8 weights, int16 activations, int4 and uint4 weights."""

import ml_dtypes
import numpy as np
from onnx import TensorProto
from qat.models.building import Array, Graph, stored, symmetric, trained
from qat.models.patterns import Plain

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16


class CastAround(Plain):
    """float16 below opset 19: pairs take float32 only, so a Cast stands on either side."""

    opset, kind, pattern = 17, FLOAT16, "NVIDIA's float16 networks: Cast around the pairs"

    def act(self, graph: Graph, x: str, name: str) -> str:
        if name == "scores":
            return x
        peak = np.array(self.parts.ranges[name][1] / 127, np.float32)
        scale, zero = graph.constant(peak), graph.constant(np.int8(0))
        wide = graph.add("Cast", x, to=FLOAT)
        return graph.add("Cast", graph.pair(wide, scale, zero), to=FLOAT16)

    def weight(self, graph: Graph, name: str) -> str:
        data = self.parts.weights[name]
        scale = symmetric(data, 0)
        zero = graph.constant(np.zeros(scale.shape, np.int8))
        wide = graph.add("Cast", graph.constant(data.astype(np.float16)), to=FLOAT)
        pair = graph.pair(wide, graph.constant(scale), zero, axis=0)
        return graph.add("Cast", pair, to=FLOAT16)


class Half(Plain):
    """float16 from opset 19 on: scales are float16 themselves."""

    opset, ir_version, kind, pattern = 19, 9, FLOAT16, "float16 pairs without Cast"

    def act(self, graph: Graph, x: str, name: str) -> str:
        if name == "scores":
            return x
        scale = graph.constant(np.float16(self.parts.ranges[name][1] / 127))
        return graph.pair(x, scale, graph.constant(np.int8(0)))

    def weight(self, graph: Graph, name: str) -> str:
        data = self.parts.weights[name]
        scale = symmetric(data, 0).astype(np.float16)
        zero = graph.constant(np.zeros(scale.shape, np.int8))
        weight = graph.constant(data.astype(np.float16))
        return graph.pair(weight, graph.constant(scale), zero, axis=0)


class Unsigned(Plain):
    """uint8 weights with a zero point that is not the middle, one scale per tensor."""

    def weight(self, graph: Graph, name: str) -> str:
        data = self.parts.weights[name]
        scale = np.float32((data.max() - data.min()) / 255)
        zero = graph.constant(np.uint8(round(-data.min() / float(scale))))
        return graph.pair(graph.constant(data), graph.constant(scale), zero)


class Wide(Plain):
    """int16 activations, symmetric, over int8 weights."""

    opset, ir_version, pattern = 21, 10, "TensorFlow's 16x8 scheme, by hand"

    def act(self, graph: Graph, x: str, name: str) -> str:
        low, high = self.parts.ranges[name]
        scale = graph.constant(np.array(max(-low, high) / 32767, np.float32))
        return graph.pair(x, scale, graph.constant(np.int16(0)))


class Narrow(Plain):
    """4-bit weights: int4 and uint4 per channel for the Conv, blocks of 32 for the head."""

    opset, ir_version = 21, 10

    def weight(self, graph: Graph, name: str) -> str:
        data = self.parts.weights[name]
        if name == "head":
            return self.blocked(graph, data)
        scale = symmetric(data, 0, 7)
        zero = 8 if name == "second" else 0
        kind = ml_dtypes.uint4 if zero else ml_dtypes.int4
        whole = graph.constant(stored(data, scale, 0, zero).astype(kind))
        zeros = graph.constant(np.full(scale.shape, zero).astype(kind))
        return graph.add("DequantizeLinear", whole, graph.constant(scale), zeros, axis=0)

    @staticmethod
    def blocked(graph: Graph, data: Array) -> str:
        blocks = data.reshape(10, -1, 32)
        scale = (np.abs(blocks).max(2) / 7).astype(np.float32)
        whole = np.rint(blocks / scale[..., None]).reshape(data.shape)
        return graph.add(
            "DequantizeLinear",
            graph.constant(whole.astype(ml_dtypes.int4)),
            graph.constant(scale),
            axis=1,
            block_size=32,
        )


def main() -> None:
    parts = trained()
    CastAround(parts).save("pattern_float16_cast", "float16; Cast to float32 and back at pairs")
    Half(parts).save("pattern_float16", "float16 scales at opset 19; weights and inputs only")
    Unsigned(parts).save("pattern_unsigned", "uint8 weights with a zero point, per tensor")
    Wide(parts).save("pattern_int16", "int16 activations, int8 weights; opset 21")
    Narrow(parts).save(
        "pattern_int4", "int4 and uint4 weights stored, per channel and in blocks of 32; lone DQ"
    )


if __name__ == "__main__":
    main()
