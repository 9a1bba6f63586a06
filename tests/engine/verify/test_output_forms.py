"""How outputs end, as the graph tells: what saturates them, along which axis classes are picked."""

from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, parser
from support.graphs import GraphBuilder

from zeropoint.engine.verify import OutputForm, Saturation, output_forms
from zeropoint.engine.verify.output_forms import Selection

HEADER = '<ir_version: 9, opset_import: ["" : 17, "ai.onnx.ml" : 2]>'


def _form(folder: Path, body: str, output: str = "float[N, K] y") -> OutputForm:
    text = f"{HEADER} g (float[N, 8] x) => ({output}) {{ {body} }}"
    path = folder / "model.onnx"
    onnx.save(parser.parse_model(text), path)
    return output_forms(path)["y"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Softmax(x)", Saturation.SOFTMAX),
        ("y = LogSoftmax(x)", Saturation.LOG_SOFTMAX),
        ("y = Sigmoid(x)", Saturation.SIGMOID),
        ("y = HardSigmoid(x)", Saturation.HARD_SIGMOID),
        ("a = Tanh(x) y = Identity(a)", Saturation.TANH),
        ("a = Softmax(x) b = Transpose(a) c = Cast<to = 10>(b) y = Flatten(c)", Saturation.SOFTMAX),
        ("a = Sigmoid(x) b = Sigmoid(x) y = Concat<axis = 1>(a, b)", Saturation.SIGMOID),
        ("a = Sigmoid(x) b = Tanh(x) y = Concat<axis = 1>(a, b)", None),
        ("a = Exp(x) b = ReduceSum(a) y = Div(a, b)", Saturation.SOFTMAX),
        ("a = Exp(x) b = ReduceSum(x) y = Div(a, b)", None),
        ("a = Sigmoid(x) y = Mul(a, x)", None),
        ("y = Relu(x)", None),
        (
            "a = Softmax(x) y = ai.onnx.ml.ZipMap<classlabels_int64s = [0, 1]>(a)",
            Saturation.SOFTMAX,
        ),
    ],
)
def test_what_saturates_is_found_behind_what_moves(
    body: str, expected: Saturation | None, tmp_path: Path
) -> None:
    assert _form(tmp_path, body).saturation is expected


@pytest.mark.parametrize(
    ("body", "axis"),
    [
        ("y = Relu(x) i = ArgMax<axis = 1>(y)", 1),
        ("y = Relu(x) i = ArgMax(y)", 0),
        ("y = Relu(x) k = Constant<value_ints = [2]>() v, i = TopK(y, k)", -1),
        ("y = Relu(x) i = ArgMin(y)", None),
    ],
)
def test_the_class_axis_is_the_one_that_the_model_picks_along(
    body: str, axis: int | None, tmp_path: Path
) -> None:
    assert _form(tmp_path, body).class_axis == axis


def test_heads_are_products_with_or_without_a_bias(tmp_path: Path) -> None:
    heads = ("y = MatMul(x, x)", "a = MatMul(x, x) y = Add(a, x)", "y = Gemm(x, x)")
    assert all(_form(tmp_path, body).head for body in heads)
    others = ("y = Add(x, x)", "a = MatMul(x, x) y = Relu(a)", "y = Identity(x)")
    assert not any(_form(tmp_path, body).head for body in others)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("k = Constant<value_ints = [2]>() v, y = TopK(x, k)", Selection.ALONG),
        ("k = Constant<value_ints = [2]>() v, i = TopK(x, k) y = Identity(i)", Selection.ALONG),
        ("k = Constant<value_ints = [2]>() y, i = TopK(x, k)", None),
        ("k = Constant<value_ints = [2]>() v, y = TopK<axis = 0>(x, k)", None),
        ("y = NonMaxSuppression(b, s)", Selection.ROWS),
        (
            "i = NonMaxSuppression(b, s) j = Slice(i, n, n) k = Squeeze(j, n) g = Gather(x, k)"
            " y = Mul(g, g)",
            Selection.BOXES,
        ),
        ("i = NonZero(x) t = Transpose(i) y = GatherND(x, t)", Selection.BOXES),
        ("i = NonZero(x) c = Cast<to = 1>(i) a = Relu(c) y = Relu(a)", None),
        ("y = Gather(x, n)", None),
    ],
)
def test_what_is_selected_is_seen(body: str, expected: Selection | None, tmp_path: Path) -> None:
    assert _form(tmp_path, body).selection is expected


def _forms(folder: Path, inputs: str, outputs: str, body: str) -> Mapping[str, OutputForm]:
    path = folder / "model.onnx"
    onnx.save(parser.parse_model(f"{HEADER} g ({inputs}) => ({outputs}) {{ {body} }}"), path)
    return output_forms(path)


def test_maps_are_as_large_as_the_picture(tmp_path: Path) -> None:
    picture, body = "float[N, 3, H, W] x, float[8, 3, 3, 3] w", "a = Conv(x, w) y = Resize(a)"
    assert _forms(tmp_path, picture, "float[N, 8, H, W] y", body)["y"].map
    assert not _forms(tmp_path, picture, "float[N, 8, h, w] y", body)["y"].map
    assert not _forms(tmp_path, picture, "float[N, 8, H, W] y", "y = Relu(x)")["y"].map


def test_frames_spell_nothing_beside_labels_and_boxes(tmp_path: Path) -> None:
    body = "y = Relu(x)"
    assert _forms(tmp_path, "float[N, T, 8] x", "float[N, T, 8] y", body)["y"].frames
    words = "int64[N, T] w, float[N, T, 8] x"
    assert not _forms(tmp_path, words, "float[N, T, 8] y", body)["y"].frames
    lengths = "int64[N] w, float[N, T, 8] x"
    assert _forms(tmp_path, lengths, "float[N, T, 8] y", body)["y"].frames
    boxes = "float[N, T, 8] y, float[N, T, 4] z"
    assert not _forms(tmp_path, "float[N, T, 8] x", boxes, f"{body} z = Relu(y)")["y"].frames


def test_outputs_that_are_called_logits_are(tmp_path: Path) -> None:
    forms = _forms(tmp_path, "float[N] x", "float[N] Logits", "Logits = Relu(x)")
    assert forms["Logits"].logits


def test_functions_and_branches_are_looked_into(tmp_path: Path) -> None:
    text = (
        '<ir_version: 9, opset_import: ["" : 17, "local" : 1]>'
        "g (float[N, 8] x) => (float[N, 8] y) { y = local.gate(x) }"
        '<domain: "local", opset_import: ["" : 17]> gate (a) => (b) { b = Sigmoid(a) }'
    )
    onnx.save(parser.parse_model(text), tmp_path / "model.onnx")
    assert output_forms(tmp_path / "model.onnx")["y"].saturation is Saturation.SIGMOID

    def branch(op_type: str) -> onnx.GraphProto:
        b = GraphBuilder()
        b.output(b.node(op_type, ["x"], op_type))
        return b.graph(op_type)

    for other, expected in (("Tanh", None), ("Sigmoid", Saturation.SIGMOID)):
        b = GraphBuilder()
        b.input("x", ["N", 8])
        b.input("c", [], TensorProto.BOOL)
        arms = {"then_branch": branch("Sigmoid"), "else_branch": branch(other)}
        b.node("If", ["c"], "y", **arms)
        b.output("y")
        assert output_forms(b.save(tmp_path))["y"].saturation is expected
