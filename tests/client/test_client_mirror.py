"""The client's values mirror the contract: every field of every message is there."""

import dataclasses
import json
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

import pytest
from support.fake_service import report as wire_report
from support.fake_service import signature

from zeropoint import v1
from zeropoint.client import ServerError, mirror, options, proof, report
from zeropoint.client.keywords import dynamic_options, qat_options, static_options

PAIRS: list[tuple[type[Any], Any]] = [
    (report.Report, v1.Report),
    (report.Inspection, v1.InspectResponse),
    (report.ServerInfo, v1.GetServerInfoResponse),
    (options.StaticOptions, v1.StaticOptions),
    (options.DynamicOptions, v1.DynamicOptions),
    (options.QatOptions, v1.QatOptions),
]


def dataclasses_in(hint: Any) -> set[type[Any]]:
    """The dataclasses that a type hint mentions."""
    if isinstance(hint, UnionType) or get_origin(hint) is tuple:
        return set().union(*(dataclasses_in(arg) for arg in get_args(hint)))
    return {hint} if dataclasses.is_dataclass(hint) and isinstance(hint, type) else set()


def compare(kind: type[Any], descriptor: Any) -> None:
    """Check that a dataclass and all inside it have the fields of their messages."""
    names = {field.name for field in dataclasses.fields(kind)}
    wanted = set(descriptor.fields_by_name)
    if kind is report.Report:
        wanted = {name for name in wanted if not name.endswith("_options")} | {"options"}
    assert names == wanted, kind
    for name, hint in get_type_hints(kind).items():
        message = getattr(descriptor.fields_by_name.get(name), "message_type", None)
        for inner in dataclasses_in(hint) if message is not None else ():
            compare(inner, message)


@pytest.mark.parametrize(("kind", "message"), PAIRS)
def test_every_field_is_mirrored(kind: type[Any], message: Any) -> None:
    compare(kind, message.DESCRIPTOR)


@pytest.mark.parametrize(
    "enum",
    [
        (options.QuantType, v1.QuantType),
        (options.QuantFormat, v1.QuantFormat),
        (options.CalibrationMethod, v1.CalibrationMethod),
        (report.NodeState, v1.NodeState),
        (report.ParameterSource, v1.ParameterSource),
        (proof.VerificationState, v1.VerificationState),
    ],
)
def test_every_enum_value_is_mirrored(enum: tuple[Any, Any]) -> None:
    members = mirror.members_by_number(enum[0], enum[1].DESCRIPTOR)
    assert set(members) == set(enum[1].values()) - {0}
    assert set(members.values()) == set(enum[0])


def test_a_report_is_read() -> None:
    read = mirror.read(report.Report, wire_report())
    assert read.sqnr_db == 31.5
    assert [(node.name, node.reason) for node in read.skipped] == [("top", "OP_NOT_SUPPORTED")]
    assert read.options == options.StaticOptions()
    assert read.calibration is not None
    assert read.calibration.non_finite[0].nan == 1
    assert read.plan.tensors[0].axis is None
    assert read.plan.tensors[0].zero_point == 128
    assert [one.method for one in read.plan.tensors[0].alternatives] == [
        read.plan.tensors[0].method,
        "MinMax",
    ]
    assert read.plan.tensors[0].alternatives[1].expected_error == 6e-5
    assert read.signature.inputs[0].shape == ("batch", 3, None)
    assert read.signature.outputs[0].shape is None


def test_a_dynamic_report_has_no_calibration() -> None:
    read = mirror.read(report.Report, wire_report("dynamic"))
    assert read.calibration is None
    assert read.options == options.DynamicOptions()


def test_the_report_of_a_trained_model_says_what_survived() -> None:
    read = mirror.read(report.Report, wire_report("qat"))
    assert read.options == options.QatOptions()
    assert read.plan.tensors[0].source is report.ParameterSource.LEARNED
    found = read.verification.exactness
    assert found is not None
    assert (found.tensors, found.exact_tensors, found.node_steps) == (8, 7, 1)
    assert found.worst == (proof.TensorDifference(name="x", steps=1),)
    assert found.kernels_before == (proof.KernelCount(op_type="Conv", nodes=1, integer=0),)
    assert (
        "trained     7 of 8 tensors exact, the others within 1 step, 2 steps end to end;"
        " integer kernels Conv 0/1 -> 1/1"
    ) in str(read)
    assert "differs     x: by 1 step by itself" in str(read)
    assert mirror.read(report.Report, wire_report()).verification.exactness is None


def test_kernels_are_set_side_by_side_only_where_they_are_of_the_same_nodes() -> None:
    message = wire_report("qat")
    del message.verification.exactness.kernels_before[:]
    read = mirror.read(report.Report, message)
    assert "; integer kernels Conv 1/1\n" in str(read)
    message.verification.exactness.kernels_before.add(op_type="Gemm", nodes=2, integer=2)
    read = mirror.read(report.Report, message)
    assert "; integer kernels Gemm 2/2 -> Conv 1/1\n" in str(read)


def test_reports_are_json_and_text() -> None:
    read = mirror.read(report.Report, wire_report())
    values = json.loads(json.dumps(read.to_dict(), allow_nan=False))
    assert values["digest"] == (b"d" * 32).hex()
    assert values["verification"]["outputs"][0]["similarity"]["sqnr_db"] == "Infinity"
    assert values["plan"]["nodes"][0]["state"] == "quantized"
    text = str(read)
    assert "1 quantized, 1 float" in text
    assert "OP_NOT_SUPPORTED" in text
    assert "chosen      1 Percentile 99.99" in text
    assert "x had NaN." in text


@pytest.mark.parametrize(
    "given",
    [
        static_options(),
        static_options(
            activation_type="QInt8",
            weight_type="QInt8",
            per_channel=True,
            nodes_to_exclude=["a", "b*"],
            calibrate_method="Percentile",
            extra_options={
                "CalibPercentile": 99.5,
                "WeightSymmetric": False,
                "MinimumRealRange": 1e-4,
                "TensorQuantOverrides": {
                    "x": [{"scale": 0.1, "zero_point": 3}],
                    "w": [{"axis": 0, "rmin": -1, "rmax": 1}, {"rmin": -2, "rmax": 2}],
                },
            },
            min_sqnr_db=0.0,
            strict=True,
        ),
        dynamic_options(reduce_range=True, op_types_to_quantize=["MatMul"]),
        qat_options(),
        qat_options(
            calibrate=True,
            quant_format="IntegerOps",
            activation_type="QInt8",
            weight_type="QUInt8",
            per_channel=False,
            nodes_to_quantize=["a*"],
            extra_options={"QuantizeBias": True},
            min_sqnr_db=3.0,
            strict=True,
        ),
        qat_options(exact=True, per_channel=True, quant_format="QOperator"),
    ],
)
def test_options_survive_the_wire(given: Any) -> None:
    message = getattr(v1, type(given).__name__)
    sent = mirror.write(message, given)
    assert mirror.read(type(given), message.FromString(sent.SerializeToString())) == given


def test_values_of_a_newer_server_are_refused() -> None:
    message = wire_report()
    message.plan.nodes[0].state = cast(v1.NodeState, 77)
    with pytest.raises(ServerError, match="Upgrade the client"):
        mirror.read(report.Report, message)


def test_signature_of_a_model() -> None:
    read = mirror.read(report.Signature, signature(("a", "b")))
    assert [spec.name for spec in read.inputs] == ["a", "b"]
