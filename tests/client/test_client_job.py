"""The conversation by itself: whatever is granted and when, batches stay in order and in credit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_service import report, signature

from zeropoint import v1
from zeropoint.client import Convergence, LimitError, Phase, Progress, Report, ServerError
from zeropoint.client.calibration_cache import Calibrating
from zeropoint.client.errors import unknown_value
from zeropoint.client.job import Job
from zeropoint.client.keywords import dynamic_options, qat_options, static_options
from zeropoint.client.model_files import SourceFile, open_model
from zeropoint.client.output import ResultFiles
from zeropoint.client.quantization import Quantization
from zeropoint.v1 import mirror
from zeropoint.v1.chunks import Chunk, ChunkCodec
from zeropoint.v1.pieces import pieces


class Bench:
    """A job, and the answers of a server that says what the test wants."""

    def __init__(self, folder: Path, source: Any, model: bytes = b"", **options: Any) -> None:
        path = folder / "model.onnx"
        path.write_bytes(model)
        with open_model(path) as files:
            self.files: tuple[SourceFile, ...] = files
        self.told: list[Progress] = []
        self.output = ResultFiles(folder / "out.onnx", files)
        chosen = static_options(**options)
        calibrating = Calibrating(source=source)
        self.job = Quantization(chosen, files, calibrating, self.output, self.told.append)
        self.requests = self.job.requests()

    def hear(self, **message: Any) -> None:
        self.job.receive(v1.JobResponse(**message))

    def sent(self) -> list[v1.JobRequest]:
        """What the job sends before it has to wait."""
        codec = ChunkCodec(v1.JobRequest)
        sent = []
        for request in self.requests:
            if request is None:
                break
            assert isinstance(request, v1.JobRequest | Chunk)
            sent.append(v1.JobRequest.FromString(codec.encode(request)))
        return sent

    def start(self, credit: int, held: int = 0) -> list[v1.JobRequest]:
        """Answer the opening; return what is sent once batches may come."""
        self.sent()
        self.hear(model_status=v1.ModelStatus(files=[v1.FileStatus(committed_bytes=held)]))
        self.sent()
        started = v1.Started(
            next_sequence=1,
            credit=v1.Credit(bytes=credit),
            signature=signature(("x",)),
            static_options=v1.StaticOptions(),
        )
        self.hear(started=started)
        return self.sent()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job")


@given(
    sizes=st.lists(st.integers(0, 100), max_size=12),
    grants=st.lists(st.integers(1, 300), min_size=1, max_size=8),
)
def test_credit_is_never_passed(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], grants: list[int]
) -> None:
    taken = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for size in sizes:
            taken += 1
            yield {"x": np.zeros(size, np.uint8)}

    bench = Bench(tmp_path_factory.mktemp("credit"), source())
    granted = window = 100 + grants[0]
    sent = bench.start(window)
    for step in range(1000):
        headers = [r.batch_header for r in sent if r.WhichOneof("message") == "batch_header"]
        assert [header.sequence for header in headers] == list(range(1, len(headers) + 1))
        assert [header.size for header in headers] == sizes[: len(headers)]
        assert sum(header.size for header in headers) <= granted
        assert taken <= len(headers) + 1
        if sent[-1:] and sent[-1].WhichOneof("message") == "finish":
            break
        grant = grants[step % len(grants)]
        granted += grant
        bench.hear(credit=v1.Credit(bytes=grant))
        sent += bench.sent()
    assert sent[-1].finish.last_sequence == len(sizes)
    chunks = [r.batch_chunk for r in sent if r.WhichOneof("message") == "batch_chunk"]
    assert sum(len(chunk.data) for chunk in chunks) == sum(sizes)


@pytest.mark.parametrize("held", [0, 1000, 2_500_000])
def test_upload_goes_on_where_the_server_is(folder: Path, held: int) -> None:
    model = onnx.ModelProto(doc_string="abcdefghij" * 250_000)
    data = model.SerializeToString()
    bench = Bench(folder, [], data)
    opening = bench.sent()
    assert opening[0].start.manifest.files[0].size == len(data)
    bench.hear(model_status=v1.ModelStatus(files=[v1.FileStatus(committed_bytes=held)]))
    chunks = [request.model_chunk for request in bench.sent()]
    assert b"".join(chunk.data for chunk in chunks) == data[held:]
    assert [chunk.offset for chunk in chunks] == list(range(held, len(data), 1 << 20))
    assert bench.told[-1] == Progress(phase=Phase.UPLOAD, done=len(data), total=len(data))


def test_batch_larger_than_the_window_is_refused(folder: Path) -> None:
    bench = Bench(folder, [{"x": np.zeros(11, np.uint8)}])
    with pytest.raises(LimitError, match=r"Batch 1 has 11 bytes; .* at most 10"):
        bench.start(credit=10)


def test_acknowledgements_are_told(folder: Path) -> None:
    bench = Bench(folder, [{"x": np.zeros(3)}] * 4)
    bench.start(credit=1 << 20)
    refused = v1.Rejection(sequence=2, reason="BATCH_SHAPE", message="x has rank 1, not 3.")
    bench.hear(ack=v1.Ack(applied=3, rejected=[refused]))
    assert bench.told[-1] == Progress(phase=Phase.CALIBRATE, done=3, total=4)
    assert [(r.batch, r.reason) for r in bench.job.rejected] == [(2, "BATCH_SHAPE")]


def test_progress_of_the_server_is_told(folder: Path) -> None:
    bench = Bench(folder, [{"x": np.zeros(3)}] * 4)
    bench.start(credit=1 << 20)
    told = len(bench.told)
    bench.hear(progress=v1.Progress(phase=v1.PHASE_UPLOAD, done=1, total=2))
    bench.hear(progress=v1.Progress(phase=cast(v1.Phase, 99), done=1, total=2))
    assert len(bench.told) == told
    bench.hear(progress=v1.Progress(phase=v1.PHASE_VERIFY, done=1, total=2, message="conv1"))
    assert bench.told[-1] == Progress(phase=Phase.VERIFY, done=1, total=2, message="conv1")


def test_how_far_ranges_still_move_stays_known_while_batches_are_counted(folder: Path) -> None:
    bench = Bench(folder, [{"x": np.zeros(3)}] * 4)
    bench.start(credit=1 << 20)
    moving = v1.Convergence(moving_share=0.03, batches=8)
    bench.hear(progress=v1.Progress(phase=v1.PHASE_CALIBRATE, done=1))
    assert bench.told[-1].convergence is None
    bench.hear(progress=v1.Progress(phase=v1.PHASE_CALIBRATE, done=2, convergence=moving))
    bench.hear(ack=v1.Ack(applied=2))
    assert [one.convergence for one in bench.told[-2:]] == [
        Convergence(moving_share=0.03, batches=8)
    ] * 2
    bench.hear(progress=v1.Progress(phase=v1.PHASE_QUANTIZE, done=1))
    assert bench.told[-1].convergence is None


def result(bench: Bench, size: int) -> None:
    file = v1.ModelFile(path="r", size=size, sha256=b"?" * 32)
    bench.hear(report=report())
    bench.hear(result=v1.Result(manifest=v1.ModelManifest(files=[file])))


def test_the_job_ends_when_the_server_is_done(folder: Path) -> None:
    bench = Bench(folder, [])
    bench.start(credit=10)
    result(bench, 3)
    for offset in range(3):
        bench.hear(model_chunk=v1.ModelChunk(file=0, offset=offset, data=b"."))
        assert bench.sent() == []
    bench.hear(done=v1.Done())
    with pytest.raises(StopIteration):
        next(bench.requests)
    assert bench.job.report.sqnr_db == 31.5
    bench.output.__exit__(None, None, None)


def test_a_server_that_is_done_too_early_is_refused(folder: Path) -> None:
    bench = Bench(folder, [])
    with pytest.raises(ServerError, match="done"):
        bench.hear(done=v1.Done())
    bench.start(credit=10)
    result(bench, 3)
    bench.hear(model_chunk=v1.ModelChunk(file=0, offset=0, data=b".."))
    with pytest.raises(ServerError, match="done after 2 bytes"):
        bench.hear(done=v1.Done())
    bench.output.__exit__(None, None, None)


def test_reports_and_plans_are_put_together(folder: Path) -> None:
    bench = Bench(folder, [])
    whole = report()
    for piece in pieces(whole.plan, size=150):
        bench.hear(plan=piece)
    bench.start(credit=10)
    for part in pieces(whole, size=150):
        bench.hear(report=part)
    assert [node.name for node in bench.job.inspection.plan.nodes] == ["conv1", "top"]
    assert bench.job.report == mirror.read(Report, whole, unknown_value)


def test_claims_that_cannot_be_are_refused(folder: Path) -> None:
    bench = Bench(folder, [])
    bench.sent()
    with pytest.raises(ServerError, match="claims to hold"):
        bench.hear(model_status=v1.ModelStatus(files=[v1.FileStatus(committed_bytes=1)]))
    with pytest.raises(ServerError, match="claims to hold"):
        bench.hear(model_status=v1.ModelStatus())


def test_every_kind_of_job_sends_its_options(folder: Path) -> None:
    bench = Bench(folder, [], reduce_range=True)
    first = next(bench.requests)
    assert isinstance(first, v1.JobRequest)
    assert first.start.static_options.weight.reduce_range
    first = next(Job(dynamic_options(strict=True), bench.files).requests())
    assert isinstance(first, v1.JobRequest)
    assert first.start.dynamic_options.verify.strict
    first = next(Job(qat_options(exact=True), bench.files).requests())
    assert isinstance(first, v1.JobRequest)
    assert first.start.qat_options.exact
