"""Random graphs with fake quantization: what training tools write, and some of what they could."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support.trained_drawing import Drawing, Shape

Layer = Callable[[Drawing, str], str | None]


def _conv(d: Drawing, x: str) -> str | None:
    if len(d.shapes[x]) not in (3, 4):
        return None
    n, c, *space = d.shapes[x]
    group = d.one_of([g for g in (1, 1, 2, c) if c % g == 0])
    c_out = group * d.one_of([1, 2, 4])
    kernel = d.one_of([k for k in (1, 3) if k <= min(space)])
    pad = d.one_of([0, 1]) if kernel == 3 else 0
    shape = (c_out, c // group, *[kernel] * len(space))
    data = d.read(x)
    weight = d.weight(shape, 0, c // group * kernel ** len(space))
    inputs = [data, weight]
    if d.maybe(0.6):
        inputs.append(d.bias((c_out,), data, weight))
    sizes = [size + 2 * pad - kernel + 1 for size in space]
    pads = [pad] * (2 * len(space))
    y = d.node("Conv", inputs, (n, c_out, *sizes), group=group, pads=pads)
    return _normalized(d, y) if d.maybe(0.2) else y


def _conv_transpose(d: Drawing, x: str) -> str | None:
    if len(d.shapes[x]) != 4:
        return None
    n, c, height, width = d.shapes[x]
    c_out = d.one_of([2, 3])
    data, weight = d.read(x), d.weight((c, c_out, 2, 2), 1, c * 4)
    inputs = [data, weight]
    if d.maybe():
        inputs.append(d.bias((c_out,), data, weight))
    return d.node("ConvTranspose", inputs, (n, c_out, height * 2, width * 2), strides=[2, 2])


def _gemm(d: Drawing, x: str) -> str | None:
    if len(d.shapes[x]) != 2:
        return None
    rows, inner = d.shapes[x]
    trans_a, trans_b = int(d.maybe(0.2)), int(d.maybe())
    if trans_a:
        rows, inner = inner, rows
    columns = d.one_of([4, 8])
    shape = (columns, inner) if trans_b else (inner, columns)
    data, weight = d.read(x), d.weight(shape, 0 if trans_b else 1, inner)
    inputs = [data, weight]
    form: Shape | None = d.one_of(
        [None, (columns,), (columns,), (1, columns), (rows, columns), (1,), (rows, 1), ()]
    )
    if form is not None and (d.opset >= 11 or form == (columns,)):
        inputs.append(d.bias(form, data, weight))
    elif d.opset < 11:
        inputs.append(d.bias((columns,), data, weight))
    factors = {"alpha": 1.0, "beta": 1.0}
    if d.maybe(0.3):
        factors = {"alpha": d.one_of([1.0, 0.5, -2.0]), "beta": d.one_of([1.0, 0.0, 0.25])}
    y = d.node("Gemm", inputs, (rows, columns), transA=trans_a, transB=trans_b, **factors)
    return _normalized(d, y) if d.maybe(0.1) else y


def _matmul(d: Drawing, x: str) -> str | None:
    if len(d.shapes[x]) < 2:
        return None
    *stack, rows, inner = d.shapes[x]
    columns = d.one_of([4, 8])
    form = d.one_of(["matrix", "matrix", "matrix", "stack", "left", "activation"])
    if form == "left":
        weight = d.weight((columns, rows), 1, rows)
        return d.node("MatMul", [weight, d.read(x)], (*stack, columns, inner))
    data = d.read(x)
    if form == "activation":
        perm = [*range(len(stack)), len(stack) + 1, len(stack)]
        turned = d.node("Transpose", [data], (*stack, inner, rows), perm=perm)
        return d.node("MatMul", [data, d.read(turned)], (*stack, rows, rows))
    lead = tuple(stack) if form == "stack" else ()
    weight = d.weight((*lead, inner, columns), len(lead) + 1, inner)
    y = d.node("MatMul", [data, weight], (*stack, rows, columns))
    if d.maybe(0.3):
        return y
    bias = d.bias((columns,), data, weight)
    return d.node("Add", [y, bias] if d.maybe() else [bias, y], (*stack, rows, columns))


def _normalized(d: Drawing, x: str) -> str:
    c = d.shapes[x][1]
    figures = (d.random.normal(size=c), d.random.normal(size=c) * 0.1, np.zeros(c), np.ones(c))
    inputs = [d.constant(figure.astype(np.float32)) for figure in figures]
    return d.node("BatchNormalization", [x, *inputs], d.shapes[x])


def _activation(d: Drawing, x: str) -> str | None:
    op_type = d.one_of(["Relu", "Relu", "Relu", "LeakyRelu", "Sigmoid", "Softmax", "Tanh"])
    if op_type in ("Sigmoid", "Softmax", "LeakyRelu") and d.maybe():
        x = d.read(x)
    if op_type == "Softmax":
        return d.node(op_type, [x], d.shapes[x], axis=len(d.shapes[x]) - 1)
    return d.node(op_type, [x], d.shapes[x])


def _clip(d: Drawing, x: str) -> str | None:
    low, high = d.one_of([(0.0, 6.0), (0.0, 1.0), (-0.4, 0.7), (0.2, 1.5), (-1.5, -0.1)])
    if d.opset < 11:
        return d.node("Clip", [x], d.shapes[x], min=low, max=high)
    ends = [d.constant(np.array(end, np.float32)) for end in (low, high)]
    return d.node("Clip", [x, *ends], d.shapes[x])


def _hard_swish(d: Drawing, x: str) -> str | None:
    x = d.read(x)
    shape = d.shapes[x]
    moved = d.node("Add", [x, d.constant(np.array(3.0, np.float32))], shape)
    if d.opset < 11:
        gate = d.node("Clip", [moved], shape, min=0.0, max=6.0)
    else:
        ends = [d.constant(np.array(end, np.float32)) for end in (0.0, 6.0)]
        gate = d.node("Clip", [moved, *ends], shape)
    gate = d.node("Div", [gate, d.constant(np.array(6.0, np.float32))], shape)
    return d.node("Mul", [x, d.read(gate)], shape)


def _layer_norm(d: Drawing, x: str) -> str | None:
    shape = d.shapes[x]
    if d.opset >= 18:
        return None
    c = shape[-1]
    mean = d.hidden("ReduceMean", [x], axes=[-1])
    apart = d.hidden("Sub", [x, mean])
    square = d.hidden("Pow", [apart, d.constant(np.array(2.0, np.float32))])
    variance = d.hidden("ReduceMean", [square], axes=[-1])
    widened = d.hidden("Add", [variance, d.constant(np.array(1e-5, np.float32))])
    unit = d.hidden("Div", [apart, d.hidden("Sqrt", [widened])])
    gain = d.constant(d.random.normal(size=c).astype(np.float32))
    scaled = d.hidden("Mul", [unit, gain])
    return d.node("Add", [scaled, d.constant(d.random.normal(size=c).astype(np.float32))], shape)


def _join(d: Drawing, x: str) -> str | None:
    shape = d.shapes[x]
    other = d.one_of([name for name, known in d.shapes.items() if known == shape])
    op_type = d.one_of(["Add", "Add", "Mul", "Concat"])
    if d.maybe(0.15) and op_type != "Concat":
        constant = d.weight((shape[-1],), 0, 1)
        return d.node(op_type, [d.read(x), constant], shape)
    inputs = [d.read(x), d.read(other)]
    if op_type == "Concat":
        axis = int(d.random.integers(1, len(shape)))
        sizes = [size * 2 if a == axis else size for a, size in enumerate(shape)]
        return d.node("Concat", inputs, sizes, axis=axis)
    return d.node(op_type, inputs, shape)


def _pool(d: Drawing, x: str) -> str | None:
    shape = d.shapes[x]
    if len(shape) not in (3, 4) or min(shape[2:]) < 3:
        return None
    n, c, *space = shape
    op_type = d.one_of(["MaxPool", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
    value = d.read(x)
    if op_type.startswith("Global"):
        return d.node(op_type, [value], (n, c, *[1] * len(space)))
    pad = int(d.maybe())
    sizes = [(size + 2 * pad - 3) // 2 + 1 for size in space]
    window = [3] * len(space)
    y = d.node(op_type, [value], (n, c, *sizes), kernel_shape=window)
    ends = {"strides": [2] * len(space), "pads": [pad] * (2 * len(space))}
    d.nodes[-1].attribute.extend(helper.make_attribute(*item) for item in ends.items())
    if op_type == "AveragePool" and d.maybe():
        d.nodes[-1].attribute.append(helper.make_attribute("count_include_pad", 1))
    return y


def _resize(d: Drawing, x: str) -> str | None:
    shape = d.shapes[x]
    if len(shape) != 4 or d.opset < 11 or shape[2] > 16:
        return None
    mode = d.one_of(["nearest", "linear"])
    scales = d.constant(np.array([1, 1, 2, 2], np.float32))
    empty = "" if d.opset >= 13 else d.constant(np.zeros(0, np.float32))
    sizes = (*shape[:2], shape[2] * 2, shape[3] * 2)
    return d.node("Resize", [d.read(x), empty, scales], sizes, mode=mode)


def _pad(d: Drawing, x: str) -> str | None:
    shape = d.shapes[x]
    pads: list[int] = [0] * (2 * len(shape))
    pads[-1] = 1
    sizes = (*shape[:-1], shape[-1] + 1)
    mode = d.one_of(["constant", "constant", "edge", "reflect"])
    if shape[-1] < 2:
        mode = "constant"
    if d.opset < 11:
        return d.node("Pad", [d.read(x)], sizes, pads=pads, mode=mode, value=d.one_of([0.0, 2.5]))
    inputs = [d.read(x), d.constant(np.array(pads))]
    if mode == "constant" and d.maybe():
        inputs.append(d.constant(np.array(d.one_of([0.0, 2.5]), np.float32)))
    return d.node("Pad", inputs, sizes, mode=mode)


def _move(d: Drawing, x: str) -> str | None:
    shape = d.shapes[x]
    value = d.read(x) if d.maybe(0.7) else x
    form = d.one_of(["Reshape", "Transpose", "Slice", "Gather", "Flatten", "Split"])
    if form == "Reshape":
        flat = (shape[0], int(np.prod(shape[1:])))
        return d.node(form, [value, d.constant(np.array([0, -1]))], flat)
    if form == "Flatten":
        return d.node(form, [value], (shape[0], int(np.prod(shape[1:]))))
    if form == "Transpose":
        perm = [0, *(1 + int(a) for a in d.random.permutation(len(shape) - 1))]
        return d.node(form, [value], [shape[a] for a in perm], perm=perm)
    axis = int(d.random.integers(1, len(shape)))
    half = shape[axis] // 2
    sizes = [half if a == axis else size for a, size in enumerate(shape)]
    if form == "Slice" and half:
        inputs = [d.constant(np.array([number])) for number in (0, half, axis)]
        return d.node(form, [value, *inputs], sizes)
    if form == "Gather" and half:
        return d.node(form, [value, d.constant(np.arange(half))], sizes, axis=axis)
    if form == "Split" and half and shape[axis] % 2 == 0:
        return _split(d, value, axis, sizes)
    return None


def _split(d: Drawing, value: str, axis: int, sizes: list[int]) -> str:
    outputs = [d.name(), d.name()]
    node = helper.make_node("Split", [value], outputs, name=outputs[0], axis=axis)
    if d.opset >= 18:
        node.attribute.append(helper.make_attribute("num_outputs", 2))
    d.nodes.append(node)
    d.used.add(value)
    d.shapes.update(dict.fromkeys(outputs, tuple(sizes)))
    return outputs[0]


def _pair(d: Drawing, x: str) -> str | None:
    return d.pair(x)


def _branches(d: Drawing, x: str) -> str | None:
    """An If: a layer in each branch, which read tensors and weights around it."""
    if d.outer is not None or len(d.shapes[x]) < 2:
        return None
    peak = d.hidden("ReduceMax", [x], keepdims=0)
    chosen = d.hidden("Greater", [peak, d.constant(np.array(d.one_of([-9.0, 9.0]), np.float32))])
    c = d.shapes[x][-1]
    shapes, scales, d.outer = dict(d.shapes), dict(d.scales), d.nodes
    bodies = []
    for _ in range(2):
        d.nodes, d.inner = [], {}
        data, weight = d.read(x), d.weight((c, c), 1, c)
        y = d.node("MatMul", [data, weight], d.shapes[x])
        if d.maybe():
            y = d.node("Relu", [y], d.shapes[x])
        y = d.pair(y) if d.maybe(0.7) else y
        end = d.node("Identity", [y], d.shapes[x])
        info = helper.make_tensor_value_info(end, TensorProto.FLOAT, None)
        tensors = [numpy_helper.from_array(array, name) for name, array in d.inner.items()]
        bodies.append(helper.make_graph(d.nodes, f"body{end}", [], [info], tensors))
    d.nodes, d.outer, d.inner = d.outer, None, {}
    d.shapes, d.scales = shapes, scales
    return d.node("If", [chosen], d.shapes[x], then_branch=bodies[0], else_branch=bodies[1])


LAYERS: tuple[Layer, ...] = (
    *(_conv, _conv, _conv, _gemm, _gemm, _matmul, _matmul, _activation, _activation, _clip),
    *(_conv_transpose, _hard_swish, _layer_norm, _join, _join, _pool, _pool, _resize, _pad),
    *(_move, _move, _pair, _branches),
)


class TrainedGraph:
    """A model, and a batch for it."""

    def __init__(self, seed: int) -> None:
        drawing = Drawing(np.random.default_rng(seed))
        self.seed = seed
        self.model = drawing.model(LAYERS)
        self.feeds = drawing.feeds

    def __repr__(self) -> str:
        return f"seed {self.seed}, {onnx.printer.to_text(self.model)}"
