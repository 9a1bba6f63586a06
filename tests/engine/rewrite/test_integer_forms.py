"""Static quantization as operators on codes, and as integer products: the numbers of the pairs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime import quantization
from support.branches import flagged, two_branches
from support.engine import Quantized, all_nodes, quantize, run, sqnr_db, static
from support.graphs import Array, GraphBuilder, normal_batches, residual

from zeropoint.engine import QdqOptions, QuantFormat, QuantType, StaticOptions

IMAGES = normal_batches({"x": (2, 3, 16, 16)})
PAIRS = frozenset({"DequantizeLinear", "QuantizeLinear"})


def types(result: Quantized) -> set[str]:
    return {node.op_type for node in all_nodes(result.model.graph)}


def left(result: Quantized) -> tuple[str, ...]:
    return tuple(
        name
        for warning in result.report.warnings
        if warning.code == "LEFT_QDQ"
        for name in warning.nodes
    )


def between_layers(operator: Callable[[GraphBuilder], str]) -> GraphBuilder:
    """One operator between two convolutions, so that it is worth quantizing: [2,3,16,16]."""
    b = GraphBuilder(13)
    b.input("x", ["N", 3, 16, 16])
    b.conv("x", "before", 3, 8)
    b.conv(operator(b), "after", 8, 4)
    b.output("after", ["N", 4, 16, 16])
    return b


def integers(b: GraphBuilder, name: str, *values: int) -> str:
    return b.constant(name, np.array(values, np.int64))


def split_and_join(b: GraphBuilder) -> str:
    sizes = integers(b, "sizes", 4, 4)
    node = onnx.helper.make_node("Split", ["before", sizes], ["one", "two"], name="split", axis=1)
    b.nodes.append(node)
    return b.node("Concat", ["two", "one"], "mid", axis=1)


OPERATORS: dict[str, Callable[[GraphBuilder], str]] = {
    "QLinearAdd": lambda b: b.node("Add", ["before", b.weight("w", 1, 1, 16, 16)], "mid"),
    "QLinearMul": lambda b: b.node("Mul", ["before", b.weight("w", 1, 1, 16, 16)], "mid"),
    "QLinearSigmoid": lambda b: b.node("Sigmoid", ["before"], "mid"),
    "QLinearSoftmax": lambda b: b.node("Softmax", ["before"], "mid", axis=1),
    "QLinearLeakyRelu": lambda b: b.node("LeakyRelu", ["before"], "mid", alpha=0.1),
    "QLinearAveragePool": lambda b: b.node(
        "AveragePool", ["before"], "mid", kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    ),
    "QLinearWhere": lambda b: b.node(
        "Where",
        [b.constant("which", np.arange(16) % 2 == 0), "before", b.weight("w", 1, 8, 1, 1)],
        "mid",
    ),
    "QLinearConcat": split_and_join,
    "MaxPool": lambda b: b.node(
        "MaxPool", ["before"], "mid", kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    ),
    "Transpose": lambda b: b.node("Transpose", ["before"], "mid", perm=[0, 1, 3, 2]),
    "Gather": lambda b: b.node(
        "Gather", ["before", integers(b, "picked", *range(7, -1, -1))], "mid", axis=1
    ),
    "Tile": lambda b: b.node(
        "Tile",
        [
            b.node(
                "Slice",
                ["before", integers(b, "s", 0), integers(b, "e", 8), integers(b, "a", 3)],
                "half",
            ),
            integers(b, "times", 1, 1, 1, 2),
        ],
        "mid",
    ),
    "Resize": lambda b: b.node(
        "Resize",
        [
            b.node("MaxPool", ["before"], "half", kernel_shape=[2, 2], strides=[2, 2]),
            "",
            b.constant("scales", np.array([1, 1, 2, 2], np.float32)),
        ],
        "mid",
    ),
}


@pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
@pytest.mark.parametrize("expected", OPERATORS)
def test_operators_between_codes(folder: Path, expected: str, signed: bool) -> None:
    kind = QuantType.QINT8 if signed else QuantType.QUINT8
    source = between_layers(OPERATORS[expected]).save(folder)
    one, other = (
        quantize(
            source,
            IMAGES,
            static(quant_format=form, activation_type=kind),
            folder / form.value,
        )
        for form in (QuantFormat.QDQ, QuantFormat.QOPERATOR)
    )
    assert expected in types(other)
    assert left(other) == ()
    floats = {node.op_type for node in all_nodes(other.model.graph)} - {expected}
    assert not floats & {"Add", "Mul", "Sigmoid", "Softmax", "LeakyRelu", "Where", "Conv"}
    reference, pairs, codes = (run(path, IMAGES[0])[0] for path in (source, one.path, other.path))
    assert sqnr_db(reference, codes) > sqnr_db(reference, pairs) - 1


@pytest.mark.parametrize("options", [StaticOptions(), static(per_channel=True), static()])
@pytest.mark.parametrize(
    ("form", "layers"),
    [
        (QuantFormat.QOPERATOR, {"QLinearConv", "QGemm", "QLinearAdd", "MaxPool"}),
        (QuantFormat.INTEGER_OPS, {"ConvInteger", "MatMulInteger"}),
    ],
)
def test_a_residual_network(
    folder: Path, workspace: Path, options: StaticOptions, form: QuantFormat, layers: set[str]
) -> None:
    source = residual().save(folder)
    weight = options.weight
    result = quantize(source, IMAGES, StaticOptions(weight=weight, quant_format=form), workspace)
    assert layers <= types(result)
    assert not {"Conv", "Gemm"} & types(result)
    assert left(result) == ()
    counts = {kernel.op_type: kernel for kernel in result.report.verification.kernels}
    assert all(kernel.integer == kernel.nodes for kernel in counts.values())
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 25


def test_no_worse_than_the_other_tool(folder: Path, workspace: Path) -> None:
    source, theirs = residual().save(folder), folder / "theirs.onnx"

    class Reader:
        batches = iter(IMAGES)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.batches, None)

        def rewind(self) -> None:
            """Nothing asks for it."""

    quantization.quantize_static(
        source,
        theirs,
        Reader(),
        quant_format=quantization.QuantFormat.QOperator,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    ours = quantize(source, IMAGES, static(quant_format=QuantFormat.QOPERATOR), workspace)
    reference = run(source, IMAGES[0])[0]
    assert (
        sqnr_db(reference, run(ours.path, IMAGES[0])[0])
        > sqnr_db(reference, run(theirs, IMAGES[0])[0]) - 1
    )


@pytest.mark.parametrize("form", [QuantFormat.QOPERATOR, QuantFormat.INTEGER_OPS])
def test_bodies(folder: Path, workspace: Path, form: QuantFormat) -> None:
    source = two_branches().save(folder)
    batches = flagged("flag")
    result = quantize(source, batches, static(quant_format=form), workspace)
    assert "Conv" not in types(result)
    for batch in batches:
        assert sqnr_db(run(source, batch)[0], run(result.path, batch)[0]) > 25


@pytest.mark.parametrize("form", [QuantFormat.QOPERATOR, QuantFormat.INTEGER_OPS])
@pytest.mark.parametrize(
    "pairs",
    [
        QdqOptions(dedicated_pair=True),
        QdqOptions(add_pair_to_weight=True),
        QdqOptions(use_contrib_ops=True),
    ],
)
def test_how_pairs_are_written_has_no_say_where_none_are_left(
    folder: Path, form: QuantFormat, pairs: QdqOptions
) -> None:
    source = residual().save(folder)
    plain, other = (
        types(quantize(source, IMAGES, static(quant_format=form, qdq=options), folder / name))
        for name, options in (("plain", QdqOptions()), ("other", pairs))
    )
    assert plain == other


def test_clamps_that_codes_do_not_imply_stay(folder: Path, workspace: Path) -> None:
    """int8 codes reach below zero, so that a Relu is not implied, and has no form on codes."""
    source = residual().save(folder)
    options = static(quant_format=QuantFormat.QOPERATOR, activation_type=QuantType.QINT8)
    result = quantize(source, IMAGES, options, workspace)
    assert "QLinearConv" in types(result)
    kept = {node.name: node.op_type for node in onnx.load(source).graph.node}
    assert {kept[name] for name in left(result)} == {"Relu", "Clip"}
    assert sqnr_db(run(source, IMAGES[0])[0], run(result.path, IMAGES[0])[0]) > 25


def test_biases_of_integer_products_are_added_as_floats(folder: Path, workspace: Path) -> None:
    source = residual().save(folder)
    options = static(quant_format=QuantFormat.INTEGER_OPS)
    result = quantize(source, IMAGES, options, workspace)
    produced = {name: node for node in result.model.graph.node for name in node.output}
    read = {name for node in result.model.graph.node for name in node.input if name in produced}
    stored = {item.name for item in result.model.graph.initializer}
    dequantized = [
        name
        for name in read
        if produced[name].op_type == "DequantizeLinear" and produced[name].input[0] in stored
    ]
    assert dequantized == []
