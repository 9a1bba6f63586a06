"""Whole jobs with the server that the client starts for itself."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.engine import run, sqnr_db
from support.graphs import GraphBuilder, normal_batches, residual
from support.learned import fake_quantized

from zeropoint.client import (
    CancelledError,
    DataError,
    ModelError,
    OptionError,
    Phase,
    Progress,
    QdqOptions,
    QualityError,
    QuantizationClient,
    QuantType,
    StaticOptions,
    embedded,
    errors,
    inspect,
    quantize_dynamic,
    quantize_qat,
    quantize_static,
)

BATCHES = normal_batches({"x": (2, 3, 16, 16)})


@pytest.fixture(scope="module", autouse=True)
def _own_server() -> Iterator[None]:
    yield
    embedded.stop()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return residual().save(tmp_path)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.onnx"


def test_static(model: Path, output: Path) -> None:
    before, told = model.read_bytes(), list[Progress]()
    result = quantize_static(
        model, output, BATCHES, weight_type="QInt8", per_channel=True, progress=told.append
    )
    assert model.read_bytes() == before
    [expected], [got] = run(model, BATCHES[0]), run(output, BATCHES[0])
    assert sqnr_db(expected, got) > 20
    assert result.report.sqnr_db is not None
    assert result.report.sqnr_db > 20
    assert result.report.calibration is not None
    assert result.report.calibration.batches == len(BATCHES)
    assert result.report.result_bytes == output.stat().st_size
    assert [kernel.integer for kernel in result.report.verification.kernels] == [4, 1]
    assert json.dumps(result.report.to_dict(), allow_nan=False)
    calibrated = [p for p in told if p.phase is Phase.CALIBRATE]
    assert {p.total for p in calibrated} == {len(BATCHES)}
    assert max(p.done for p in calibrated) == len(BATCHES)
    assert told[-1].phase is Phase.DOWNLOAD


def test_external_data_goes_along(tmp_path: Path, output: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    onnx.save(
        residual().model(),
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=100,
    )
    result = quantize_dynamic(folder / "model.onnx", output)
    [expected], [got] = run(residual().save(tmp_path), BATCHES[0]), run(output, BATCHES[0])
    assert sqnr_db(expected, got) > 20
    files = ("model.onnx", "weights.bin")
    assert result.report.source_bytes == sum((folder / f).stat().st_size for f in files)


def test_dynamic_with_verification_data(model: Path, output: Path) -> None:
    result = quantize_dynamic(model, output, verification_data=BATCHES[:4])
    assert result.report.verification.batches == 2  # candidates need the others
    assert result.report.verification.state.value == "compared"


def test_a_trained_model_is_exact(tmp_path: Path, output: Path) -> None:
    trained, batches = fake_quantized().save(tmp_path), normal_batches({"x": (2, 3, 8, 8)})
    planned = inspect(trained, mode="qat")
    result = quantize_qat(trained, output, verification_data=batches)
    proof = result.report.verification
    assert proof.state.value == "compared"
    assert proof.exactness is not None
    assert (proof.exactness.tensors, proof.exactness.exact_tensors) == (5, 5)
    assert proof.exactness.node_steps == 0
    assert planned.plan.nodes == result.report.plan.nodes
    assert "trained     5 of 5 tensors exact, 0 steps end to end" in str(result.report)
    for batch in batches:
        [expected], [got] = (run(path, batch, optimize=False) for path in (trained, output))
        assert np.array_equal(expected, got)
    stored = {one.data_type for one in onnx.load(output).graph.initializer if len(one.dims) > 1}
    assert stored == {onnx.TensorProto.INT8}


def test_biases_of_a_trained_model_are_rounded_only_where_asked(
    tmp_path: Path, output: Path
) -> None:
    trained = fake_quantized().save(tmp_path)
    result = quantize_qat(trained, output, extra_options={"QuantizeBias": True})
    assert "BIASES_ROUNDED" in {warning.code for warning in result.report.warnings}
    assert result.report.verification.state.value == "generated"
    with pytest.raises(OptionError, match="quantize_bias") as caught:
        quantize_qat(trained, output, exact=True, extra_options={"QuantizeBias": True})
    assert caught.value.reason == "OPTION_CONFLICT"


def test_batches_complete_what_was_not_trained(tmp_path: Path, output: Path) -> None:
    trained = fake_quantized(whole=False).save(tmp_path)
    batches = normal_batches({"x": (2, 3, 8, 8)})
    only_verified = quantize_qat(trained, output, verification_data=batches).report
    completed = quantize_qat(trained, output, calibration_data_reader=batches).report
    assert only_verified.calibration is None
    assert completed.calibration is not None
    assert completed.calibration.batches == len(batches)
    gained = [
        {kernel.op_type: kernel.integer for kernel in report.verification.kernels}
        for report in (only_verified, completed)
    ]
    assert gained == [{"Conv": 2, "Gemm": 0}, {"Conv": 2, "Gemm": 1}]
    sources = {tensor.source.value for tensor in completed.plan.tensors}
    assert {"learned", "calibrated"} <= sources


@pytest.mark.parametrize(
    ("form", "operators"),
    [
        ("QOperator", {"QLinearConv"}),
        ("IntegerOps", {"ConvInteger", "MatMulInteger"}),
    ],
)
def test_forms_of_a_trained_model(
    tmp_path: Path, output: Path, form: str, operators: set[str]
) -> None:
    trained, batches = fake_quantized().save(tmp_path), normal_batches({"x": (2, 3, 8, 8)})
    result = quantize_qat(trained, output, quant_format=form, verification_data=batches)
    assert operators <= {node.op_type for node in onnx.load(output).graph.node}
    proof = result.report.verification.exactness
    assert proof is not None
    assert proof.node_steps <= 1
    [expected], [got] = (run(path, batches[0], optimize=False) for path in (trained, output))
    assert sqnr_db(expected, got) > 35


@pytest.mark.parametrize(
    ("form", "operators"),
    [
        ("QOperator", {"QLinearConv", "QGemm"}),
        ("IntegerOps", {"ConvInteger", "MatMulInteger"}),
    ],
)
def test_forms_of_static_quantization(
    tmp_path: Path, output: Path, form: str, operators: set[str]
) -> None:
    source, batches = residual().save(tmp_path), normal_batches({"x": (2, 3, 16, 16)})
    report = quantize_static(source, output, batches, quant_format=form).report
    types = {node.op_type for node in onnx.load(output).graph.node}
    assert operators <= types
    assert not types & {"Conv", "Gemm"}
    assert isinstance(report.options, StaticOptions)
    assert report.options.quant_format == form
    [expected], [got] = (run(path, batches[0]) for path in (source, output))
    assert sqnr_db(expected, got) > 25


def test_a_model_that_learned_nothing_is_refused(model: Path, output: Path) -> None:
    with pytest.raises(ModelError) as caught:
        quantize_qat(model, output)
    assert caught.value.reason == "NOT_FAKE_QUANTIZED"
    assert not output.exists()


def test_inspect_plans_what_is_done(model: Path, output: Path) -> None:
    planned = inspect(model, weight_type=QuantType.QInt8, nodes_to_exclude=["conv_c2"])
    done = quantize_static(
        model, output, BATCHES, weight_type=QuantType.QInt8, nodes_to_exclude=["conv_c2"]
    )
    assert planned.plan.nodes == done.report.plan.nodes
    assert "conv_c2" in {node.name for node in planned.skipped}
    assert planned.signature.inputs[0].shape == ("N", 3, 16, 16)


def test_rejected_batches_are_left_out(model: Path, output: Path) -> None:
    wrong: list[Any] = [
        {"x": np.zeros((1, 3, 16), np.float32)},
        {"y": np.zeros((1, 3, 16, 16), np.float32)},
        {"x": np.zeros((1, 3, 16, 16), np.float64)},
    ]
    result = quantize_static(model, output, [*BATCHES[:2], *wrong, *BATCHES[2:]])
    assert [(r.batch, r.reason) for r in result.rejected] == [
        (3, "BATCH_SHAPE"),
        (4, "BATCH_INPUT_UNKNOWN"),
        (5, "BATCH_ELEMENT_TYPE"),
    ]
    assert result.report.calibration is not None
    assert result.report.calibration.batches == len(BATCHES)
    assert result.report.calibration.rejected == len(wrong)
    lines = [line for line in str(result.report).splitlines() if line.startswith("rejected")]
    assert len(lines) == len(wrong)
    assert "1 batch: number 3: Input 'x' takes shape [N, 3, 16, 16], got [1, 3, 16]" in lines[0]
    assert lines[0].endswith("[BATCH_SHAPE]")


def test_no_usable_batch_says_why(model: Path, output: Path) -> None:
    with pytest.raises(DataError) as caught:
        quantize_static(model, output, [np.zeros((1, 3), np.float32)])
    assert caught.value.reason == "NO_BATCHES"
    assert "Batch 1, BATCH_SHAPE: " in str(caught.value)


def test_extra_options_reach_the_engine(model: Path, output: Path) -> None:
    extra = {
        "QuantizeBias": False,
        "DedicatedQDQPair": True,
        "MinimumRealRange": 1e-4,
        "OpTypesToExcludeOutputQuantization": ["Add"],
        "TensorQuantOverrides": {"x": [{"scale": 0.05, "zero_point": 128}]},
    }
    result = quantize_static(model, output, BATCHES, extra_options=extra, weight_type="QInt8")
    written = onnx.load(output).graph.initializer
    assert onnx.TensorProto.INT32 not in {tensor.data_type for tensor in written}
    [x] = [tensor for tensor in result.report.plan.tensors if tensor.name == "x"]
    assert x.scale == np.float32(0.05)
    chosen = result.report.options
    assert isinstance(chosen, StaticOptions)
    assert chosen.qdq == QdqOptions(quantize_bias=False, dedicated_pair=True)
    assert chosen.selection.op_types_to_exclude_output_quantization == ("Add",)
    assert chosen.minimum_real_range == 1e-4
    assert chosen.tensor_quant_overrides[0].zero_point == (128,)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"nodes_to_exclude": ["conv_c22"]}, "NODE_UNKNOWN"),
        ({"op_types_to_quantize": ["Convv"]}, "OP_TYPE_UNKNOWN"),
        (
            {"extra_options": {"TensorQuantOverrides": {"c11": [{"symmetric": True}]}}},
            "TENSOR_UNKNOWN",
        ),
        ({"activation_type": "QInt8", "weight_type": "QUInt8"}, "OPTION_CONFLICT"),
        ({"calibrate_method": "Percentile", "extra_options": {"CalibPercentile": 10.0}}, None),
    ],
)
def test_options_are_refused_before_data_is_taken(
    model: Path, output: Path, options: Any, reason: str | None
) -> None:
    taken = []

    def reader() -> Iterator[dict[str, Any]]:
        taken.append(1)
        yield BATCHES[0]

    with pytest.raises(OptionError) as caught:
        quantize_static(model, output, reader(), **options)
    assert caught.value.reason == (reason or "OPTION_INVALID")
    assert not taken
    assert not output.exists()


def test_results_below_the_floor_are_refused(model: Path, output: Path) -> None:
    with pytest.raises(QualityError, match="dB"):
        quantize_static(model, output, BATCHES, min_sqnr_db=200.0, strict=True, accuracy="off")
    assert not output.exists()


def test_models_that_are_none(tmp_path: Path, output: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.ModelProto(doc_string="nothing").SerializeToString())
    with pytest.raises(ModelError):
        quantize_dynamic(path, output)
    with pytest.raises(ModelError):
        inspect(path)


def test_a_calibration_cache_replaces_the_data(model: Path, tmp_path: Path) -> None:
    cache, taken = tmp_path / "cache.zpcal", list[int]()

    def reader() -> Iterator[dict[str, Any]]:
        taken.append(1)
        yield from BATCHES

    first, again, other = (tmp_path / f"{name}.onnx" for name in ("first", "again", "other"))
    quantize_static(model, first, reader(), calibration_cache_path=cache, weight_type="QInt8")
    assert taken == [1]
    before = cache.read_bytes()
    with QuantizationClient() as client:
        result = client.quantize_static(
            model, again, reader(), calibration_cache_path=str(cache), weight_type="QInt8"
        )
    assert again.read_bytes() == first.read_bytes()
    assert result.report.verification.state.value == "generated"
    assert result.report.calibration is not None
    assert result.report.calibration.batches == len(BATCHES)
    quantize_static(
        model,
        other,
        None,
        calibration_cache_path=cache,
        per_channel=True,
        calibrate_method="Percentile",
        nodes_to_exclude=["conv_c2"],
    )
    assert sqnr_db(run(model, BATCHES[0])[0], run(other, BATCHES[0])[0]) > 15
    assert taken == [1]
    assert cache.read_bytes() == before


def test_a_calibration_cache_is_of_one_model_and_whole(model: Path, tmp_path: Path) -> None:
    cache, output = tmp_path / "cache.zpcal", tmp_path / "out.onnx"
    quantize_static(model, output, BATCHES, calibration_cache_path=cache)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError) as caught:
        quantize_static(
            residual(opset=12).save(tmp_path / "other"), output, None, calibration_cache_path=cache
        )
    assert caught.value.reason == "CALIBRATION_MISMATCH"
    cache.write_bytes(cache.read_bytes()[:-1])
    with pytest.raises(DataError) as caught:
        quantize_static(model, output, BATCHES, calibration_cache_path=cache)
    assert caught.value.reason == "CALIBRATION_INVALID"
    with pytest.raises(OptionError, match="is not there yet"):
        quantize_static(model, output, None, calibration_cache_path=tmp_path / "none")
    with pytest.raises(OptionError, match="model_output, too"):
        quantize_static(model, cache, None, calibration_cache_path=cache)


def test_a_job_that_fails_leaves_no_calibration_cache(model: Path, output: Path) -> None:
    cache = model.parent / "cache.zpcal"
    with pytest.raises(QualityError):
        quantize_static(
            *(model, output, BATCHES),
            calibration_cache_path=cache,
            min_sqnr_db=200.0,
            strict=True,
            accuracy="off",
        )
    assert {path.name for path in model.parent.iterdir()} == {"model.onnx"}


def test_cancelled_jobs_make_room(model: Path, output: Path) -> None:
    cancel = threading.Event()

    def endless() -> Iterator[dict[str, Any]]:
        yield from BATCHES
        cancel.set()
        while True:
            yield BATCHES[0]

    for _ in range(3):
        cancel.clear()
        with pytest.raises(CancelledError):
            quantize_static(model, output, endless(), cancel=cancel)
    quantize_static(model, output, BATCHES)


def test_jobs_side_by_side(model: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{number}.onnx" for number in range(2)]
    with QuantizationClient() as client:
        threads = [
            threading.Thread(target=client.quantize_static, args=(model, path, batches))
            for path, batches in zip(outputs, (BATCHES, BATCHES[::-1]), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({path.read_bytes() for path in outputs}) == 1  # whatever the order of the batches


def test_every_reason_of_the_server_is_known() -> None:
    server_errors = pytest.importorskip("zeropoint.server.errors")
    assert set(server_errors.CATALOG) <= set(errors.REASONS)


def test_the_command(model: Path, output: Path) -> None:
    np.savez(model.parent / "data.npz", x=np.concatenate([batch["x"] for batch in BATCHES]))
    command = [sys.executable, "-c", "from zeropoint.client.cli import main; main()"]
    arguments = ["quantize", "static", str(model), str(output), "--data", "data.npz"]
    done = subprocess.run(
        [*command, *arguments, "--batch-size", "4", "--json"],
        capture_output=True,
        cwd=model.parent,
        check=True,
    )
    assert json.loads(done.stdout)["report"]["calibration"]["batches"] == 4
    assert b"calibrate" in done.stderr
    assert output.exists()

    here = ["--server", embedded.endpoint().target]  # else each command starts its own
    cached, results = ["--calibration-cache", "cache.zpcal", *here], []
    for data in (["--data", "data.npz", "--batch-size", "2"], []):
        subprocess.run([*command, *arguments[:4], *data, *cached], cwd=model.parent, check=True)
        results.append(output.read_bytes())
    assert results[0] == results[1]


def test_strict_refuses_what_cannot_be_compared(output: Path, tmp_path: Path) -> None:
    b = GraphBuilder()
    b.input("x", ["N", 16])
    b.node("Add", ["x", b.node("RandomNormalLike", ["x"], "z")], "a")
    b.output(b.node("MatMul", ["a", b.weight("w", 16, 8)], "y"), ["N", 8])
    with pytest.raises(QualityError, match="random numbers") as caught:
        quantize_dynamic(b.save(tmp_path), output, strict=True)
    assert caught.value.reason == "NOT_VERIFIED"
    assert not output.exists()
