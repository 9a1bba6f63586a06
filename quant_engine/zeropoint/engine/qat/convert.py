"""The conversion: a fake-quantized graph to one with stored integers, in exact steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from zeropoint.engine.files import WeightFile
from zeropoint.engine.graph import GraphEditor, constant, name_of, rank_of, remove_unused
from zeropoint.engine.numbers import QParams
from zeropoint.engine.operators import (
    average_pool_refused,
    dequantizer_of,
    fake_quants,
    fits_channels,
    is_layer,
    read_qparams,
)
from zeropoint.engine.options import QatOptions, QuantFormat
from zeropoint.engine.plan import stored_too_long
from zeropoint.engine.prepare import PreparedModel, fold_constants
from zeropoint.engine.qat.affine import fold_affine
from zeropoint.engine.qat.biases import quantize_biases, release_biases, split_float_outputs
from zeropoint.engine.qat.clips import settle_clips
from zeropoint.engine.qat.propagate import complete_pairs
from zeropoint.engine.qat.retype import retype_activations
from zeropoint.engine.qat.weights import push_dequantizers, settle_parameters
from zeropoint.engine.reasons import Kept, WarningCode
from zeropoint.engine.report import Warning
from zeropoint.engine.rewrite import keep_float

_FOLDED = (
    "What follows {} layers channel by channel (BatchNormalization, or the division of a training "
    "module) was folded into their scales and biases, or they would run with float kernels. This "
    "rounds once where training rounds several times; exact=True leaves it."
)
_ROUNDED = (
    "The biases of {} layers are int32 now, each rounded to a multiple of the product of the "
    "scales of input and weight."
)
_READERS = frozenset({"Clip", "DequantizeLinear", "QuantizeLinear"})


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The pair of an activation, before and after.

    Attributes:
        tensor: Name of the tensor that is quantized, in the user's model.
        trained_codes: Name of its integers in the prepared model.
        trained: Parameters as they were learned.
        codes: Name of its integers in the result.
        written: Parameters in the result: other than `trained` only in the type of the codes.
        inner: Whether the pair is in a body of If, Loop or Scan.
    """

    tensor: str
    trained_codes: str
    trained: QParams
    codes: str
    written: QParams
    inner: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The pairs of a model's activations, and what the user should know: what is not exact.

    Attributes:
        floats: Why layers with learned weights compute in float nevertheless, by name.
    """

    learned: tuple[Learned, ...]
    warnings: tuple[Warning, ...]
    floats: Mapping[str, Kept]


def convert_trained(
    prepared: PreparedModel, options: QatOptions, weights: WeightFile, kept: frozenset[str]
) -> Conversion:
    """Convert the graph of a prepared model, in place; nodes named in `kept` stay float."""
    model = prepared.model
    contrib = any(
        node.domain for node in model.graph.all_nodes() if node.op_type == "QuantizeLinear"
    )
    editor = GraphEditor(model.graph, weights=weights, contrib_qdq=contrib or prepared.contrib_qdq)
    before = {
        pair.dequantize: (name_of(pair.source), name_of(pair.codes), pair.qparams)
        for pair in fake_quants(model.graph)
    }
    settle_parameters(editor)
    while push_dequantizers(editor):
        fold_constants(model, weights)
    warnings: list[Warning] = []
    if not options.exact and (layers := fold_affine(editor, prepared.opset)):
        warnings.append(
            Warning(
                code=WarningCode.BATCH_NORMALIZATION_FOLDED,
                message=_FOLDED.format(len(layers)),
                nodes=layers,
            )
        )
    settle_clips(editor, prepared.opset)
    complete_pairs(editor)
    if not options.keep_activation_type:
        uniform = options.quant_format is QuantFormat.QOPERATOR
        retype_activations(editor, prepared.opset, uniform=uniform)
    release_biases(editor)
    if options.quantize_bias and (layers := quantize_biases(editor)):
        text = _ROUNDED.format(len(layers))
        warnings.append(Warning(code=WarningCode.BIASES_ROUNDED, message=text, nodes=layers))
    if not options.exact:
        split_float_outputs(editor)
    every = (node for node in model.graph.all_nodes() if is_layer(node))
    long = {name_of(node): why for node in every if (why := stored_too_long(node)) is not None}
    float_nodes = kept | misread(model.graph) | set(long)
    keep_float(editor, [n for n in model.graph.all_nodes() if name_of(n) in float_nodes])
    remove_unused(model.graph)
    _sink_constants(editor)
    editor.remove_unused_constants()
    learned = tuple(
        Learned(
            *before[pair.dequantize],
            codes=name_of(pair.codes),
            written=pair.qparams,
            inner=pair.dequantize.graph is not model.graph,
        )
        for pair in fake_quants(model.graph)
        if pair.dequantize in before
    )
    return Conversion(learned=learned, warnings=tuple(warnings), floats=long)


def misread(graph: ir.Graph) -> frozenset[str]:
    """Return the nodes that ONNX Runtime would fuse although it must not.

    Its MatMulIntegerToFloat takes scales along any axis of a weight for those of its columns, its
    QLinearAveragePool counts padding otherwise with ceil_mode and has no dilations.
    """
    found = set()
    for node in graph.all_nodes():
        if node.op_type == "AveragePool" and average_pool_refused(node):
            found.add(name_of(node))
        if node.op_type != "MatMul" or node.domain:
            continue
        for index, value in enumerate(node.inputs):
            pair = dequantizer_of(value)
            qparams = read_qparams(pair) if pair is not None else None
            if pair is None or qparams is None or qparams.axis is None:
                continue
            if index == 0 or not fits_channels(node, qparams, rank_of(pair.inputs[0]) or 0):
                found.add(name_of(node))
    return frozenset(found)


def _sink_constants(editor: GraphEditor) -> None:
    """Give each body the constants that its pairs read, in place.

    ONNX Runtime leaves Relu out before a pair only where the pair's parameters are in the same
    graph, and its optimizer refuses a model where those of a weight in a body are not. One that
    other graphs read, too, is there several times; its data is not copied.
    """
    for graph in editor.graph.subgraphs():
        own: dict[ir.Value, ir.Value] = {}
        for node in graph:
            if node.op_type not in _READERS:
                continue
            for index, value in enumerate(node.inputs):
                if value is None or value.graph is not editor.graph or constant(value) is None:
                    continue
                if value not in own:
                    own[value] = ir.Value(
                        name=editor.unique(f"{value.name}_inner"),
                        shape=value.shape,
                        type=value.type,
                        const_value=value.const_value,
                    )
                    graph.register_initializer(own[value])
                node.replace_input_with(index, own[value])
