"""What is told about a model, a plan and a result: frozen values that mirror the contract."""

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from zeropoint.client import page, summary
from zeropoint.client.accuracy_report import Accuracy
from zeropoint.client.distribution import Histogram, RangeAlternative
from zeropoint.client.json_values import to_json_values
from zeropoint.client.options import CalibrationMethod, Options, QuantFormat, QuantType
from zeropoint.client.printable import printable
from zeropoint.client.progress import Convergence, Phase
from zeropoint.client.proof import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """What a model says about one of its inputs or outputs.

    Attributes:
        name: Name in the model.
        element_type: Number of onnx.TensorProto.DataType.
        shape: Per axis a size, a symbol, or None for any size; None as a whole: unknown rank.
    """

    name: str
    element_type: int
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Inputs that a batch must feed, and outputs, in the model's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class NodeState(StrEnum):
    """Whether a node was, or will be, quantized; FOLDED: gone before, by preparation."""

    QUANTIZED = "quantized"
    FLOAT = "float"
    FOLDED = "folded"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What is done with one node of the user's model.

    Attributes:
        name: Name in the user's model; "OpType:output" where the node has none.
        op_type: Operator type.
        state: Quantized or float.
        reason: UPPER_SNAKE, where the node stays float; else empty.
        message: The same for people.
    """

    name: str
    op_type: str
    state: NodeState
    reason: str
    message: str


class ParameterSource(StrEnum):
    """Where the quantization parameters of a tensor come from."""

    CALIBRATED = "calibrated"
    WEIGHT = "weight"
    BIAS = "bias"
    INHERITED = "inherited"
    FIXED = "fixed"
    LEARNED = "learned"
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """How one tensor is quantized.

    Attributes:
        name: Name of the tensor.
        element_type: ONNX element type of the integers (2 = uint8, 3 = int8, 6 = int32).
        axis: Axis of per-channel scales; None for one scale.
        symmetric: Whether the range is symmetric around zero.
        source: Origin of the parameters.
        inherited_from: The other tensor, for INHERITED.
        low: Lower end of the range in the tensor's own units; None until data were seen.
        high: Upper end.
        scale: The scale, where there is exactly one.
        zero_point: The zero point, where there is exactly one.
        method: What chose the range, for CALIBRATED; None until data were seen.
        percentile: Percentage of the values inside, where that is Percentile.
        alternatives: The ranges that Auto compared, the chosen one among them, least expected
            error first.
    """

    name: str
    element_type: int
    axis: int | None
    symmetric: bool
    source: ParameterSource
    inherited_from: str
    low: float | None
    high: float | None
    scale: float | None
    zero_point: int | None
    method: CalibrationMethod | None
    percentile: float | None
    alternatives: tuple[RangeAlternative, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWarning:
    """Something that the user should know: UPPER_SNAKE code, text, nodes concerned."""

    code: str
    message: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that is known before data.

    Attributes:
        nodes: One entry for each node of the user's model, in its order, without its Constants.
        tensors: One entry for each quantized tensor.
        opset: Opset of the result.
        warnings: Advice that needs no data.
        constants: How many Constant nodes the user's model has.
    """

    nodes: tuple[NodePlan, ...]
    tensors: tuple[TensorPlan, ...]
    opset: int
    warnings: tuple[ReportWarning, ...]
    constants: int

    @property
    def skipped(self) -> tuple[NodePlan, ...]:
        """Nodes that stay float, each with its reason."""
        return tuple(node for node in self.nodes if node.state is NodeState.FLOAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class NonFiniteTensor:
    """A tensor in which NaN or infinities were seen, and how many; they enter no range.

    `batches` has the numbers of the batches that brought them, the first 64.
    """

    name: str
    nan: int
    positive_infinity: int
    negative_infinity: int
    batches: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFigures:
    """What calibration saw.

    Attributes:
        batches: Batches that ranges come from, without those held out for verification.
        held_out: Batches held out for verification; none where ranges come from an earlier job.
        rejected: Batches rejected.
        tensors: Tensors observed.
        non_finite: Those in which NaN or infinities were seen.
        convergence: How far the last batches moved the ranges, or those held out would; None where
            that is not known.
    """

    batches: int
    rejected: int
    tensors: int
    non_finite: tuple[NonFiniteTensor, ...]
    convergence: Convergence | None
    held_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedBatches:
    """Batches that were left out for one reason: how many, the first of them, and what was wrong.

    `sequence` is the number of that one.
    """

    reason: str
    batches: int
    sequence: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions that made a result."""

    zeropoint: str
    onnxruntime: str
    onnx: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTime:
    """Wall-clock seconds spent in one phase of the job."""

    phase: Phase
    seconds: float


class Verdict(StrEnum):
    """What is to be thought of a result, in one word.

    ACCURATE: compared on samples, and nothing is wrong. CHECK: a warning says what to look at
    before it is used. DEGRADED: it differs from the original by more than `min_sqnr_db` allows.
    UNVERIFIED: nothing could be compared.
    """

    ACCURATE = "accurate"
    CHECK = "check"
    DEGRADED = "degraded"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report:
    """Everything that is to be said about a result; `str()` gives a page of it.

    Attributes:
        verdict: What is to be thought of it.
        conclusion: The figures behind that, in a sentence.
        versions: Versions that made it.
        source_sha256: Of the user's model file, 32 bytes.
        digest: SHA-256 of {source, options, plan with final parameters, version}, 32 bytes; also
            in the model's metadata as "zeropoint.digest".
        options: The options, with defaults filled in.
        signature: Inputs and outputs.
        plan: What was done.
        verification: The proof.
        calibration: What calibration saw; None where there was none.
        rejected: Batches that were left out, by reason, the most frequent first.
        warnings: What the user should know.
        source_bytes: Bytes of the user's model, external data included.
        result_bytes: Bytes of the result, external data included.
        phases: Where the time went.
        accuracy: How it came to be good enough, or why it is not.
        histograms: What calibration saw of the nodes that lose most, those first.
    """

    verdict: Verdict
    conclusion: str
    versions: Versions
    source_sha256: bytes
    digest: bytes
    options: Options
    signature: Signature
    plan: Plan
    verification: Verification
    calibration: CalibrationFigures | None
    rejected: tuple[RejectedBatches, ...]
    warnings: tuple[ReportWarning, ...]
    source_bytes: int
    result_bytes: int
    phases: tuple[PhaseTime, ...]
    accuracy: Accuracy | None
    histograms: tuple[Histogram, ...]

    @property
    def sqnr_db(self) -> float | None:
        """Worst SQNR among the outputs in dB; None where nothing was compared."""
        return self.verification.sqnr_db

    @property
    def skipped(self) -> tuple[NodePlan, ...]:
        """Nodes that stayed float, each with its reason."""
        return self.plan.skipped

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; see `to_json_values` for what has no JSON form."""
        return cast(dict[str, Any], to_json_values(self))

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as a page: one file that needs neither scripts nor a network.

        Args:
            path: Where; an existing file is replaced.

        Raises:
            DependencyError: the packages of zeropoint[report] are not installed.
            OutputError: the file cannot be written.
        """
        page.save(self, path)

    def __str__(self) -> str:
        return summary.of_report(self)

    def __repr__(self) -> str:
        return f"<Report {self.verdict.value}: {printable(self.conclusion)}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Inspection:
    """What would be done with a model; `str()` gives a page of it.

    Attributes:
        job: Name of the job on its server, as in its logs.
        options: The options as they were understood, with defaults filled in.
        signature: Inputs and outputs.
        plan: The plan.
        opset: Opset of the user's model.
        model_bytes: Bytes of the user's model, external data included.
    """

    job: str
    options: Options
    signature: Signature
    plan: Plan
    opset: int
    model_bytes: int

    @property
    def skipped(self) -> tuple[NodePlan, ...]:
        """Nodes that would stay float, each with its reason."""
        return self.plan.skipped

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as JSON values."""
        return cast(dict[str, Any], to_json_values(self))

    def __str__(self) -> str:
        return summary.of_inspection(self)

    def __repr__(self) -> str:
        return f"<Inspection: {len(self.plan.nodes)} nodes, {len(self.skipped)} of them float>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a server.

    Attributes:
        model_bytes: Bytes of a model, external data included.
        model_files: Files of a model.
        batch_bytes: Bytes of one batch.
        chunk_bytes: Bytes of data in one chunk.
        message_bytes: Bytes of one message.
        jobs: Jobs that run at once.
        queued_jobs: Jobs that may wait for one to end.
        queue_seconds: Seconds that a job may wait.
        prepare_seconds: Seconds to load, convert and plan a model.
        batch_seconds: Seconds to run one batch.
        finish_seconds: Seconds to choose parameters, to rewrite and to verify.
        evaluation_seconds: Seconds that `evaluate` may take for one candidate; 0: it is not known.
    """

    model_bytes: int
    model_files: int
    batch_bytes: int
    chunk_bytes: int
    message_bytes: int
    jobs: int
    queued_jobs: int
    queue_seconds: float
    prepare_seconds: float
    batch_seconds: float
    finish_seconds: float
    evaluation_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Who may be silent for how long, in seconds.

    Attributes:
        heartbeat_seconds: Silence after which a heartbeat is sent.
        idle_seconds: Time between two messages of the client after which a job ends.
        progress_seconds: Time without a byte that the server waits for after which a job ends.
        stall_seconds: How long a client may leave unread what the server sends.
        refusal_seconds: How long the server reads on after a failure.
        keepalive_seconds: Silence of a connection after which the server pings it.
        keepalive_timeout_seconds: How long it waits for the answer.
        least_ping_seconds: How often a client may ping.
    """

    heartbeat_seconds: float
    idle_seconds: float
    progress_seconds: float
    stall_seconds: float
    refusal_seconds: float
    keepalive_seconds: float
    keepalive_timeout_seconds: float
    least_ping_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How many jobs run, and how many wait for one to end."""

    running_jobs: int
    queued_jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a server can do; values that this client does not know are left out."""

    quant_types: tuple[QuantType, ...]
    quant_formats: tuple[QuantFormat, ...]
    calibration_methods: tuple[CalibrationMethod, ...]
    static_op_types: tuple[str, ...]
    dynamic_op_types: tuple[str, ...]
    element_types: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """About a server.

    Attributes:
        versions: Versions that it runs.
        revision: Revision of the contract that it speaks.
        features: What it offers beyond the first, in words.
        limits: Its limits.
        timing: Who may be silent for how long.
        capabilities: What it can do.
        needs_token: Whether calls need a token.
        load: How busy it is now.
    """

    versions: Versions
    revision: int
    features: tuple[str, ...]
    limits: Limits
    timing: Timing
    capabilities: Capabilities
    needs_token: bool
    load: Load

    def to_dict(self) -> dict[str, Any]:
        """Return the information as JSON values."""
        return cast(dict[str, Any], to_json_values(self))
