"""Reports as the client reads and shows them, and options as it sends them."""

import json
from typing import Any

import pytest
from support.fake_service import report as wire_report
from support.fake_service import signature

from zeropoint import v1
from zeropoint.client import options, proof, report
from zeropoint.client.errors import unknown_value
from zeropoint.client.keywords import dynamic_options, qat_options, static_options
from zeropoint.v1 import mirror


def read_report(message: v1.Report) -> report.Report:
    return mirror.read(report.Report, message, unknown_value)


def test_a_report_is_read() -> None:
    read = read_report(wire_report())
    assert read.sqnr_db == 31.5
    assert [(node.name, node.reason) for node in read.skipped] == [("top", "OP_NOT_SUPPORTED")]
    assert read.options == options.StaticOptions()
    assert read.calibration is not None
    assert read.calibration.non_finite[0].nan == 1
    assert read.plan.tensors[0].axis is None
    assert read.plan.tensors[0].zero_point == 128
    assert [(one.method, one.percentile) for one in read.plan.tensors[0].alternatives] == [
        (read.plan.tensors[0].method, 99.99),
        ("MinMax", None),
    ]
    assert read.plan.tensors[0].alternatives[1].expected_error == 6e-5
    assert read.signature.inputs[0].shape == ("batch", 3, None)
    assert read.signature.outputs[0].shape is None


def test_a_dynamic_report_has_no_calibration() -> None:
    read = read_report(wire_report("dynamic"))
    assert read.calibration is None
    assert read.options == options.DynamicOptions()


def test_the_report_of_a_trained_model_says_what_survived() -> None:
    read = read_report(wire_report("qat"))
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
    assert read_report(wire_report()).verification.exactness is None


def test_kernels_are_set_side_by_side_only_where_they_are_of_the_same_nodes() -> None:
    message = wire_report("qat")
    del message.verification.exactness.kernels_before[:]
    read = read_report(message)
    assert "; integer kernels Conv 1/1\n" in str(read)
    message.verification.exactness.kernels_before.add(op_type="Gemm", nodes=2, integer=2)
    read = read_report(message)
    assert "; integer kernels Gemm 2/2 -> Conv 1/1\n" in str(read)


def test_reports_are_json_and_text() -> None:
    read = read_report(wire_report())
    values = json.loads(json.dumps(read.to_dict(), allow_nan=False))
    assert values["digest"] == (b"d" * 32).hex()
    assert values["verification"]["outputs"][0]["similarity"]["sqnr_db"] == "Infinity"
    assert values["plan"]["nodes"][0]["state"] == "quantized"
    text = str(read)
    assert "1 quantized, 1 left float" in text
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
    back = message.FromString(sent.SerializeToString())
    assert mirror.read(type(given), back, unknown_value) == given


def test_signature_of_a_model() -> None:
    read = mirror.read(report.Signature, signature(("a", "b")), unknown_value)
    assert [spec.name for spec in read.inputs] == ["a", "b"]
