"""A model that was trained with fake quantization, as a plan: what is learned, and where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from zeropoint.engine.errors import ModelError, OptionError
from zeropoint.engine.graph import constant, input_at, name_of, producer_of, value_at
from zeropoint.engine.load import LoadedModel, load_model, refuse_foreign
from zeropoint.engine.number_types import quant_type
from zeropoint.engine.numbers import QParams
from zeropoint.engine.numbers.ranges import Range
from zeropoint.engine.operators import (
    Trait,
    dequantizer_of,
    fake_quants,
    has,
    is_clamp,
    is_stored,
    read_qparams,
)
from zeropoint.engine.options import NodeSelection, QatOptions
from zeropoint.engine.plan import (
    Bodies,
    Choice,
    ConstantInput,
    ConstantRole,
    InputKey,
    NodeQuant,
    Parameters,
    PlannedModel,
    QuantPlan,
    TensorQuant,
)
from zeropoint.engine.prepare import PreparedModel, prepare_trained
from zeropoint.engine.qat.convert import Conversion, convert_trained
from zeropoint.engine.reasons import Kept, Reason
from zeropoint.engine.report import ParameterSource
from zeropoint.engine.runtime import collector_paused
from zeropoint.engine.verify import CodePair


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A converted model, with its plan, what was done to it and what was learned.

    Attributes:
        described: Whether the user's model says the types of what its nodes compute.
    """

    planned: PlannedModel
    conversion: Conversion
    parameters: Parameters
    described: bool

    @property
    def codes(self) -> tuple[CodePair, ...]:
        """The pairs of the main graph, for the proof."""
        return tuple(
            CodePair(
                tensor=pair.tensor,
                trained=pair.trained_codes,
                written=pair.codes,
                shift=int(pair.written.zero_point.flat[0]) - int(pair.trained.zero_point.flat[0]),
                element_type=pair.written.number.element_type,
            )
            for pair in self.conversion.learned
            if not pair.inner
        )


def plan_trained(
    path: Path, options: QatOptions, workspace: Path, *, sha256: bytes | None = None
) -> TrainedModel:
    """Load, prepare and convert, from and to what `plan_model` takes.

    Raises:
        ModelError: FAKE_QUANT_UNSUPPORTED, other operators than ONNX's; NOT_FAKE_QUANTIZED, nothing
            was learned; or the model cannot be read or run.
        OptionError: an option names what the model does not have, or contradicts what was learned.
    """
    with collector_paused():
        loaded = load_model(path, workspace, sha256)
        refuse_foreign(loaded.model)
        described = any(True for _ in _described(loaded.model.graph))
        prepared = prepare_trained(loaded, workspace=workspace, exact=options.exact)
        _require_learned(prepared.model.graph)
        _check_types(prepared.model.graph, options)
        kept = _kept(prepared, loaded, options.selection)
        conversion = convert_trained(prepared, options, loaded.weights, frozenset(kept))
        plan, parameters = _describe(
            prepared.model.graph, {**conversion.floats, **kept}, conversion
        )
    planned = PlannedModel(
        loaded=loaded,
        prepared=prepared,
        bodies=Bodies(prepared.model, prepared.opset, None),
        plan=plan,
        options=options,
        parameters=parameters,
    )
    return TrainedModel(
        planned=planned, conversion=conversion, parameters=parameters, described=described
    )


def forget_types(graph: ir.Graph) -> None:
    """Leave out of the file what types and shapes were found, in place."""
    for value in tuple(_described(graph)):
        value.type, value.shape = None, None


def _described(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph.all_nodes():
        for value in node.outputs:
            if not value.is_graph_output() and (value.type or value.shape) is not None:
                yield value


def stored_weights(graph: ir.Graph) -> Iterator[tuple[ir.Node, QParams]]:
    """Yield each DequantizeLinear of 8-bit constants, with its parameters."""
    for node in graph.all_nodes():
        if node.op_type != "DequantizeLinear":
            continue
        codes, qparams = constant(node.inputs[0]), read_qparams(node)
        if codes is not None and qparams is not None and quant_type(codes.dtype) is not None:
            yield node, qparams


def _require_learned(graph: ir.Graph) -> None:
    if not any(has(node, Trait.PAIR) for node in graph.all_nodes()):
        raise ModelError(
            "NOT_FAKE_QUANTIZED",
            "The model has no QuantizeLinear or DequantizeLinear: nothing was learned that could "
            "be kept. Quantize it statically or dynamically, or export it with its fake "
            "quantization.",
        )


def _check_types(graph: ir.Graph, options: QatOptions) -> None:
    """Refuse options that say otherwise than what was learned."""
    for pair in fake_quants(graph):
        kind = quant_type(pair.qparams.dtype)
        if options.activation_type not in (None, kind):
            raise _contradiction(
                "activation_type", options.activation_type, pair.source, pair.qparams.dtype
            )
    for node, qparams in stored_weights(graph):
        kind, codes = quant_type(qparams.dtype), value_at(node, 0)
        if options.weight_type not in (None, kind):
            raise _contradiction("weight_type", options.weight_type, codes, qparams.dtype)
        is_matrix = codes.shape is not None and len(codes.shape) > 1
        if is_matrix and options.per_channel not in (None, qparams.axis is not None):
            learned = "one scale" if qparams.axis is None else "a scale for each channel"
            raise _contradiction("per_channel", options.per_channel, codes, learned)


def _contradiction(option: str, value: object, tensor: ir.Value, learned: object) -> OptionError:
    return OptionError(
        "OPTION_CONFLICT",
        f"{option}={value} contradicts what was learned: {tensor.name!r} was trained with "
        f"{learned}. Leave {option} out to keep it, or train the model otherwise.",
        option=option,
        tensor=name_of(tensor),
    )


def _kept(
    prepared: PreparedModel, loaded: LoadedModel, selection: NodeSelection
) -> dict[str, Kept]:
    """Return why nodes that could compute on integers shall not, by name."""
    choice = Choice.of(selection, loaded.nodes, dynamic=False)
    return {
        name_of(node): why
        for node in prepared.model.graph.all_nodes()
        if has(node, Trait.TRAINED) and (why := choice.refuses(node)) is not None
    }


def _describe(
    graph: ir.Graph, kept: Mapping[str, Kept], conversion: Conversion
) -> tuple[QuantPlan, Parameters]:
    """Return what is quantized, with what was learned."""
    pairs = {pair.result: pair for pair in fake_quants(graph)}
    names = {pair.codes: pair.tensor for pair in conversion.learned}
    tensors: dict[str, TensorQuant] = {}
    qparams: dict[str, QParams] = {}
    tensor_of: dict[ir.Value, str] = {}
    for value, pair in pairs.items():
        name = names.get(name_of(pair.codes), name_of(pair.source))
        tensor_of[value] = name
        tensors[name] = TensorQuant(name=name, source=ParameterSource.LEARNED, everywhere=True)
        qparams[name] = pair.qparams
    nodes: dict[str, NodeQuant] = {}
    weights: dict[InputKey, QParams] = {}
    left: dict[str, Kept] = {}
    absorbed = {}
    for node in graph.all_nodes():
        name = name_of(node)
        if has(node, Trait.PAIR) or _is_absorbed(node):
            absorbed[name] = name
        elif (why := kept.get(name) or _float_reason(node, tensor_of)) is not None:
            left[name] = why
        else:
            nodes[name] = _node(node, tensor_of)
            weight = nodes[name].weight
            if weight is not None and (found := _weight_of(node, weight.index)) is not None:
                weights[weight.key] = found
    ranges = {name: Range(*replace(known, limits=None).range) for name, known in qparams.items()}
    return (
        QuantPlan(nodes=nodes, tensors=tensors, absorbed=absorbed, kept=left, weight_only={}),
        Parameters(tensors=qparams, constants=weights, ranges=ranges, warnings=()),
    )


def _is_absorbed(node: ir.Node) -> bool:
    """Whether a node disappears into another, or moves values inside of a pair or between pairs.

    A clamp between a layer and its pair, or the bias behind a MatMul.
    """
    producer = producer_of(input_at(node, 0))
    if producer is not None and producer.op_type == "QuantizeLinear":
        return True
    if node.domain or not node.inputs or node.inputs[0] is None:
        return False
    if node.op_type in ("Add", "Sub"):
        layers = [value.producer() for value in node.inputs if value and constant(value) is None]
        return len(layers) == 1 and layers[0] is not None and layers[0].op_type == "MatMul"
    behind = {reader.op_type for value in node.outputs for reader, _ in value.uses()}
    if behind != {"QuantizeLinear"}:
        return False
    if is_clamp(node):
        before = node.inputs[0].producer()
        return before is not None and has(before, Trait.TRAINED)
    return has(node, Trait.CODES) and dequantizer_of(node.inputs[0]) is not None


def _float_reason(node: ir.Node, pairs: Mapping[ir.Value, str]) -> Kept | None:
    """Return why a node computes with floats that are on no grid; None where it does not."""
    if not has(node, Trait.TRAINED):
        return Kept(Reason.NOT_TRAINED, f"{node.op_type} was not trained with quantization")
    data = [value for value in node.inputs if value is not None and constant(value) is None]
    for index, value in enumerate(node.inputs[:2]):
        if value is None or value in pairs or is_stored(value):
            continue
        if constant(value) is not None:
            return Kept(
                Reason.WEIGHT_NOT_TRAINED, f"its weight {value.name} has no trained parameters"
            )
        return Kept(
            Reason.INPUT_NOT_TRAINED, f"its input {index}, {value.name}, has no trained parameters"
        )
    return None if data else Kept(Reason.CONSTANT, "all inputs are constant")


def _node(node: ir.Node, pairs: Mapping[ir.Value, str]) -> NodeQuant:
    given = {index: value for index, value in enumerate(node.inputs) if value is not None}
    read = {index: pairs[value] for index, value in given.items() if value in pairs}
    stored = next((index for index in (0, 1) if index in given and is_stored(given[index])), None)
    weight: tuple[ConstantInput, ...] = ()
    if stored is not None and (qparams := _weight_of(node, stored)) is not None:
        role, axis = ConstantRole.WEIGHT, qparams.axis
        weight = (ConstantInput(role=role, node=name_of(node), index=stored, axis=axis),)
    return NodeQuant(
        node=name_of(node), inputs=tuple(read), tensors=tuple(read.values()), constants=weight
    )


def _weight_of(node: ir.Node, index: int) -> QParams | None:
    """Return the parameters of a stored weight; None where they are those of blocks."""
    producer = value_at(node, index).producer()
    assert producer is not None
    return read_qparams(producer)
