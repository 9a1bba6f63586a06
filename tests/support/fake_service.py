"""A server that does as it is told: the contract without a quantizer, and faults on demand.

It serves to see what the client puts on the wire, and what it makes of answers that a sound
server gives seldom or never.
"""

import dataclasses
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Literal, cast

import grpc

from zeropoint import v1

Mode = Literal["static", "dynamic", "qat", "inspect"]

JOB = "job-fake"

RESULT = b"quantized " * 300_000
"""The result of every job: three chunks."""


@dataclasses.dataclass
class Script:
    """What the server does, and what it has seen."""

    inputs: tuple[str, ...] = ("x",)
    window: int = 64 << 20
    held: int = 0
    result: bytes = RESULT
    accuracy: v1.Accuracy | None = None
    result_sha256: bytes | None = None
    data_file: tuple[str, bytes] | None = None
    failure: v1.Failure | None = None
    fail_at: str = ""
    fail_times: int | None = None
    status: tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]] | None = None
    rejections: tuple[v1.Rejection, ...] = ()
    silent_after_start: bool = False
    end_early: bool = False
    done: bool = True
    candidates: tuple[bytes, ...] = ()
    knows_evaluate: bool = True
    values: list[float] = dataclasses.field(default_factory=list)
    extra: tuple[v1.JobResponse, ...] = ()
    seen: list[v1.JobRequest] = dataclasses.field(default_factory=list)
    rpcs: list[Mode] = dataclasses.field(default_factory=list)
    uploads: dict[int, bytearray] = dataclasses.field(default_factory=dict)
    batches: list[tuple[v1.BatchHeader, bytes]] = dataclasses.field(default_factory=list)
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    heartbeats: int = 0
    on_batch: Callable[[int], None] = lambda number: None
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)
    half_closed: threading.Event = dataclasses.field(default_factory=threading.Event)


def report(mode: Mode = "static") -> v1.Report:
    """A report with every field filled in that a kind of quantization has."""
    node = v1.NodePlan(name="conv1", op_type="Conv", state=v1.NODE_STATE_QUANTIZED)
    kept = v1.NodePlan(
        name="top",
        op_type="Softmax",
        state=v1.NODE_STATE_FLOAT,
        reason="OP_NOT_SUPPORTED",
        message="Softmax has no integer kernel.",
    )
    tensor = v1.TensorPlan(
        name="x",
        element_type=v1.ELEMENT_TYPE_UINT8,
        source=v1.PARAMETER_SOURCE_CALIBRATED,
        low=-1.0,
        high=1.0,
        scale=2 / 255,
        zero_point=128,
        method=v1.CALIBRATION_METHOD_PERCENTILE,
        percentile=99.99,
        alternatives=[
            v1.RangeAlternative(
                method=v1.CALIBRATION_METHOD_PERCENTILE,
                percentile=99.99,
                low=-1.0,
                high=1.0,
                expected_error=5e-6,
            ),
            v1.RangeAlternative(
                method=v1.CALIBRATION_METHOD_MINMAX, low=-3.0, high=4.0, expected_error=6e-5
            ),
        ],
    )
    similarity = v1.Similarity(sqnr_db=float("inf"), cosine=1.0, max_abs_difference=0.0)
    output = v1.OutputFigures(
        name="y",
        similarity=similarity,
        compared_as=v1.COMPARED_AS_VALUES,
        by_sample=v1.SampleFigures(samples=2, median_db=31.5, tenth_db=30.0, least_db=30.0),
        decisions=v1.Decisions(
            kind=v1.DECISION_KIND_ARGMAX, agreement=0.99, count=100, low=0.94, high=0.998
        ),
    )
    message = v1.Report(
        verdict=v1.VERDICT_ACCURATE,
        conclusion="SQNR 31.5 dB",
        versions=v1.Versions(zeropoint="0.1.0", onnxruntime="1.32.0", onnx="1.23.2"),
        source_sha256=b"s" * 32,
        digest=b"d" * 32,
        plan=v1.Plan(nodes=[node, kept], tensors=[tensor], opset=13),
        verification=v1.Verification(
            state=v1.VERIFICATION_STATE_COMPARED,
            batches=2,
            sqnr_db=31.5,
            outputs=[output],
            nodes=[v1.NodeFigures(name="conv1", op_type="Conv", similarity=similarity)],
            kernels=[v1.KernelCount(op_type="Conv", nodes=1, integer=1)],
        ),
        warnings=[v1.Warning(code="NON_FINITE", message="x had NaN.", nodes=["conv1"])],
        source_bytes=4000,
        result_bytes=1000,
        phases=[v1.PhaseTime(phase=v1.PHASE_PREPARE, seconds=0.5)],
        signature=signature(("x",)),
    )
    if mode == "static":
        message.static_options.SetInParent()
        message.calibration.batches = 2
        message.calibration.tensors = 5
        message.calibration.non_finite.add(name="x", nan=1)
    elif mode == "dynamic":
        message.dynamic_options.SetInParent()
    else:
        message.qat_options.SetInParent()
        message.plan.tensors[0].source = v1.PARAMETER_SOURCE_LEARNED
        message.verification.exactness.CopyFrom(
            v1.Exactness(
                tensors=8,
                exact_tensors=7,
                node_steps=1,
                end_to_end_steps=2,
                max_abs_difference=0.5,
                max_ulps=3.5,
                worst=[v1.TensorDifference(name="x", steps=1)],
                kernels_before=[v1.KernelCount(op_type="Conv", nodes=1, integer=0)],
            )
        )
    return message


def signature(inputs: tuple[str, ...]) -> v1.ModelSignature:
    """Inputs of shape [batch, 3, ?], one output of unknown rank."""
    dimensions = [v1.Dimension(symbol="batch"), v1.Dimension(size=3), v1.Dimension()]
    shape = v1.TensorShape(dimensions=dimensions)
    return v1.ModelSignature(
        inputs=[
            v1.TensorSpec(name=name, element_type=v1.ELEMENT_TYPE_FLOAT, shape=shape)
            for name in inputs
        ],
        outputs=[v1.TensorSpec(name="y", element_type=v1.ELEMENT_TYPE_FLOAT)],
    )


class FakeService(v1.QuantizationServiceServicer):
    """Plays a `Script`."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def QuantizeStatic(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield from self._job(request_iterator, context, "static")

    def QuantizeDynamic(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield from self._job(request_iterator, context, "dynamic")

    def QuantizeQat(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield from self._job(request_iterator, context, "qat")

    def Inspect(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield from self._job(request_iterator, context, "inspect")

    def GetServerInfo(self, request: Any, context: Any) -> v1.GetServerInfoResponse:  # noqa: N802
        self._open(context)
        return v1.GetServerInfoResponse(
            versions=v1.Versions(zeropoint="0.1.0"),
            limits=v1.Limits(batch_bytes=self.script.window, jobs=2),
            capabilities=v1.Capabilities(
                quant_types=[v1.QUANT_TYPE_QINT8, cast(v1.QuantType, 99)], static_op_types=["Conv"]
            ),
        )

    def _open(self, context: Any) -> None:
        self.script.metadata.update(context.invocation_metadata())
        context.add_callback(self.script.cancelled.set)
        if self.script.status is not None:
            code, text, trailers = self.script.status
            context.set_trailing_metadata(trailers)
            context.abort(code, text)

    def _job(self, requests: Any, context: Any, mode: Mode) -> Iterator[Any]:
        script = self.script
        script.rpcs.append(mode)
        self._open(context)
        reader = self._read(requests)
        start = next(reader).start
        yield v1.JobResponse(heartbeat=v1.Heartbeat())
        if script.silent_after_start:
            script.cancelled.wait()
            return
        if script.end_early:
            return
        yield from script.extra
        if self._fails_at("start"):
            yield from self._fail(reader)
            return
        held = [v1.FileStatus(committed_bytes=script.held) for _ in start.manifest.files]
        yield v1.JobResponse(model_status=v1.ModelStatus(files=held))
        self._take_model(reader, start.manifest)
        if self._fails_at("model"):
            yield from self._fail(reader)
            return
        yield v1.JobResponse(progress=v1.Progress(phase=v1.PHASE_PREPARE, message="planning"))
        yield from self._tell_plan(start)
        if mode != "inspect":
            yield from self._take_batches(reader)
            yield from self._ask(reader)
            if self._fails_at("finish"):
                yield from self._fail(reader)
                return
            yield v1.JobResponse(progress=v1.Progress(phase=v1.PHASE_VERIFY, done=1, total=2))
            yield from self._give_result(mode)
        if script.done:
            yield v1.JobResponse(done=v1.Done(job=JOB))
        for _ in reader:
            pass

    def _tell_plan(self, start: v1.Start) -> Iterator[Any]:
        plan = report().plan
        yield v1.JobResponse(plan=v1.Plan(nodes=plan.nodes[:1], opset=plan.opset))
        yield v1.JobResponse(plan=v1.Plan(nodes=plan.nodes[1:], tensors=plan.tensors))
        options = start.WhichOneof("options")
        if not self.script.knows_evaluate:
            getattr(start, options).accuracy.ClearField("evaluate")
        started = v1.Started(
            job=JOB,
            next_sequence=1,
            credit=v1.Credit(bytes=self.script.window),
            signature=signature(self.script.inputs),
            opset=11,
            model_bytes=sum(file.size for file in start.manifest.files),
            **{options: getattr(start, options)},
        )
        yield v1.JobResponse(started=started)

    def _read(self, requests: Any) -> Iterator[Any]:
        """Requests without heartbeats; notes what comes and when the client half-closes."""
        for request in requests:
            self.script.seen.append(request)
            if request.WhichOneof("message") == "heartbeat":
                self.script.heartbeats += 1
            else:
                yield request
        self.script.half_closed.set()

    def _take_model(self, reader: Iterator[Any], manifest: v1.ModelManifest) -> None:
        wanted = sum(max(0, file.size - self.script.held) for file in manifest.files)
        while wanted:
            chunk = next(reader).model_chunk
            self.script.uploads.setdefault(chunk.file, bytearray()).extend(chunk.data)
            wanted -= len(chunk.data)

    def _take_batches(self, reader: Iterator[Any]) -> Iterator[Any]:
        script, number = self.script, 0
        while (request := next(reader)).WhichOneof("message") == "batch_header":
            header, data = request.batch_header, bytearray()
            while len(data) < header.size:
                chunk = next(reader).batch_chunk
                assert chunk.offset == len(data)
                data += chunk.data
            number += 1
            assert header.sequence == number
            assert header.sha256 == hashlib.sha256(data).digest()
            script.batches.append((header, bytes(data)))
            script.on_batch(number)
            rejected = [item for item in script.rejections if item.sequence == number]
            yield v1.JobResponse(ack=v1.Ack(applied=number, rejected=rejected))
            yield v1.JobResponse(credit=v1.Credit(bytes=header.size))
        assert request.finish.last_sequence == number

    def _ask(self, reader: Iterator[Any]) -> Iterator[Any]:
        """Have candidates evaluated; the first is the model that was sent, where there are any."""
        offered = self.script.candidates
        for number, content in enumerate((b"", *offered) if offered else (), 1):
            file = v1.ModelFile(
                path="model.onnx", size=len(content), sha256=hashlib.sha256(content).digest()
            )
            files = [v1.CandidateFile(file=file)] if content else []
            description = f"try {number}" if content else "the original"
            yield v1.JobResponse(
                candidate=v1.Candidate(number=number, description=description, files=files)
            )
            if content:
                yield v1.JobResponse(candidate_chunk=v1.ModelChunk(data=content))
            answer = next(reader).evaluation
            assert answer.number == number
            self.script.values.append(answer.value)

    def _give_result(self, mode: Mode) -> Iterator[Any]:
        files = [("ignored.onnx", self.script.result)]
        if self.script.data_file is not None:
            files.append(self.script.data_file)
        manifest = v1.ModelManifest(
            files=[
                v1.ModelFile(
                    path=path,
                    size=len(data),
                    sha256=self.script.result_sha256 or hashlib.sha256(data).digest(),
                )
                for path, data in files
            ]
        )
        told = report(mode)
        if self.script.accuracy is not None:
            told.accuracy.CopyFrom(self.script.accuracy)
        yield v1.JobResponse(report=told)
        yield v1.JobResponse(result=v1.Result(job=JOB, manifest=manifest))
        for index, (_, data) in enumerate(files):
            for offset in range(0, len(data), 1 << 20):
                chunk = data[offset : offset + (1 << 20)]
                yield v1.JobResponse(
                    model_chunk=v1.ModelChunk(file=index, offset=offset, data=chunk)
                )
                if self._fails_at("result"):
                    time.sleep(0.05)
                    yield v1.JobResponse(failure=self.script.failure)
                    return

    def _fails_at(self, stage: str) -> bool:
        """Whether to fail now; so often as the script says, or each time."""
        script = self.script
        if script.fail_at != stage or script.fail_times == 0:
            return False
        if script.fail_times is not None:
            script.fail_times -= 1
        return True

    def _fail(self, reader: Iterator[Any]) -> Iterator[Any]:
        """Fail in the stream, then read on until the client has closed its side."""
        yield v1.JobResponse(failure=self.script.failure)
        for _ in reader:
            pass


class FakeServer:
    """A `FakeService` on a port of this machine."""

    def __init__(self, script: Script, address: str = "127.0.0.1:0") -> None:
        self.script = script
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        v1.add_QuantizationServiceServicer_to_server(FakeService(script), self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        self._server.start()

    def stop(self) -> None:
        """Cut all calls and stop."""
        self._server.stop(grace=None).wait()
