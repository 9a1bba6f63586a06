"""Verification survives whatever a model does to its process."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import psutil
import pytest
from support.full_disk import largest_file
from support.graphs import Array, GraphBuilder, normal_batches
from support.quantized import CLASSIFIER_NODES, classifier, endless
from support.waiting import eventually

from zeropoint.engine.errors import ResourceError, VerificationError
from zeropoint.engine.load import input_ranges
from zeropoint.engine.numbers import QParams
from zeropoint.engine.report import VerificationState
from zeropoint.engine.samples import store_batch
from zeropoint.engine.twins import NodeTwin, build_twins
from zeropoint.engine.verify import (
    COMPARE,
    ORIGINAL,
    OnStage,
    ReferenceRequest,
    TwinModel,
    TwinNode,
    VerifyProcess,
    VerifyRequest,
    verify,
    verify_contained,
)

PATIENT, HASTY = 300.0, 2.0


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., VerifyRequest]:
    def make(
        original: GraphBuilder | None = None,
        shipped: GraphBuilder | None = None,
        batches: list[dict[str, Array]] | None = None,
    ) -> VerifyRequest:
        for name, builder in (
            ("original", original or classifier(quantized=False)),
            ("shipped", shipped or classifier(quantized=True)),
        ):
            onnx.save(builder.model(), tmp_path / f"{name}.onnx")
        if batches is None:
            batches = normal_batches({"x": (4, 3, 8, 8)}, count=2)
        stored = [
            store_batch(batch, tmp_path / f"{index}.batch") for index, batch in enumerate(batches)
        ]
        reference = ReferenceRequest(
            original=tmp_path / "original.onnx",
            scratch=tmp_path,
            batches=tuple(stored),
            inputs=input_ranges(ir.load(tmp_path / "original.onnx").graph),
        )
        return VerifyRequest(
            reference=reference, shipped=tmp_path / "shipped.onnx", nodes=CLASSIFIER_NODES
        )

    return make


Make = Callable[..., VerifyRequest]


def test_a_full_disk_is_told_as_that(request_of: Make) -> None:
    batches = normal_batches({"x": (4096, 3, 8, 8)}, count=1)
    request = request_of(batches=batches)  # whose logits take 80 KiB
    with largest_file(32 << 10), pytest.raises(ResourceError) as caught:
        verify_contained(request, PATIENT)
    assert caught.value.reason == "SCRATCH_FULL"


def test_the_answer_is_the_same_as_in_this_process(request_of: Make) -> None:
    request = request_of()
    assert verify_contained(request, PATIENT) == verify(request)


def test_paths_may_be_relative(
    request_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(batches=[])
    monkeypatch.chdir(tmp_path)
    reference = dataclasses.replace(
        request.reference, original=Path("original.onnx"), scratch=Path()
    )
    relative = dataclasses.replace(request, reference=reference, shipped=Path("shipped.onnx"))
    found = verify_contained(relative, PATIENT)
    assert found.verification.state is VerificationState.GENERATED


def test_a_process_can_be_started_early(request_of: Make) -> None:
    process = VerifyProcess()
    pid = process.pid
    found = verify_contained(request_of(), PATIENT, process)
    assert found.verification.state is VerificationState.COMPARED
    assert not psutil.pid_exists(pid)


def test_a_process_that_was_not_needed_is_closed() -> None:
    with VerifyProcess() as process:
        pid = process.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_refusals_arrive_as_errors(request_of: Make) -> None:
    request = request_of()
    request.shipped.write_bytes(b"\x08garbage")
    with pytest.raises(VerificationError, match="does not load") as caught:
        verify_contained(request, PATIENT)
    assert caught.value.reason == "RESULT_NOT_RUNNABLE"


def test_an_original_that_never_ends_leaves_the_result_loaded(request_of: Make) -> None:
    verification = verify_contained(request_of(original=endless()), HASTY).verification
    assert verification.state is VerificationState.NOT_RUN
    assert verification.message == f"running the original model took more than {HASTY:g} s"
    assert [count.integer for count in verification.kernels] == [1, 1]


def test_an_original_that_never_ends_does_not_excuse_a_result_that_does_not_load(
    request_of: Make,
) -> None:
    request = request_of(original=endless())
    request.shipped.write_bytes(b"\x08garbage")
    with pytest.raises(VerificationError, match="does not load"):
        verify_contained(request, HASTY)


def test_a_result_that_never_ends_is_told(request_of: Make) -> None:
    verification = verify_contained(request_of(shipped=endless()), HASTY).verification
    assert verification.state is VerificationState.NOT_RUN
    assert "the quantized model loads, but running it took more than" in verification.message


def _killer(process: VerifyProcess, at: str, number: signal.Signals) -> OnStage:
    def on_stage(stage: str) -> None:
        if stage == at and psutil.pid_exists(process.pid):
            os.kill(process.pid, number)

    return on_stage


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, r"crashed \(SIGSEGV\)"),
        (signal.SIGKILL, "was killed, as happens where memory runs out"),
    ],
)
def test_a_crash_of_the_result_is_an_error(
    number: signal.Signals, words: str, request_of: Make
) -> None:
    process = VerifyProcess()
    killer = _killer(process, COMPARE, number)
    with pytest.raises(VerificationError, match=f"running the quantized model.*{words}") as caught:
        verify_contained(request_of(shipped=endless()), PATIENT, process, killer)
    assert caught.value.reason == "RESULT_NOT_RUNNABLE"


def test_a_crash_of_the_original_leaves_the_result_loaded(request_of: Make) -> None:
    process = VerifyProcess()
    killer = _killer(process, ORIGINAL, signal.SIGABRT)
    request = request_of(original=endless())
    verification = verify_contained(request, PATIENT, process, killer).verification
    assert verification.state is VerificationState.NOT_RUN
    assert verification.message == "running the original model crashed (SIGABRT)"


def test_a_process_that_died_before_it_was_asked_is_replaced(request_of: Make) -> None:
    process = VerifyProcess()
    os.kill(process.pid, signal.SIGKILL)
    verification = verify_contained(request_of(), PATIENT, process).verification
    assert verification.kernels


def test_a_crash_after_comparing_costs_only_the_figures_per_node(
    request_of: Make, tmp_path: Path
) -> None:
    twins = tmp_path / "endless.onnx"
    onnx.save(endless().model(), twins)
    twin = TwinNode(name="conv", op_type="Conv")
    request = dataclasses.replace(request_of(), twins=TwinModel(path=twins, nodes=(twin,)))
    process = VerifyProcess()
    killer = _killer(process, "twins", signal.SIGSEGV)
    verification = verify_contained(request, PATIENT, process, killer).verification
    assert verification.state is VerificationState.COMPARED
    assert verification.sqnr_db is not None
    assert verification.kernels
    assert verification.message == (
        "figures per node are missing: computing them crashed (SIGSEGV)"
    )


def _with_twins(request: VerifyRequest, path: Path) -> VerifyRequest:
    activation = QParams(np.array(0.03, np.float32), np.array(128, np.uint8))
    twins = [NodeTwin(chain=(name,), inputs={(name, 0): activation}) for name in CLASSIFIER_NODES]
    assert request.reference.original is not None
    built = build_twins(
        ir.load(request.reference.original), twins, path, lambda node: node.name or ""
    )
    return dataclasses.replace(request, twins=built)


def test_a_crash_that_may_be_the_twins_doing_is_looked_into(
    request_of: Make, tmp_path: Path
) -> None:
    request = _with_twins(request_of(), tmp_path / "twins.onnx")
    expected = verify_contained(request, PATIENT)
    sound = request.shipped.read_bytes()
    onnx.save(endless().model(), request.shipped)  # holds the process where it is to crash
    process = VerifyProcess()
    kill = _killer(process, COMPARE, signal.SIGSEGV)

    def on_stage(stage: str) -> None:
        if stage == COMPARE:
            request.shipped.write_bytes(sound)
        kill(stage)

    reference = dataclasses.replace(request.reference, at_once=True)
    together = dataclasses.replace(request, reference=reference)
    assert verify_contained(together, PATIENT, process, on_stage) == expected
    assert expected.verification.nodes


def test_the_original_runs_before_there_is_a_result(request_of: Make) -> None:
    request = request_of()
    expected = verify(request)
    hidden = request.shipped.rename(request.shipped.with_name("later.onnx"))
    process = VerifyProcess()
    process.begin(request.reference)
    outputs = request.reference.scratch / "original-1-1.output"
    assert eventually(outputs.exists)
    hidden.rename(request.shipped)
    assert verify_contained(request, PATIENT, process) == expected


def test_an_original_that_crashed_before_there_was_a_result_is_told(request_of: Make) -> None:
    request = request_of(original=endless())
    process = VerifyProcess()
    process.begin(request.reference)
    os.kill(process.pid, signal.SIGSEGV)
    verification = verify_contained(request, HASTY, process).verification
    assert verification.state is VerificationState.NOT_RUN
    assert verification.message.startswith("running the original model")
    assert [count.integer for count in verification.kernels] == [1, 1]


_PARENT = """
import sys, time
from zeropoint.engine.verify import VerifyProcess
print(VerifyProcess().pid, flush=True)
time.sleep(600)
"""


def test_it_dies_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert eventually(lambda: not child.is_running())


def test_secrets_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_TOKEN", "secret")
    with VerifyProcess() as process:
        child = psutil.Process(process.pid)
        assert eventually(child.environ)  # there is none while the program is being loaded
        environment = child.environ()
    assert "ZEROPOINT_TOKEN" not in environment
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_folder_of_a_job_is_no_place_to_import_from(
    request_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's external data may have any name."""
    request = request_of()
    for name in ("numpy.py", "onnxruntime.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the folder of a job')")
    monkeypatch.chdir(tmp_path)
    found = verify_contained(request, PATIENT)
    assert found.verification.state is VerificationState.COMPARED
