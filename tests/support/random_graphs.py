"""Random graphs of a few nodes: what exporters write, and some of what they could."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx
from hypothesis import strategies as st
from support.graphs import Array, GraphBuilder, normal_batches

T = TypeVar("T")
Shape = tuple[int, ...]

_STARTS: tuple[Shape, ...] = ((2, 4, 8, 8), (1, 3, 9, 7), (3, 6, 8), (5, 8), (2, 2, 4, 6))
_BOUNDS = ((0.0, 6.0), (-0.4, 0.7), (0.2, 1.5), (-1.5, -0.1), (0.0, 1e9), (-1e9, 0.5))
_TAKEN = (
    *("x_scale", "x_zero_point", "x_quantized", "x_QuantizeLinear", "x_DequantizeLinear"),
    *("x_QuantizeLinear_Output", "x_DequantizeLinear_Output", "x_DynamicQuantizeLinear_Output"),
)


class RandomGraph:
    """A model and batches for it; no dataclass, of which Hypothesis would print every weight."""

    def __init__(self, model: onnx.ModelProto, batches: list[dict[str, Array]]) -> None:
        self.model = model
        self.batches = batches

    def __repr__(self) -> str:
        graph = self.model.graph
        nodes = [onnx.printer.to_text(node) for node in graph.node]
        weights = [f"{tensor.name} {list(tensor.dims)}" for tensor in graph.initializer]
        outputs = [value.name for value in graph.output]
        x = list(self.batches[0]["x"].shape)
        return f"x {x}\n{chr(10).join(nodes)}\n{', '.join(weights)}\n-> {outputs}"


@dataclass
class _Drawing:
    """A graph that grows node by node.

    Attributes:
        draw: Draws from a strategy.
        shapes: Shape of each activation so far, in order.
        shared: Weights and biases so far, by shape.
    """

    draw: Callable[..., Any]
    b: GraphBuilder
    shapes: dict[str, Shape] = field(default_factory=dict)
    shared: dict[Shape, list[str]] = field(default_factory=dict)

    def one_of(self, choices: Sequence[T]) -> T:
        chosen: T = self.draw(st.sampled_from(list(choices)))
        return chosen

    def maybe(self) -> bool:
        return bool(self.draw(st.booleans()))

    def weight(self, *shape: int, fan_in: int = 1) -> str:
        """Return a constant: a new one, or one that others read."""
        known = self.shared.setdefault(shape, [])
        if known and self.maybe():
            return self.one_of(known)
        name = self.name("w")
        known.append(self.b.weight(name, *shape, scale=float(fan_in) ** -0.5))
        return name

    def name(self, prefix: str = "t") -> str:
        """Return a name for a tensor: one that a quantizer would like to give, or a plain one."""
        used = {*self.shapes, *(tensor.name for tensor in self.b.initializers)}
        free = [name for name in _TAKEN if name not in used]
        if free and self.draw(st.integers(0, 5)) == 5:
            return self.one_of(free)
        return f"{prefix}{len(used)}"

    def other(self, value: str, *, same: bool = True) -> str | None:
        """Return an earlier activation of the same shape."""
        fits = [name for name, shape in self.shapes.items() if shape == self.shapes[value]]
        fits = [name for name in fits if name != value] if not same else fits
        return self.one_of(fits) if fits else None

    def add(
        self, op_type: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any
    ) -> None:
        output = self.name()
        name = self.one_of([f"n{len(self.b.nodes)}", "", f"{output}_QuantizeLinear"])
        self.b.node(op_type, inputs, output, name=name, **attributes)
        self.shapes[output] = tuple(shape)


def _conv(d: _Drawing, x: str) -> None:
    n, c, height, width = d.shapes[x]
    group = d.one_of([g for g in (1, 2, c) if c % g == 0])
    c_out = group * d.one_of([1, 2, 4])
    kernel = d.one_of([k for k in (1, 3) if k <= min(height, width)])
    pads = [d.one_of([0, 1]) for _ in range(4)] if kernel == 3 else [0] * 4
    strides = [d.one_of([1, 2]), d.one_of([1, 2])]
    inputs = [x, d.weight(c_out, c // group, kernel, kernel, fan_in=c // group * kernel**2)]
    if d.maybe():
        inputs.append(d.weight(c_out))
    sizes = [
        (size + pads[axis] + pads[axis + 2] - kernel) // strides[axis] + 1
        for axis, size in enumerate((height, width))
    ]
    d.add("Conv", inputs, (n, c_out, *sizes), group=group, pads=pads, strides=strides)


def _gemm(d: _Drawing, x: str) -> None:
    rows, inner = d.shapes[x]
    trans_a, trans_b = int(d.maybe()), int(d.maybe())
    if trans_a:
        rows, inner = inner, rows
    columns = d.one_of([4, 8])
    inputs = [x, d.weight(*((columns, inner) if trans_b else (inner, columns)), fan_in=inner)]
    bias = d.one_of([None, (columns,), (1, columns), (rows, columns), (1,), (rows, 1), ()])
    if bias is not None:
        inputs.append(d.weight(*bias))
    factors = {"alpha": d.one_of([1.0, 0.5, -2.0]), "beta": d.one_of([1.0, 0.0, 0.25])}
    d.add("Gemm", inputs, (rows, columns), transA=trans_a, transB=trans_b, **factors)


def _matmul(d: _Drawing, x: str) -> None:
    *stack, rows, inner = d.shapes[x]
    columns = d.one_of([4, 8])
    form = d.one_of(["matrix", "stack", "left", "activation", *(["vector"] if stack else [])])
    if form == "left":
        d.add("MatMul", [d.weight(columns, rows, fan_in=rows), x], (*stack, columns, inner))
    elif form == "vector":
        d.add("MatMul", [x, d.weight(inner, fan_in=inner)], (*stack, rows))
    elif form == "activation":
        perm = [*range(len(stack)), len(stack) + 1, len(stack)]
        d.add("Transpose", [x], (*stack, inner, rows), perm=perm)
        d.add("MatMul", [x, list(d.shapes)[-1]], (*stack, rows, rows))
    else:
        lead = stack if form == "stack" else []
        weight = d.weight(*lead, inner, columns, fan_in=inner)
        d.add("MatMul", [x, weight], (*stack, rows, columns))


def _unary(d: _Drawing, x: str) -> None:
    op_type = d.one_of(["Relu", "Relu", "LeakyRelu", "Sigmoid", "Softmax", "Tanh", "Neg", "Abs"])
    if d.b.opset >= 14 and d.maybe():
        op_type = d.one_of(["HardSwish", "HardSwish", "HardSigmoid"])
    d.add(op_type, [x], d.shapes[x])


def _clip(d: _Drawing, x: str) -> None:
    low, high = d.one_of(_BOUNDS)
    number = len(d.b.initializers)
    bounds = [
        d.b.constant(f"low{number}", np.array(low, np.float32)) if d.maybe() else "",
        d.b.constant(f"high{number}", np.array(high, np.float32)),
    ]
    d.add("Clip", [x, *bounds], d.shapes[x])


def _binary(d: _Drawing, x: str) -> None:
    shape = d.shapes[x]
    operand = d.other(x)
    if operand is None or d.maybe():
        forms: list[Shape] = [(), (1,), shape[-1:], shape]
        if len(shape) == 4:
            forms.append((shape[1], 1, 1))
        operand = d.weight(*d.one_of(forms))
    inputs = [x, operand] if d.maybe() else [operand, x]
    d.add(d.one_of(["Add", "Mul", "Sub"]), inputs, shape)


def _concat(d: _Drawing, x: str) -> None:
    operand = d.other(x) or x
    axis = d.one_of([-1, 1])
    shape = list(d.shapes[x])
    if d.maybe():
        operand = d.weight(*shape)
    shape[axis] *= 2
    d.add("Concat", [x, operand], shape, axis=axis)


def _pool(d: _Drawing, x: str) -> None:
    n, c, height, width = d.shapes[x]
    if min(height, width) < 2 or d.draw(st.integers(0, 3)) == 0:
        d.add("GlobalAveragePool", [x], (n, c, 1, 1))
        return
    op_type = d.one_of(["MaxPool", "AveragePool"])
    pad, ceil = d.one_of([0, 1]), d.one_of([0, 0, 1])
    attributes: dict[str, Any] = {"count_include_pad": 1} if op_type == "AveragePool" else {}
    sizes = [(size + pad - 2 + ceil) // 2 + 1 for size in (height, width)]
    d.add(
        op_type,
        [x],
        (n, c, *sizes),
        kernel_shape=[2, 2],
        strides=[2, 2],
        pads=[pad, pad, 0, 0],
        ceil_mode=ceil,
        **attributes,
    )


def _move(d: _Drawing, x: str) -> None:
    shape = d.shapes[x]
    form = d.one_of(["Reshape", "Transpose", "Flatten", "Unsqueeze", "Slice", "Identity"])
    number = len(d.b.initializers)
    if form == "Reshape":
        target = d.b.constant(f"shape{number}", np.array([shape[0], -1]))
        d.add("Reshape", [x, target], (shape[0], int(np.prod(shape[1:]))))
    elif form == "Transpose":
        perm = list(d.draw(st.permutations(range(len(shape)))))
        d.add("Transpose", [x], [shape[axis] for axis in perm], perm=perm)
    elif form == "Flatten":
        d.add("Flatten", [x], (shape[0], int(np.prod(shape[1:]))))
    elif form == "Unsqueeze" and len(shape) < 4:
        axes = d.b.constant(f"axes{number}", np.array([1]))
        d.add("Unsqueeze", [x, axes], (shape[0], 1, *shape[1:]))
    elif form == "Slice" and shape[-1] > 2:
        ends = [d.b.constant(f"at{number}_{i}", np.array([v])) for i, v in enumerate((1, 1000, -1))]
        d.add("Slice", [x, *ends], (*shape[:-1], shape[-1] - 1))
    else:
        d.add("Identity", [x], shape)


def _resize(d: _Drawing, x: str) -> None:
    n, c, height, width = d.shapes[x]
    if height * width > 100:
        return
    scales = d.b.constant(f"scales{len(d.b.initializers)}", np.array([1, 1, 2, 2], np.float32))
    mode = d.one_of(["nearest", "linear"])
    d.add("Resize", [x, "", scales], (n, c, 2 * height, 2 * width), mode=mode)


_ANY = (_unary, _unary, _clip, _binary, _binary, _concat, _move)
_BY_RANK: dict[int, tuple[Callable[[_Drawing, str], None], ...]] = {
    2: (_gemm, _gemm, _matmul, *_ANY),
    3: (_matmul, _matmul, *_ANY),
    4: (_conv, _conv, _conv, _pool, _resize, _matmul, *_ANY),
}


@st.composite
def random_graphs(draw: Callable[..., Any]) -> RandomGraph:
    """Draw a graph of about 3 to 15 nodes that computes something on integers, mostly."""
    opset, seed = draw(st.sampled_from([13, 17])), draw(st.integers(0, 99))
    d = _Drawing(draw, GraphBuilder(opset=opset, seed=seed))
    start = d.one_of(_STARTS)
    d.shapes["x"] = start
    d.b.input("x", ["N", *start[1:]] if d.maybe() and len(start) != 2 else start)
    for _ in range(draw(st.integers(3, 12))):
        latest = list(d.shapes)[-1]
        x = latest if draw(st.integers(0, 3)) else d.one_of(list(d.shapes))
        if int(np.prod(d.shapes[x])) < 4000:
            d.one_of(_BY_RANK[len(d.shapes[x])])(d, x)
    if not d.b.nodes:
        d.add("Relu", ["x"], start)
    made = list(d.shapes)[1:]
    others = draw(st.sets(st.sampled_from(made), max_size=2))
    for name in sorted({made[-1], *others}):
        d.b.output(name)
    model = d.b.model()
    del model.graph.value_info[:]
    return RandomGraph(onnx.shape_inference.infer_shapes(model), normal_batches({"x": start}, 3))
