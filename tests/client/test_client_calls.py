"""Whole calls over the wire, against a server that fails on demand."""

import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from support.fake_service import JOB, RESULT, FakeServer, Script
from support.waiting import eventually

from zeropoint import v1
from zeropoint.client import (
    AuthenticationError,
    CancelledError,
    DataError,
    LimitError,
    ModelError,
    OptionError,
    Phase,
    Progress,
    QualityError,
    QuantizationClient,
    ServerError,
    UnavailableError,
    client,
    inspect,
    link,
    quantize_dynamic,
    quantize_qat,
    quantize_static,
    retry,
)

BATCHES = [{"x": np.full((1, 3, 4), number, np.float32)} for number in range(3)]
Serve = Callable[[Script], str]

GUARD = v1.AccuracyOptions(mode=v1.ACCURACY_MODE_GUARD, objective=v1.OBJECTIVE_LATENCY)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers; they are gone after the test."""
    servers: list[FakeServer] = []

    def start(script: Script) -> str:
        servers.append(FakeServer(script))
        return servers[-1].target

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.ModelProto(doc_string="x" * 3_000_000).SerializeToString())
    return path


@pytest.fixture
def output(tmp_path: Path, model: Path) -> Iterator[Path]:
    """Where the result goes; afterwards nothing may be left beside it."""
    yield tmp_path / "out.onnx"
    assert {path.name for path in tmp_path.iterdir()} <= {"model.onnx", "out.onnx"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:  # an absent server is not sought
    monkeypatch.setattr(retry, "_UNREACHABLE_SECONDS", 0.0)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "zeropoint" in thread.name}


def test_a_static_job(serve: Serve, model: Path, output: Path) -> None:
    script = Script()
    told: list[Progress] = []
    result = quantize_static(
        model,
        output,
        BATCHES,
        per_channel=True,
        nodes_to_exclude=["top*"],
        extra_options={"ActivationSymmetric": True},
        server=serve(script),
        progress=told.append,
    )
    assert result.model.read_bytes() == RESULT
    assert result.report.sqnr_db == 31.5
    assert result.rejected == ()
    assert result.job == JOB
    start = script.seen[0].start
    assert start.static_options.weight.per_channel
    assert start.static_options.activation_symmetric
    assert list(start.static_options.selection.nodes_to_exclude) == ["top*"]
    assert script.uploads[0] == model.read_bytes()
    assert [header.sequence for header, _ in script.batches] == [1, 2, 3]
    assert [data for _, data in script.batches] == [batch["x"].tobytes() for batch in BATCHES]
    phases = list(dict.fromkeys(progress.phase for progress in told))
    assert phases == [Phase.UPLOAD, Phase.PREPARE, Phase.CALIBRATE, Phase.VERIFY, Phase.DOWNLOAD]
    assert told[-1] == Progress(phase=Phase.DOWNLOAD, done=len(RESULT), total=len(RESULT))
    assert eventually(lambda: script.half_closed.is_set() and not threads())


def test_a_dynamic_job(serve: Serve, model: Path, output: Path) -> None:
    script = Script()
    result = quantize_dynamic(
        model, output, weight_type="QInt8", verification_data=BATCHES[:1], server=serve(script)
    )
    assert result.report.calibration is None
    assert script.rpcs == ["dynamic"]
    assert len(script.batches) == 1


def test_a_job_on_a_trained_model(serve: Serve, model: Path, output: Path) -> None:
    script = Script()
    result = quantize_qat(
        model,
        output,
        quant_format="QOperator",
        extra_options={"QuantizeBias": True},
        calibration_data_reader=BATCHES[:2],
        server=serve(script),
    )
    assert result.report.verification.exactness is not None
    assert script.rpcs == ["qat"]
    assert script.seen[0].start.qat_options == v1.QatOptions(
        selection=v1.NodeSelection(),
        quant_format=v1.QUANT_FORMAT_QOPERATOR,
        quantize_bias=True,
        calibrate=True,
        verify=v1.VerifyOptions(),
        accuracy=GUARD,
    )
    assert len(script.batches) == 2


def test_verification_data_do_not_calibrate(serve: Serve, model: Path, output: Path) -> None:
    script = Script()
    quantize_qat(model, output, verification_data=iter(BATCHES), server=serve(script))
    assert not script.seen[0].start.qat_options.calibrate
    assert len(script.batches) == len(BATCHES)


def test_batches_calibrate_or_only_verify(serve: Serve, model: Path, output: Path) -> None:
    for call in (quantize_static, quantize_qat):
        script = Script()
        data: dict[str, Any] = {
            "calibration_data_reader": BATCHES,
            "verification_data": iter(BATCHES[:2]),
        }
        call(model, output, server=serve(script), **data)
        sent = (r for r in script.seen if r.WhichOneof("message") == "batch_header")
        headers = [request.batch_header for request in sent]
        flags = [header.verification_only for header in headers]
        assert flags == [False] * len(BATCHES) + [True] * 2
        assert [header.sequence for header in headers] == list(range(1, len(flags) + 1))


def test_a_model_in_memory(serve: Serve, output: Path) -> None:
    script = Script()
    quantize_dynamic(onnx.ModelProto(doc_string="small"), output, server=serve(script))
    assert bytes(script.uploads[0]) == onnx.ModelProto(doc_string="small").SerializeToString()


def test_a_result_with_a_data_file(serve: Serve, model: Path, tmp_path: Path) -> None:
    script = Script(result=b"model", data_file=("weights.bin", b"w" * (3 << 20)))
    result = quantize_dynamic(model, tmp_path / "out.onnx", server=serve(script))
    assert [path.name for path in result.files] == ["out.onnx", "weights.bin"]
    assert result.files[1].stat().st_size == 3 << 20


def test_what_the_server_holds_is_not_sent(serve: Serve, model: Path, output: Path) -> None:
    script = Script(held=2_000_000)
    quantize_dynamic(model, output, server=serve(script))
    assert script.uploads[0] == model.read_bytes()[2_000_000:]


def test_an_inspection(serve: Serve, model: Path) -> None:
    script = Script()
    answer = inspect(model, weight_type="QInt8", server=serve(script))
    assert answer.model_bytes == model.stat().st_size
    assert [node.name for node in answer.skipped] == ["top"]
    assert script.seen[0].start.static_options.weight.quant_type == v1.QUANT_TYPE_QINT8
    assert script.uploads[0] == model.read_bytes()
    assert "x: float32[batch, 3, ?]" in str(answer)
    inspect(model, mode="dynamic", server=script_target(serve, script))
    assert script.seen[-4].start.WhichOneof("options") == "dynamic_options"
    inspect(model, mode="qat", exact=True, calibrate=False, server=script_target(serve, script))
    assert script.seen[-4].start.qat_options.exact


def script_target(serve: Serve, script: Script) -> str:
    script.seen.clear()
    return serve(script)


def test_information_about_the_server(serve: Serve) -> None:
    script = Script()
    with QuantizationClient(serve(script), token="secret") as connection:
        info = connection.server_info()
    assert info.limits.jobs == 2
    assert [str(kind) for kind in info.capabilities.quant_types] == ["QInt8"]
    assert info.to_dict()["capabilities"]["static_op_types"] == ["Conv"]
    assert script.metadata["authorization"] == "Bearer secret"


def test_tokens_do_not_travel_in_the_open() -> None:
    with pytest.raises(OptionError, match="unencrypted"):
        QuantizationClient("quant.example:50051", token="secret")
    credentials = grpc.ssl_channel_credentials()
    QuantizationClient("quant.example:1", token="secret", credentials=credentials).close()


@pytest.mark.parametrize("stage", ["start", "model", "finish", "result"])
def test_failures_in_the_stream(serve: Serve, model: Path, output: Path, stage: str) -> None:
    failure = v1.Failure(reason="SQNR_TOO_LOW", message="3 dB", metadata={"sqnrDb": "3"})
    script = Script(fail_at=stage, failure=failure)
    with pytest.raises(QualityError, match="3 dB") as caught:
        quantize_static(model, output, BATCHES, server=serve(script))
    assert caught.value.metadata == {"sqnrDb": "3"}
    assert not output.exists()
    assert eventually(lambda: not threads())


def test_failures_meet_an_upload_in_full_flow(serve: Serve, tmp_path: Path, output: Path) -> None:
    """The server fails at once and reads on; the client must notice while it sends."""
    model = tmp_path / "model.onnx"
    model.write_bytes(onnx.ModelProto(doc_string="x" * 60_000_000).SerializeToString())
    script = Script(fail_at="start", failure=v1.Failure(reason="MODEL_TOO_LARGE", message="!"))
    status = v1.ModelStatus(files=[v1.FileStatus()])
    script.extra = (v1.JobResponse(model_status=status),)
    with pytest.raises(LimitError) as caught:
        quantize_static(model, output, BATCHES, server=serve(script))
    assert caught.value.reason == "MODEL_TOO_LARGE"
    assert len(script.seen) < 50


def test_rejected_batches_are_told(serve: Serve, model: Path, output: Path) -> None:
    rejection = v1.Rejection(sequence=2, reason="BATCH_SHAPE", message="x has rank 2, not 3.")
    script = Script(rejections=(rejection,))
    result = quantize_static(model, output, BATCHES, server=serve(script))
    assert [(r.batch, r.reason) for r in result.rejected] == [(2, "BATCH_SHAPE")]
    empty = v1.Rejection(sequence=1, reason="BATCH_EMPTY", message="It is empty.")
    failure = v1.Failure(reason="NO_BATCHES", message="None is of use. It is empty.")
    script = Script(rejections=(empty, rejection), fail_at="finish", failure=failure)
    with pytest.raises(DataError) as caught:
        quantize_static(model, output, BATCHES, server=serve(script))
    assert caught.value.__notes__ == ["Batch 2 was rejected: x has rank 2, not 3."]


def test_errors_of_the_reader_reach_the_caller(serve: Serve, model: Path, output: Path) -> None:
    script = Script()

    def reader() -> Iterator[dict[str, Any]]:
        yield BATCHES[0]
        raise LookupError("no such image")

    with pytest.raises(LookupError, match="no such image"):
        quantize_static(model, output, reader(), server=serve(script))
    assert script.cancelled.wait()
    assert eventually(lambda: not threads())


def test_unusable_batches_are_named(serve: Serve, model: Path, output: Path) -> None:
    script = Script(inputs=("x", "mask"))
    with pytest.raises(DataError, match=r"Batch 2 is of type ndarray; .*\(x, mask\)"):
        quantize_static(model, output, [BATCHES[0], np.zeros(2)], server=serve(script))
    assert script.cancelled.wait()


def test_the_reader_runs_in_the_callers_thread(serve: Serve, model: Path, output: Path) -> None:
    seen = set()

    def reader() -> Iterator[dict[str, Any]]:
        seen.add(threading.current_thread())
        yield BATCHES[0]

    quantize_static(
        model,
        output,
        reader(),
        server=serve(Script()),
        progress=lambda _: seen.add(threading.current_thread()),
    )
    assert seen == {threading.current_thread()}


def test_jobs_are_cancelled_by_an_event(serve: Serve, model: Path, output: Path) -> None:
    script, cancel = Script(silent_after_start=True), threading.Event()
    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(CancelledError):
        quantize_static(model, output, BATCHES, server=serve(script), cancel=cancel)
    assert script.cancelled.wait()


def test_jobs_are_cancelled_by_ctrl_c(serve: Serve, model: Path, output: Path) -> None:
    script = Script(silent_after_start=True)
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        quantize_static(model, output, BATCHES, server=serve(script))
    assert script.cancelled.wait()
    assert eventually(lambda: not threads())


def test_jobs_are_cancelled_by_the_callback(serve: Serve, model: Path, output: Path) -> None:
    script = Script()

    def stop(progress: Progress) -> None:
        if progress.phase is Phase.CALIBRATE:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        quantize_static(model, output, BATCHES, server=serve(script), progress=stop)
    assert script.cancelled.wait()


def test_jobs_end_in_time(serve: Serve, model: Path, output: Path) -> None:
    with pytest.raises(LimitError) as caught:
        quantize_static(
            model, output, BATCHES, server=serve(Script(silent_after_start=True)), timeout=0.3
        )
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert isinstance(caught.value, TimeoutError)
    assert "not done within timeout=0.3 s" in caught.value.message
    assert caught.value.metadata["timeout"] == "0.3"


def test_heartbeats_go_out_while_the_reader_is_slow(
    serve: Serve, model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "Link", functools.partial(link.Link, heartbeat_seconds=0.05))
    script = Script()

    def reader() -> Iterator[dict[str, Any]]:
        assert eventually(lambda: script.heartbeats >= 3)
        yield BATCHES[0]

    quantize_static(model, output, reader(), server=serve(script))


@pytest.mark.usefixtures("impatient")
def test_silent_servers_are_given_up(
    serve: Serve, model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "Link", functools.partial(link.Link, silence_seconds=1.0))
    script = Script(silent_after_start=True)
    with pytest.raises(UnavailableError, match="went silent"):
        quantize_static(model, output, BATCHES, server=serve(script))
    assert script.cancelled.wait()


def test_servers_that_end_early_are_found_out(serve: Serve, model: Path, output: Path) -> None:
    with pytest.raises(ServerError, match="before the job was done"):
        quantize_static(model, output, BATCHES, server=serve(Script(end_early=True)))


def test_damaged_results_are_found_out(serve: Serve, model: Path, output: Path) -> None:
    with pytest.raises(ServerError, match="arrived damaged"):
        quantize_static(model, output, BATCHES, server=serve(Script(result_sha256=b"?" * 32)))
    assert not output.exists()


def test_statuses_without_a_stream(serve: Serve, model: Path, output: Path) -> None:
    refusal = (grpc.StatusCode.UNAUTHENTICATED, "who are you?", ())
    target = serve(Script(status=refusal))
    with pytest.raises(AuthenticationError, match="who are you"):
        quantize_static(model, output, BATCHES, server=target)
    with pytest.raises(AuthenticationError, match="who are you"):
        inspect(model, server=target)
    with QuantizationClient(target) as connection, pytest.raises(AuthenticationError):
        connection.server_info()


@pytest.mark.usefixtures("impatient")
def test_absent_servers_are_named(model: Path, output: Path, tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/none"
    with pytest.raises(UnavailableError, match=target) as caught:
        quantize_static(model, output, BATCHES, server=target)
    assert caught.value.reason == "SERVER_UNREACHABLE"
    assert caught.value.retryable


@pytest.mark.usefixtures("impatient")
def test_servers_that_die_are_noticed(model: Path, output: Path) -> None:
    script = Script()
    server = FakeServer(script)
    script.on_batch = lambda number: threading.Thread(target=server.stop).start()
    with pytest.raises((UnavailableError, CancelledError)):
        quantize_static(model, output, BATCHES * 1000, server=server.target)
    server.stop()


def test_files_that_shrink_are_noticed(serve: Serve, model: Path, output: Path) -> None:
    def shrink(progress: Progress) -> None:
        if progress.phase is Phase.UPLOAD:
            model.write_bytes(b"")

    with pytest.raises(ModelError, match="became shorter"):
        quantize_static(model, output, BATCHES, server=serve(Script()), progress=shrink)


def test_memory_stays_flat(serve: Serve, model: Path, output: Path) -> None:
    """The reader is never asked for more than one batch beyond the window."""
    script, alive = Script(window=3 << 20), 0
    most = 0

    class Array(np.ndarray[Any, Any]):
        def __array_finalize__(self, obj: Any) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def reader() -> Iterator[dict[str, Any]]:
        for _ in range(30):
            yield {"x": np.zeros((1, 3, 80_000), np.float32).view(Array)}

    script.on_batch = lambda number: time.sleep(0.005)
    quantize_static(model, output, reader(), server=serve(script))
    assert len(script.batches) == 30
    assert most <= 6


def test_one_client_serves_many_threads(serve: Serve, model: Path, tmp_path: Path) -> None:
    with QuantizationClient(serve(Script())) as connection:
        outputs = [tmp_path / f"{number}.onnx" for number in range(3)]
        jobs = [
            threading.Thread(target=connection.quantize_static, args=(model, path, BATCHES))
            for path in outputs
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    assert [path.read_bytes() == RESULT for path in outputs] == [True] * 3
