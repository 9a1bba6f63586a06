"""What a plan leaves float is float in the graph that ONNX Runtime makes of the result."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.engine import opened, quantize, run, sqnr_db, static
from support.graphs import GraphBuilder, clip_bounds, normal_batches

from zeropoint.engine import NodeSelection, Options, QuantFormat, StaticOptions
from zeropoint.engine.report import Verdict
from zeropoint.engine.rewrite import qdq

IMAGES = normal_batches({"x": (1, 3, 16, 16)}, count=3)
Move = Callable[[GraphBuilder, str, str], str]
Node = Callable[[GraphBuilder, str, str], str]


def numbers(b: GraphBuilder, *values: float, kind: type = np.int64) -> str:
    return b.constant(f"numbers_{len(b.initializers)}", np.array(values, kind))


def pad(b: GraphBuilder, data: str, output: str) -> str:
    return b.node("Pad", [data, numbers(b, 0, 0, 1, 1, 0, 0, 1, 1)], output)


def pool(b: GraphBuilder, data: str, output: str) -> str:
    return b.node("MaxPool", [data], output, kernel_shape=[3, 3], pads=[1] * 4)


def resize(b: GraphBuilder, data: str, output: str) -> str:
    scales = numbers(b, 1, 1, 2, 2, kind=np.float32)
    b.node("Resize", [data, "", scales], output, nearest_mode="floor", mode="nearest")
    return output


def squeeze(b: GraphBuilder, data: str, output: str) -> str:
    longer = b.node("Unsqueeze", [data, numbers(b, 0)], f"{output}_longer")
    return b.node("Squeeze", [longer, numbers(b, 0)], output)


def split(b: GraphBuilder, data: str, output: str) -> str:
    parts = [f"{output}_{i}" for i in range(2)]
    b.nodes.append(onnx.helper.make_node("Split", [data], parts, f"split_{output}", axis=2))
    return b.node("Concat", parts, output, axis=2)


MOVES: dict[str, Move] = {
    "nothing": lambda b, x, y: b.node("Identity", [x], y),
    "Pad": pad,
    "MaxPool": pool,
    "Resize": resize,
    "Squeeze": squeeze,
    "Split": split,
    "Reshape": lambda b, x, y: b.node("Reshape", [x, numbers(b, 0, 0, -1, 16)], y),
    "Transpose": lambda b, x, y: b.node("Transpose", [x], y, perm=[0, 1, 3, 2]),
    "Slice": lambda b, x, y: b.node("Slice", [x, *(numbers(b, n) for n in (0, 8, 1))], y),
    "Relu": lambda b, x, y: b.node("Relu", [x], y),
    "Clip": lambda b, x, y: b.node("Clip", [x, *clip_bounds(b, 0, 6)], y),
    "Gather": lambda b, x, y: b.node("Gather", [x, numbers(b, *range(8))], y, axis=1),
}


def product(b: GraphBuilder, data: str, output: str) -> str:
    """A MatMul with a bias, of which ONNX Runtime makes a Gemm."""
    rows = b.node("Reshape", [data, numbers(b, -1, 8)], "rows")
    kept = b.node("MatMul", [rows, b.weight("kept_w", 8, 8)], "kept_product", name="kept")
    kept = b.node("Add", [kept, b.weight("kept_b", 8)], "kept_sum")
    return b.node("Reshape", [kept, numbers(b, 1, 8, -1, 4)], output)


def gemm(b: GraphBuilder, data: str, output: str) -> str:
    rows = b.node("Reshape", [data, numbers(b, -1, 8)], "rows")
    read = [rows, b.weight("kept_w", 8, 8), b.weight("kept_b", 8)]
    kept = b.node("Gemm", read, "kept_rows", name="kept")
    return b.node("Reshape", [kept, numbers(b, 1, 8, -1, 4)], output)


def both(op_type: str) -> Node:
    """An operator of a tensor and the same tensor."""

    def node(b: GraphBuilder, data: str, output: str) -> str:
        if op_type == "Where":
            mask = b.constant("mask", np.arange(8).reshape(1, 8, 1, 1) % 2 == 0)
            return b.node("Where", [mask, data, data], output, name="kept")
        return b.node(op_type, [data, data], output, name="kept")

    return node


def one(op_type: str, **attributes: object) -> Node:
    return lambda b, x, y: b.node(op_type, [x], y, name="kept", **attributes)


def layer(op_type: str, *shape: int, bias: bool = True, **attributes: object) -> Node:
    def node(b: GraphBuilder, data: str, output: str) -> str:
        read = [data, b.weight("kept_w", *shape), *([b.weight("kept_b", 8)] if bias else [])]
        return b.node(op_type, read, output, name="kept", **attributes)

    return node


KINDS: dict[str, Node] = {
    "Conv": layer("Conv", 8, 8, 3, 3, pads=[1] * 4),
    "depthwise": layer("Conv", 8, 1, 3, 3, pads=[1] * 4, group=8),
    "without bias": layer("Conv", 8, 8, 1, 1, bias=False),
    "ConvTranspose": layer("ConvTranspose", 8, 8, 2, 2),
    "Gemm": gemm,
    "MatMul and bias": product,
    "MatMul": lambda b, x, y: b.node(
        "MatMul", [x, b.node("Transpose", [x], "turned", perm=[0, 1, 3, 2])], y, name="kept"
    ),
    "Add": both("Add"),
    "Mul": both("Mul"),
    "Where": both("Where"),
    "Concat": lambda b, x, y: pool(
        b,
        b.node(
            "Slice",
            [
                b.node("Concat", [x, x], "joined", axis=1, name="kept"),
                *(numbers(b, n) for n in (4, 12, 1)),
            ],
            "sliced",
        ),
        y,
    ),
    "Sigmoid": one("Sigmoid"),
    "Softmax": one("Softmax"),
    "LeakyRelu": one("LeakyRelu", alpha=0.1),
    "AveragePool": one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4),
    "AveragePool with ceil_mode": one("AveragePool", kernel_shape=[2, 2], ceil_mode=1),
}


def between(kind: Node, move: Move, behind: Move) -> GraphBuilder:
    """A node between two convolutions, with something that moves values on both sides."""
    b = GraphBuilder(17)
    b.input("x", [1, 3, 16, 16])
    data = move(b, b.node("Relu", [b.conv("x", "first", 3, 8)], "r"), "moved")
    kind(b, data, "given")
    b.conv(behind(b, "given", "given_moved"), "y", 8, 4)
    b.output("y")
    return b


def runs_on_integers(model: Path, folder: Path) -> list[str]:
    """Return the operators of the integer kernels that stem from the node that is kept."""
    opened(model, keep=folder / "optimized.onnx")
    nodes = onnx.load(folder / "optimized.onnx").graph.node
    return [
        node.op_type
        for node in nodes
        if node.name.startswith("kept")
        and any(part in node.op_type for part in ("QLinear", "Integer", "QGemm"))
    ]


KEPT = NodeSelection(nodes_to_exclude=("kept",))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("move", MOVES)
def test_what_is_excluded_runs_in_float(tmp_path: Path, kind: str, move: str) -> None:
    behind = MOVES["Relu"] if move == "nothing" else MOVES["nothing"]
    source = between(KINDS[kind], MOVES[move], behind).save(tmp_path)
    result = quantize(source, IMAGES, StaticOptions(selection=KEPT), tmp_path / "job")
    assert runs_on_integers(result.path, tmp_path) == []
    assert result.states()["kept"] == "EXCLUDED"
    assert result.warned == set()
    reference = run(source, IMAGES[0])[0]
    assert sqnr_db(reference, run(result.path, IMAGES[0])[0]) > 20
    assert sqnr_db(reference, run(result.path, IMAGES[0], optimize=False)[0]) > 20


@pytest.mark.parametrize("kind", ["Conv", "Gemm", "MatMul", "Add", "Sigmoid"])
@pytest.mark.parametrize("behind", ["Relu", "MaxPool", "Reshape"])
def test_it_does_whatever_is_behind(tmp_path: Path, kind: str, behind: str) -> None:
    source = between(KINDS[kind], MOVES["nothing"], MOVES[behind]).save(tmp_path)
    result = quantize(source, IMAGES, StaticOptions(selection=KEPT), tmp_path / "job")
    assert runs_on_integers(result.path, tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_does_where_operators_take_codes(tmp_path: Path, kind: str) -> None:
    source = between(KINDS[kind], MOVES["nothing"], MOVES["nothing"]).save(tmp_path)
    options = StaticOptions(selection=KEPT, quant_format=QuantFormat.QOPERATOR)
    result = quantize(source, IMAGES, options, tmp_path / "job")
    assert runs_on_integers(result.path, tmp_path) == []
    assert result.warned == set()


@pytest.mark.parametrize("options", [StaticOptions(selection=KEPT), static(selection=KEPT)])
def test_an_excluded_convolution_behind_a_pad_is_as_good_as_float(
    tmp_path: Path, options: Options
) -> None:
    """Channels of very different size, of which one scale for all leaves little."""
    b = GraphBuilder()
    b.input("x", [1, 3, 16, 16])
    data = pad(b, b.node("Relu", [b.conv("x", "first", 3, 8)], "r"), "padded")
    sizes = np.geomspace(0.01, 10, 8).reshape(-1, 1, 1, 1)
    weight = (b.rng.standard_normal((8, 1, 3, 3)) * sizes).astype(np.float32)
    read = [data, b.constant("w", weight), b.weight("bias", 8)]
    b.node("Relu", [b.node("Conv", read, "c", group=8, name="kept")], "d")
    heads = b.constant("heads", (b.rng.standard_normal((4, 8, 1, 1)) / sizes[:, 0]).astype("f4"))
    b.output(b.node("Conv", ["d", heads], "y"))
    result = quantize(b.save(tmp_path), IMAGES, options, tmp_path / "job")
    plain = run(result.path, IMAGES[0], optimize=False)[0]
    assert sqnr_db(plain, run(result.path, IMAGES[0])[0]) > 60


def test_a_float_convolution_keeps_its_blocked_kernel(tmp_path: Path) -> None:
    source = between(KINDS["Conv"], MOVES["nothing"], MOVES["Relu"])
    result = quantize(
        source.save(tmp_path), IMAGES, StaticOptions(selection=KEPT), tmp_path / "job"
    )
    opened(result.path, keep=tmp_path / "optimized.onnx")
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    assert [n.domain for n in nodes if n.op_type == "Conv"] == ["com.microsoft.nchwc"]
    assert not [n for n in nodes if n.op_type == "LeakyRelu"], "it is part of the convolution"


def test_what_runs_on_integers_against_the_plan_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = tuple(step for step in qdq._STEPS if step is not qdq.guard_float_nodes)
    monkeypatch.setattr(qdq, "_STEPS", steps)
    source = between(KINDS["Conv"], MOVES["Pad"], MOVES["nothing"]).save(tmp_path)
    result = quantize(source, IMAGES, StaticOptions(selection=KEPT), tmp_path / "job")
    assert runs_on_integers(result.path, tmp_path) == ["QLinearConv"]
    (warning,) = (w for w in result.report.warnings if w.code == "FLOAT_REQUANTIZED")
    assert warning.nodes == ("kept",)
    (count,) = result.report.verification.kernels
    assert (count.nodes, count.integer) == (3, 2)
    assert result.report.verdict is Verdict.CHECK
