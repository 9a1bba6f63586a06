"""An engine that does as the model file says: JSON with what to do in each phase.

Workers import it in place of the real one (`ZEROPOINT_ENGINE`), so that tests can have crashes,
endless loops and results of any size. What it is fed can be told from its result.

    {"prepare": "ok", "observe": "ok", "finish": "ok", "result_bytes": 0, "result_files": 1,
     "nodes": 0, "candidates": []}

Candidates to be evaluated are dictionaries of contents in base64 by name of the file; behind each
one comes what the client says of it, in "values" of the result.

A deed is "ok", "bug", "abort", "segfault", "loop", "hog", "full", "sleep:SECONDS", "env" (fails
and tells the environment), "raise:REASON", "reject:REASON" or "spawn" (starts a child and sleeps).
"""

import base64
import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from zeropoint.engine.errors import BatchError, EngineError
from zeropoint.engine.jobs.clock import Clock
from zeropoint.engine.options import Options
from zeropoint.engine.progress import Convergence, Phase, Progress
from zeropoint.engine.report import (
    CalibrationFigures,
    Inspection,
    NodePlan,
    NodeState,
    PlanReport,
    Report,
    Signature,
    TensorSpec,
    Verification,
    VerificationState,
    Versions,
)
from zeropoint.engine.settings import Batch, CandidateFiles, JobResult, JobSettings, Settled

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", element_type=1, shape=("N", 4)),),
    outputs=(TensorSpec(name="y", element_type=1, shape=None),),
)


def plan(nodes: int) -> PlanReport:
    """Return a plan of so many nodes."""
    told = tuple(
        NodePlan(
            name=f"/a/name/as/exporters/give/it/layer.{number}/Conv_{number}",
            op_type="Conv",
            state=NodeState.FLOAT,
            reason="MASKED",
            message="it joins data with a mask, as the batches show",
        )
        for number in range(nodes)
    )
    return PlanReport(nodes=told, tensors=(), opset=17)


def load() -> None:
    """Nothing to compile."""


def warm() -> None:
    """Nothing to start."""


def versions() -> Versions:
    return Versions(zeropoint="scripted", onnxruntime="none", onnx="none")


def static_op_types() -> tuple[str, ...]:
    return ("Conv", "MatMul")


def dynamic_op_types() -> tuple[str, ...]:
    return ("MatMul",)


def open_job(
    path: Path, options: Options, settings: JobSettings, calibration: Path | None = None
) -> "ScriptedJob":
    return ScriptedJob(path, options, settings, calibration)


def inspect_model(path: Path, options: Options, workspace: Path) -> Inspection:
    script = json.loads(path.read_text())
    do(script.get("prepare", "ok"))
    return inspection(path, options)


def inspection(path: Path, options: Options) -> Inspection:
    return Inspection(
        options=options.settled(),
        signature=SIGNATURE,
        plan=plan(json.loads(path.read_text()).get("nodes", 0)),
        opset=17,
        model_bytes=path.stat().st_size,
    )


class ScriptedJob:
    def __init__(
        self, path: Path, options: Options, settings: JobSettings, calibration: Path | None
    ) -> None:
        self.path, self.options, self.settings = path, options, settings
        self.script: dict[str, Any] = json.loads(path.read_text())
        self.digests: list[str] = []
        self.values: list[float] = []
        if calibration is not None:
            self.digests.append(hashlib.sha256(calibration.read_bytes()).hexdigest())
        self.tell(Phase.PREPARE, 0)
        do(self.script.get("prepare", "ok"))

    @property
    def inspection(self) -> Inspection:
        return inspection(self.path, self.options)

    def submit(
        self, batch: Batch, sequence: int, settled: Settled, *, verify_only: bool = False
    ) -> None:
        try:
            self._observe(batch)
        except BatchError as error:
            settled(error)
        else:
            settled(None)

    def reject(self, error: BatchError, sequence: int, settled: Settled) -> None:
        settled(error)

    def _observe(self, batch: Batch) -> None:
        value = float(np.asarray(batch["x"]).reshape(-1)[0]) if batch["x"].size else 0.0
        do(self.script.get("observe", "ok"))
        if value == self.script.get("reject_value"):
            raise BatchError("BATCH_SHAPE", "x does not please", input="x")
        content = hashlib.sha256()
        for name in sorted(batch):
            array = batch[name]
            content.update(f"{name} {array.dtype.str} {array.shape}".encode())
            content.update(array.tobytes())
        self.digests.append(content.hexdigest())
        self.tell(Phase.CALIBRATE, len(self.digests))

    def finish(self) -> JobResult:
        self.tell(Phase.QUANTIZE, 0)
        do(self.script.get("finish", "ok"))
        if self.options.accuracy.evaluate:
            self.evaluate()
        kept = None
        if self.settings.keep_calibration:
            kept = self.settings.workspace / "calibration.zpcal"
            kept.write_bytes(b"kept" * self.script.get("calibration_words", 1))
        return JobResult(files=self.files(), report=self.report(), calibration=kept)

    def evaluate(self) -> None:
        ask = self.settings.evaluate
        assert ask is not None
        self.values.append(ask(CandidateFiles(number=None, description="the original")))
        for number, contents in enumerate(self.script.get("candidates", [])):
            folder = self.settings.workspace / f"candidate-{number}"
            folder.mkdir()
            for name, content in contents.items():
                (folder / name).write_bytes(base64.b64decode(content))
            files = tuple(folder / name for name in contents)
            told = CandidateFiles(number=number, description=f"try {number}", files=files)
            self.values.append(ask(told))
            shutil.rmtree(folder)

    def files(self) -> tuple[Path, ...]:
        folder = self.settings.workspace / "out"
        folder.mkdir()
        said = {"digests": self.digests, "values": self.values, "threads": self.settings.threads}
        told = json.dumps(said).encode()
        paths = [folder / "model.onnx"]
        paths[0].write_bytes(told.ljust(self.script.get("result_bytes", 0)))
        if self.script.get("result_files", 1) > 1:
            paths.append(folder / "model.onnx.data")
            paths[1].write_bytes(b"weights" * 1000)
        return tuple(paths)

    def report(self) -> Report:
        return Report(
            versions=versions(),
            source_sha256=hashlib.sha256(self.path.read_bytes()).digest(),
            digest=bytes(32),
            options=self.options.settled(),
            signature=SIGNATURE,
            plan=self.inspection.plan,
            verification=Verification(state=VerificationState.NOT_RUN, message="scripted"),
            calibration=CalibrationFigures(batches=len(self.digests), rejected=0, tensors=1),
            warnings=(),
            source_bytes=self.path.stat().st_size,
            result_bytes=0,
            phases=Clock(None, self.settings.before).times,
        )

    def tell(self, phase: Phase, done: int) -> None:
        assert self.settings.progress is not None
        convergence = Convergence(moving_share=0.25, batches=done) if done else None
        progress = Progress(phase=phase, done=done, message="as scripted", convergence=convergence)
        self.settings.progress(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to close."""


def do(deed: str) -> None:
    """Do one deed of a script."""
    name, _, detail = deed.partition(":")
    match name:
        case "ok":
            return
        case "bug":
            raise RuntimeError("a bug, with secrets in its text")
        case "abort":
            os.abort()
        case "segfault":
            ctypes.string_at(0)
        case "loop":
            while True:
                pass
        case "hog":
            hoard = []
            while True:
                hoard.append(np.empty(1 << 28, np.uint8))
        case "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        case "sleep":
            time.sleep(float(detail))
        case "env":
            raise EngineError("MODEL_INVALID", "told", **told_environment())
        case "raise":
            raise EngineError(detail, f"as scripted, in {Path.cwd().parent}/model", node="n1")
        case "reject":
            raise BatchError(detail, "as scripted")
        case "spawn":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            time.sleep(600)
        case _:
            raise ValueError(deed)


def told_environment() -> dict[str, str]:
    """Return what a worker can see of where it runs."""
    return {
        "names": ",".join(sorted(os.environ)),
        "telemetry": os.environ.get("ORT_DISABLE_TELEMETRY", ""),
        "cwd": ",".join(path.name for path in Path().iterdir()),
        "descriptors": ",".join(sorted(_open_files())),
    }


def _open_files() -> list[str]:
    links = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(link.readlink()).split(":")[0])
    return links
