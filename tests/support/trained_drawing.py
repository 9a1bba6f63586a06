"""What random fake-quantized graphs are drawn with: names, constants, pairs, weights, biases."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Shape = tuple[int, ...]

_STARTS: tuple[Shape, ...] = ((2, 4, 8, 8), (1, 3, 9, 7), (3, 6, 8), (8, 8), (5, 8), (2, 2, 4, 8))
_LIMITS: tuple[tuple[int, int], ...] = ((0, 127), (0, 15), (3, 90), (100, 255), (0, 1))
_SIGNED_LIMITS: tuple[tuple[int, int], ...] = ((-127, 127), (-8, 7), (-3, 100), (-64, 63), (0, 7))
_INTEGER_CLIP, _PER_CHANNEL, _WIDE = 12, 13, 21  # opsets


class Drawing:
    """A graph that grows node by node.

    Attributes:
        random: Where all choices come from.
        shapes: Shape of each activation so far.
        fakes: Activations behind a pair.
        scales: Scale of what a pair gives, and of what a stored weight gives.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.opset = int(self.one_of([10, 11, 12, 13, 13, 14, 15, 16, 17, 17, 18, 19, 20, 21, 21]))
        self.nodes: list[onnx.NodeProto] = []
        self.outer: list[onnx.NodeProto] | None = None
        self.constants: dict[str, Array] = {}
        self.inner: dict[str, Array] = {}
        self.codes: dict[str, int] = {}
        self.shapes: dict[str, Shape] = {}
        self.fakes: dict[str, list[str]] = {}
        self.scales: dict[str, Array] = {}
        self.shared: dict[tuple[Any, ...], tuple[str, Array]] = {}
        self.kind = self.one_of([np.uint8, np.uint8, np.int8, np.int8, None])
        if self.opset >= _WIDE and self.maybe(0.2):
            self.kind = self.one_of([np.int16, np.uint16])
        self.used: set[str] = set()
        self.count = 0
        self.density = self.one_of([1.0, 0.9, 0.6])
        shape = self.one_of(_STARTS)
        self.shapes["x"] = shape
        self.feeds = {"x": random.normal(size=shape).astype(np.float32)}

    # Choices

    def one_of(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def maybe(self, chance: float = 0.5) -> bool:
        return bool(self.random.random() < chance)

    # Parts

    def name(self, prefix: str = "t") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def constant(self, array: Array, name: str = "k") -> str:
        name = self.name(name)
        within = self.outer is not None and self.maybe()
        (self.inner if within else self.constants)[name] = np.asarray(array)
        return name

    def node(
        self, op_type: str, inputs: Sequence[str], shape: Sequence[int] = (), **attributes: Any
    ) -> str:
        output = self.name()
        name = "" if self.maybe(0.2) else f"{output}_node"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        self.used.update(inputs)
        self.shapes[output] = tuple(shape)
        return output

    def hidden(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node whose result no layer shall read."""
        output = self.node(op_type, inputs, (), **attributes)
        del self.shapes[output]
        return output

    def activation_kind(self) -> Any:
        return self.kind or self.one_of([np.uint8, np.int8])

    def pair(self, value: str) -> str:
        """Fake-quantize an activation."""
        known = self.fakes.get(value, [])
        if known and self.maybe(0.6) and self.outer is None:
            return str(self.one_of(known))
        kind = self.activation_kind()
        info = np.iinfo(kind)
        wide = kind in (np.int16, np.uint16)
        scale = np.array(self.random.uniform(0.004, 0.03) / (200 if wide else 1), np.float32)
        middle = (info.max + info.min + 1) // 2
        span = (info.max - info.min) // 8
        zero = self.one_of(
            [middle, middle, info.min, int(middle + self.random.integers(-span, span))]
        )
        if self.maybe(0.3):
            scale = scale.reshape(1)
        parameters = [self.constant(scale, "s")]
        point = np.full(scale.shape, zero, kind)
        if kind is not np.uint8 or zero or self.maybe(0.7):
            parameters.append(self.constant(point, "z"))
        shape = self.shapes[value]
        codes = self.hidden("QuantizeLinear", [value, *parameters])
        if self.outer is None and self.maybe(0.03):
            self.codes[codes] = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        clipped = self.limits(codes, kind)
        result = self.node("DequantizeLinear", [clipped, *parameters], shape)
        self.scales[result] = scale.reshape(())
        if self.outer is None:
            self.fakes.setdefault(value, []).append(result)
        for _ in range(int(self.maybe(0.05))):  # twice the same, or with other codes
            if self.outer is None:
                again = self.node("DequantizeLinear", [codes, *parameters], shape)
                self.scales[again] = scale.reshape(())
                self.fakes[value].append(again)
        if self.maybe(0.08):
            return self.pair(result)
        return result

    def limits(self, codes: str, kind: Any) -> str:
        if self.opset < _INTEGER_CLIP or kind not in (np.int8, np.uint8) or self.maybe(0.6):
            return codes
        low, high = self.one_of(_LIMITS if kind is np.uint8 else _SIGNED_LIMITS)
        form = self.one_of(["clip", "clip", "minmax", "max only"])
        if form == "clip":
            ends = [self.constant(np.array(end, kind)) for end in (low, high)]
            return self.hidden("Clip", [codes, *ends])
        if form == "max only":
            return self.hidden("Clip", [codes, "", self.constant(np.array(high, kind))])
        upper = self.hidden("Min", [codes, self.constant(np.array(high, kind))])
        return self.hidden("Max", [upper, self.constant(np.array(low, kind))])

    def read(self, value: str) -> str:
        """Return an activation as a layer reads it: mostly fake-quantized."""
        if value in self.scales and self.maybe(0.7):
            return value
        return self.pair(value) if self.maybe(self.density) else value

    def weight(self, shape: Shape, axis: int, fan_in: int) -> str:
        """Return a weight as a layer reads it; `axis` is that of its output channels."""
        key = (shape, axis)
        if key in self.shared and self.maybe(0.3):
            return self.shared[key][0]
        array = (self.random.normal(size=shape) * max(fan_in, 1) ** -0.5).astype(np.float32)
        if self.maybe(0.07):
            return self.constant(array, "w")
        kind = self.one_of([np.int8, np.int8, np.int8, np.uint8])
        channels = self.opset >= _PER_CHANNEL and self.maybe(0.6)
        if channels and self.maybe(0.1):
            axis = int(self.random.integers(len(shape)))  # of another axis than is expected
        size = (shape[axis],) if channels else self.one_of([(), (1,)])
        scale = (self.random.uniform(0.5, 1.5, size) * 3 * max(fan_in, 1) ** -0.5 / 127).astype(
            np.float32
        )
        axis_attribute = axis - len(shape) if channels and self.maybe(0.2) else axis
        middle = 128 if kind is np.uint8 else 0
        zero = np.full(size, middle, kind)
        if self.maybe(0.2):
            zero = (middle + self.random.integers(-20, 20, size)).astype(kind)
        attributes = {"axis": axis_attribute} if channels else {}
        result = self.stored(array, scale, zero, attributes)
        self.scales[result] = scale.reshape(()) if scale.size == 1 else scale
        if self.outer is None:
            self.shared[key] = result, array
        return result

    def stored(self, array: Array, scale: Array, zero: Array, attributes: dict[str, int]) -> str:
        kind, shape = zero.dtype, array.shape
        parameters = [self.constant(scale, "ws"), self.constant(zero, "wz")]
        if kind == np.int8 and not zero.any() and self.maybe(0.3):
            parameters.pop()
        form = self.one_of(["float", "float", "stored", "transposed", "reshaped"])
        if form == "float" and len(parameters) == 2:
            codes = self.hidden(
                "QuantizeLinear", [self.constant(array, "w"), *parameters], **attributes
            )
            limited = self.limits(codes, kind.type)
            return self.hidden("DequantizeLinear", [limited, *parameters], **attributes)
        axis = attributes.get("axis", 0) % max(len(shape), 1)
        spread = [-1 if a == axis and scale.size > 1 else 1 for a in range(len(shape))]
        info = np.iinfo(kind)
        codes = np.clip(
            np.rint(array / scale.reshape(spread)) + zero.reshape(spread), info.min, info.max
        ).astype(kind)
        if form == "transposed" and len(shape) > 1:
            order = tuple(int(a) for a in self.random.permutation(len(shape)))
            moved = codes.transpose(order)
            attributes = {"axis": order.index(axis)} if attributes else {}
            fake = self.hidden(
                "DequantizeLinear", [self.constant(moved, "w"), *parameters], **attributes
            )
            return self.hidden("Transpose", [fake], perm=list(np.argsort(order)))
        if form == "reshaped" and len(shape) > 1 and (axis == 0 or not attributes):
            attributes = {"axis": 0} if attributes else {}
            fake = self.hidden(
                "DequantizeLinear",
                [self.constant(codes.reshape(shape[0], -1), "w"), *parameters],
                **attributes,
            )
            return self.hidden("Reshape", [fake, self.constant(np.array(shape))])
        return self.hidden(
            "DequantizeLinear", [self.constant(codes, "w"), *parameters], **attributes
        )

    def bias(self, shape: Shape, data: str, weight: str) -> str:
        """Return a bias: floats, or int32 with the right scale, or with another."""
        array = self.random.normal(size=shape).astype(np.float32) * np.float32(0.3)
        one, other = self.scales.get(data), self.scales.get(weight)
        form = self.one_of(["float", "float", "right", "wrong"])
        if form == "float" or one is None or other is None or len(shape) != 1:
            return self.constant(array, "b")
        scale = np.asarray(one * other, np.float32)
        if scale.ndim and scale.size != shape[0]:
            return self.constant(array, "b")
        if form == "wrong":
            scale = scale * np.float32(1.7)
        codes = np.rint(array / scale).astype(np.int32)
        attributes = {"axis": 0} if scale.ndim else {}
        inputs = [self.constant(codes, "b"), self.constant(scale, "bs")]
        return self.hidden("DequantizeLinear", inputs, **attributes)

    def fits(self, *ranks: int) -> list[str]:
        return [name for name, shape in self.shapes.items() if len(shape) in ranks]

    # The whole

    def model(self, layers: Sequence[Callable[["Drawing", str], str | None]]) -> onnx.ModelProto:
        """Grow the graph and return it; a layer that does not fit gives None."""
        value = "x"
        for _ in range(int(self.random.integers(2, 8))):
            if self.maybe(0.25):
                value = str(self.one_of(list(self.shapes)))
            for _ in range(20):
                found = self.one_of(layers)(self, value)
                if found is not None:
                    value = found
                    break
        return self._model()

    def _model(self) -> onnx.ModelProto:
        ends = [name for name in self.shapes if name not in self.used and name != "x"]
        ends += [name for name in self.shapes if name in self.used - {"x"} and self.maybe(0.05)]
        if self.maybe(0.3) and ends:
            ends = [self.pair(end) if self.maybe() else end for end in ends]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in dict.fromkeys(ends)
        ]
        outputs += [helper.make_tensor_value_info(n, kind, None) for n, kind in self.codes.items()]
        free = self.shapes["x"][0] if self.maybe(0.7) else "batch"
        inputs = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [free, *self.shapes["x"][1:]])
        ]
        if self.maybe(0.15):
            inputs += [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
                for name, array in self.constants.items()
            ]
        tensors = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "graph", inputs, outputs, tensors)
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=10)
