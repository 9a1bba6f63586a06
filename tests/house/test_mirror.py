"""The mirror: what the engine says and what the client reads are the contract's messages."""

import dataclasses
import math
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint import v1
from zeropoint.client import accuracy_report as client_accuracy
from zeropoint.client import options as client_options
from zeropoint.client import progress as client_progress
from zeropoint.client import proof
from zeropoint.client import report as client_report
from zeropoint.client.errors import ServerError, unknown_value
from zeropoint.engine import (
    accuracy_options,
    errors,
    number_types,
    options,
    progress,
    tensor_override,
)
from zeropoint.engine import report as told
from zeropoint.server.convert import engine as convert
from zeropoint.v1 import mirror

SENT: list[tuple[type[Any], Any]] = [
    (told.Report, v1.Report),
    (told.PlanReport, v1.Plan),
    (options.StaticOptions, v1.StaticOptions),
    (options.DynamicOptions, v1.DynamicOptions),
    (options.QatOptions, v1.QatOptions),
    (progress.Progress, v1.Progress),
    (client_options.StaticOptions, v1.StaticOptions),
    (client_options.DynamicOptions, v1.DynamicOptions),
    (client_options.QatOptions, v1.QatOptions),
]
"""What mirrors a message in both directions, or is written by the engine: all of its fields."""

READ: list[tuple[type[Any], Any, set[str]]] = [
    (client_report.Report, v1.Report, set()),
    (client_report.Plan, v1.Plan, set()),
    (client_report.Inspection, v1.Started, {"plan"}),
    (client_report.ServerInfo, v1.GetServerInfoResponse, set()),
    (client_progress.Progress, v1.Progress, set()),
]
"""What the client reads, with the fields that it has from elsewhere."""

NOT_READ = {"next_sequence", "credit"}
"""What the client needs for its conversation only."""

ENUMS: list[tuple[Any, Any, set[str]]] = [
    (number_types.QuantType, v1.QuantType, set()),
    (options.QuantFormat, v1.QuantFormat, set()),
    (options.CalibrationMethod, v1.CalibrationMethod, set()),
    (told.NodeState, v1.NodeState, set()),
    (told.ParameterSource, v1.ParameterSource, set()),
    (told.VerificationState, v1.VerificationState, set()),
    (told.ComparedAs, v1.ComparedAs, set()),
    (told.DecisionKind, v1.DecisionKind, set()),
    (told.Verdict, v1.Verdict, set()),
    (accuracy_options.AccuracyMode, v1.AccuracyMode, set()),
    (accuracy_options.Objective, v1.Objective, set()),
    (told.Remedy, v1.Remedy, set()),
    (client_options.AccuracyMode, v1.AccuracyMode, set()),
    (client_options.Objective, v1.Objective, set()),
    (client_accuracy.Remedy, v1.Remedy, set()),
    (client_options.QuantType, v1.QuantType, set()),
    (client_options.QuantFormat, v1.QuantFormat, set()),
    (client_options.CalibrationMethod, v1.CalibrationMethod, set()),
    (client_report.NodeState, v1.NodeState, set()),
    (client_report.ParameterSource, v1.ParameterSource, set()),
    (proof.VerificationState, v1.VerificationState, set()),
    (proof.ComparedAs, v1.ComparedAs, set()),
    (proof.DecisionKind, v1.DecisionKind, set()),
    (client_report.Verdict, v1.Verdict, set()),
    (client_progress.Phase, v1.Phase, {"CONNECT", "DOWNLOAD"}),
]
"""Enums that are whole on both sides, but for members that only the client needs."""


def dataclasses_in(hint: Any) -> set[type[Any]]:
    """The dataclasses that a type hint mentions."""
    if isinstance(hint, UnionType) or get_origin(hint) is tuple:
        return set().union(*(dataclasses_in(arg) for arg in get_args(hint)))
    return {hint} if dataclasses.is_dataclass(hint) and isinstance(hint, type) else set()


def compare(kind: type[Any], descriptor: Any, elsewhere: set[str]) -> None:
    """Check that a dataclass and all inside it have the fields of their messages."""
    choices = {field.name for oneof in descriptor.oneofs for field in oneof.fields}
    optional = {field.name for field in descriptor.fields if _is_optional(field)}
    wanted = set(descriptor.fields_by_name) - (choices - optional)
    wanted |= {oneof.name for oneof in descriptor.oneofs if not oneof.name.startswith("_")}
    names = {field.name for field in dataclasses.fields(kind)}
    assert names - elsewhere == wanted - NOT_READ, kind
    for name, hint in get_type_hints(kind).items():
        message = getattr(descriptor.fields_by_name.get(name), "message_type", None)
        for inner in dataclasses_in(hint) if message is not None else ():
            compare(inner, message, set())


def _is_optional(field: Any) -> bool:
    return field.containing_oneof is not None and field.containing_oneof.name.startswith("_")


@pytest.mark.parametrize(("kind", "message"), SENT)
def test_what_is_sent_has_the_fields_of_its_message(kind: type[Any], message: Any) -> None:
    compare(kind, message.DESCRIPTOR, set())


@pytest.mark.parametrize(("kind", "message", "elsewhere"), READ)
def test_what_is_read_has_the_fields_of_its_message(
    kind: type[Any], message: Any, elsewhere: set[str]
) -> None:
    compare(kind, message.DESCRIPTOR, elsewhere)


@pytest.mark.parametrize(("kind", "message", "ours"), ENUMS)
def test_enums_agree(kind: Any, message: Any, ours: set[str]) -> None:
    members = mirror.members(kind, message.DESCRIPTOR)
    assert set(members) == set(message.values()) - {0}
    assert {member.name for member in kind} - {m.name for m in members.values()} == ours


def test_the_engine_says_no_phase_that_the_contract_does_not_have() -> None:
    assert set(mirror.numbers(progress.Phase, v1.Phase.DESCRIPTOR)) == set(progress.Phase)


names = st.text(max_size=5)
finite = st.floats(allow_nan=False)
selections = st.builds(
    options.NodeSelection,
    op_types_to_quantize=st.lists(names, max_size=2).map(tuple),
    nodes_to_quantize=st.lists(names, max_size=2).map(tuple),
    nodes_to_exclude=st.lists(names, max_size=2).map(tuple),
    enable_subgraph=st.booleans(),
    matmul_const_b_only=st.sampled_from([None, True, False]),
)
static_selections = st.builds(
    dataclasses.replace,
    selections,
    force_quantize_no_input_check=st.booleans(),
    op_types_to_exclude_output_quantization=st.lists(names, max_size=2).map(tuple),
)
rests = [
    {"scale": (0.5, 0.25), "zero_point": (7, 7)},
    {"symmetric": True, "rmin": (-1.0, -2.0), "rmax": (1.0, 2.0)},
    {"reduce_range": False},
]
overrides = st.builds(
    lambda name, quant_type, axis, rest: tensor_override.TensorQuantOverride(
        tensor_name=name, quant_type=quant_type, axis=axis, **rest
    ),
    names,
    st.sampled_from([None, *tensor_override.QuantType]),
    st.sampled_from([-1, 0]),
    st.sampled_from(rests),
)
several_overrides = st.lists(overrides, max_size=2, unique_by=lambda one: one.tensor_name)
least_ranges = st.floats(0, 1)
qdqs = st.builds(
    options.QdqOptions,
    **{field.name: st.booleans() for field in dataclasses.fields(options.QdqOptions)},
)
verifies = st.builds(options.VerifyOptions, min_sqnr_db=finite, strict=st.booleans())


@st.composite
def weights(draw: st.DrawFn) -> options.WeightOptions:
    per_channel = draw(st.booleans())
    return options.WeightOptions(
        quant_type=draw(st.sampled_from(tensor_override.QuantType)),
        per_channel=per_channel,
        reduce_range=draw(st.booleans()),
        minimum_real_range=draw(least_ranges),
        symmetric=draw(st.sampled_from([True, None] if per_channel else [True, False, None])),
    )


@st.composite
def statics(draw: st.DrawFn) -> options.StaticOptions:
    weight = draw(weights())
    types = (
        list(tensor_override.QuantType)
        if weight.stored.signed
        else [tensor_override.QuantType.QUINT8]
    )
    quant_type = draw(st.sampled_from(types))
    restricted = draw(st.booleans()) and not quant_type.signed
    return options.StaticOptions(
        selection=draw(static_selections),
        activation_type=quant_type,
        activation_symmetric=False if restricted else draw(st.sampled_from([None, True, False])),
        activation_restricted_asymmetric=restricted,
        minimum_real_range=draw(least_ranges),
        weight=weight,
        calibrate_method=draw(st.sampled_from(options.CalibrationMethod)),
        percentile=draw(st.floats(50, 100, exclude_min=True)),
        calibration_range_symmetric=draw(st.booleans()),
        qdq=draw(qdqs),
        tensor_quant_overrides=tuple(draw(several_overrides)),
        verify=draw(verifies),
    )


dynamics = st.builds(
    options.DynamicOptions, selection=selections, weight=weights(), verify=verifies
)
types_or_as_learned = st.sampled_from([None, *tensor_override.QuantType])


@st.composite
def qats(draw: st.DrawFn) -> options.QatOptions:
    exact = draw(st.booleans())
    formats = [options.QuantFormat.QDQ] if exact else list(options.QuantFormat)
    return options.QatOptions(
        selection=draw(selections),
        quant_format=draw(st.sampled_from(formats)),
        activation_type=draw(types_or_as_learned),
        weight_type=draw(types_or_as_learned),
        per_channel=draw(st.sampled_from([None, True, False])),
        quantize_bias=not exact and draw(st.booleans()),
        exact=exact,
        calibrate=not exact and draw(st.booleans()),
        verify=draw(verifies),
    )


@given(st.one_of(statics(), dynamics, qats()))
def test_options_come_through_and_are_told_with_defaults_filled_in(asked: options.Options) -> None:
    start = opening(asked)
    assert convert.options(start) == asked
    settled = asked.settled()
    assert settled.settled() == settled
    assert convert.options(opening(settled)) == settled


def opening(asked: options.Options) -> v1.Start:
    """Return the start of a job with these options, as it was sent."""
    start = v1.Start()
    message = getattr(v1, type(asked).__name__)
    kind = type(asked).__name__.removesuffix("Options").lower()
    getattr(start, f"{kind}_options").CopyFrom(mirror.write(message, asked))
    return v1.Start.FromString(start.SerializeToString())


def test_what_is_left_out_takes_the_engines_default() -> None:
    assert convert.options(v1.Start()) == options.StaticOptions()
    asked = v1.Start(dynamic_options=v1.DynamicOptions())
    assert convert.options(asked) == options.DynamicOptions()
    assert convert.options(v1.Start(qat_options=v1.QatOptions())) == options.QatOptions()


def test_no_default_is_left_open() -> None:
    # A type of weights that nobody named is an answer of its own; the rest follows from each.
    by_weight = {"quant_type", "per_channel", "symmetric", "max_drop"}
    settled: list[Any] = [options.StaticOptions().settled(), options.DynamicOptions().settled()]
    while settled:
        value = settled.pop()
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            assert inner is not None or field.name in by_weight, field.name
            settled += [inner] if dataclasses.is_dataclass(inner) else []


@pytest.mark.parametrize(
    ("field", "option"),
    [
        (b"\x12\x02\x10\x63", "StaticOptions.quant_format"),
        (b"\x12\x02\x18\x63", "StaticOptions.activation_type"),
        (b"\x12\x02\x40\x63", "StaticOptions.calibrate_method"),
        (b"\x12\x04\x3a\x02\x08\x63", "WeightOptions.quant_type"),
        (b"\x22\x02\x18\x63", "QatOptions.activation_type"),
    ],
)
def test_an_unknown_choice_is_refused(field: bytes, option: str) -> None:
    with pytest.raises(errors.OptionError) as caught:
        convert.options(v1.Start.FromString(field))
    assert (caught.value.reason, caught.value.metadata["option"]) == ("OPTION_UNKNOWN", option)


def a_report() -> told.Report:
    similarity = told.Similarity(sqnr_db=math.inf, cosine=1.0, max_abs_difference=0.0)
    spec = told.TensorSpec(name="x", element_type=1, shape=("N", 3, None))
    plan = told.PlanReport(
        nodes=(
            told.NodePlan(name="a", op_type="Conv", state=told.NodeState.QUANTIZED),
            told.NodePlan(
                name="b", op_type="LSTM", state=told.NodeState.FLOAT, reason="R", message="m"
            ),
        ),
        tensors=(
            told.TensorPlan(
                name="w",
                element_type=3,
                axis=0,
                symmetric=True,
                source=told.ParameterSource.WEIGHT,
            ),
            told.TensorPlan(
                name="x",
                element_type=2,
                axis=None,
                symmetric=False,
                source=told.ParameterSource.CALIBRATED,
                low=0.0,
                high=1.0,
                scale=1 / 255,
                zero_point=0,
                method=options.CalibrationMethod.PERCENTILE,
                percentile=99.9,
                alternatives=(
                    told.RangeAlternative(
                        method=options.CalibrationMethod.PERCENTILE,
                        percentile=99.9,
                        low=0.0,
                        high=1.0,
                        expected_error=1e-5,
                    ),
                    told.RangeAlternative(
                        method=options.CalibrationMethod.MINMAX,
                        percentile=None,
                        low=0.0,
                        high=2.0,
                        expected_error=2e-5,
                    ),
                ),
            ),
        ),
        opset=13,
        warnings=(told.Warning(code="W", message="m", nodes=("a",)),),
    )
    return told.Report(
        versions=told.Versions(zeropoint="1", onnxruntime="2", onnx="3"),
        source_sha256=bytes(32),
        digest=bytes(range(32)),
        options=options.StaticOptions(),
        signature=told.Signature(
            inputs=(spec,),
            outputs=(told.TensorSpec(name="y", element_type=7, shape=None),),
        ),
        plan=plan,
        verification=told.Verification(
            state=told.VerificationState.COMPARED,
            batches=2,
            sqnr_db=30.0,
            outputs=(told.OutputFigures(name="y", similarity=similarity),),
            nodes=(told.NodeFigures(name="a", op_type="Conv", similarity=similarity),),
            kernels=(told.KernelCount(op_type="Conv", nodes=1, integer=1),),
        ),
        calibration=told.CalibrationFigures(
            batches=2,
            rejected=1,
            tensors=3,
            non_finite=(
                told.NonFiniteTensor(name="n", nan=1, positive_infinity=2, negative_infinity=3),
            ),
        ),
        warnings=(),
        source_bytes=10,
        result_bytes=5,
        phases=(told.PhaseTime(phase=progress.Phase.PREPARE, seconds=0.5),),
        histograms=(
            told.Histogram(
                node="a",
                tensor="x",
                low=-1.0,
                high=2.0,
                counts=(1, 0, 1 << 40),
                ranges=plan.tensors[1].alternatives,
            ),
        ),
    )


def test_the_client_reads_what_the_engine_says() -> None:
    said = a_report()
    sent = v1.Report()
    for piece in convert.report(said):
        sent.MergeFromString(piece.SerializeToString())
    read = mirror.read(client_report.Report, sent, unknown_value)
    assert same(said, read)
    assert read.signature.inputs[0].shape == ("N", 3, None)
    assert read.signature.outputs[0].shape is None
    assert read.verification.outputs[0].similarity.sqnr_db == math.inf
    assert read.verification.outputs[0].decisions is None
    assert (read.plan.tensors[0].axis, read.plan.tensors[0].scale) == (0, None)
    assert (read.plan.tensors[1].method, read.plan.tensors[1].percentile) == ("Percentile", 99.9)
    assert read.phases[0].phase is client_progress.Phase.PREPARE
    assert isinstance(read.options, client_options.StaticOptions)
    assert read.verification.exactness is None


def same(said: Any, read: Any) -> bool:
    """Whether both have equal fields; members of enums are equal as words."""
    if dataclasses.is_dataclass(said):
        names = [field.name for field in dataclasses.fields(said)]
        return all(same(getattr(said, name), getattr(read, name)) for name in names)
    if isinstance(said, tuple):
        return len(said) == len(read) and all(map(same, said, read))
    return bool(said == read)


def test_the_report_of_a_trained_model_comes_through() -> None:
    exactness = told.Exactness(
        tensors=8,
        exact_tensors=7,
        node_steps=1,
        end_to_end_steps=1 << 32,  # of int32 codes
        max_abs_difference=0.25,
        max_ulps=math.inf,
        worst=(told.TensorDifference(name="t", steps=1),),
        kernels_before=(told.KernelCount(op_type="Conv", nodes=4, integer=0),),
    )
    verification = told.Verification(
        state=told.VerificationState.COMPARED, batches=2, exactness=exactness
    )
    said = dataclasses.replace(a_report(), verification=verification, calibration=None)
    [sent] = convert.report(said)
    assert same(said, mirror.read(client_report.Report, sent, unknown_value))


def test_values_of_a_newer_server_are_refused() -> None:
    [sent] = convert.report(a_report())
    sent.plan.nodes[0].state = cast(v1.NodeState, 77)
    with pytest.raises(ServerError, match=r"NodePlan.state=77.*Upgrade the client"):
        mirror.read(client_report.Report, sent, unknown_value)
    sent.ClearField("static_options")
    with pytest.raises(ServerError, match="options=0"):
        mirror.read(client_report.Report, sent, unknown_value)
