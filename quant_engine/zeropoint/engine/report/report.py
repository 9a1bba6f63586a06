"""What is told about a model, a plan and a result: frozen values, without behaviour."""

from dataclasses import dataclass
from enum import StrEnum

from zeropoint.engine.options import CalibrationMethod, Options
from zeropoint.engine.progress import Convergence, Phase
from zeropoint.engine.report.accuracy import Accuracy
from zeropoint.engine.report.distribution import Histogram, RangeAlternative
from zeropoint.engine.report.proof import Verification


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
    reason: str = ""
    message: str = ""


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
        element_type: ONNX element type of the integers.
        axis: Axis of per-channel scales; None for one scale.
        symmetric: Whether the range is symmetric around zero.
        source: Origin of the parameters.
        inherited_from: The other tensor, for INHERITED.
        low: Lower end of the range in the tensor's own units; None until data were seen.
        high: Upper end.
        scale: The scale, where there is exactly one.
        zero_point: The zero point, where there is exactly one.
        method: What chose the range, for CALIBRATED; None until data were seen.
        percentile: Percentage of the values inside, where that is PERCENTILE.
        alternatives: The ranges that Auto compared, the chosen one among them, least expected
            error first.
    """

    name: str
    element_type: int
    axis: int | None
    symmetric: bool
    source: ParameterSource
    inherited_from: str = ""
    low: float | None = None
    high: float | None = None
    scale: float | None = None
    zero_point: int | None = None
    method: CalibrationMethod | None = None
    percentile: float | None = None
    alternatives: tuple[RangeAlternative, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:  # noqa: A001 - the word of the report
    """Something that the user should know: UPPER_SNAKE code, text, nodes concerned."""

    code: str
    message: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """Everything that is known before data.

    Attributes:
        nodes: One entry for each node of the user's model, in its order, without its Constants.
        tensors: One entry for each quantized tensor.
        opset: Opset of the result.
        constants: How many Constant nodes the user's model has.
    """

    nodes: tuple[NodePlan, ...]
    tensors: tuple[TensorPlan, ...]
    opset: int
    warnings: tuple[Warning, ...] = ()
    constants: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is known of a job before data.

    Attributes:
        options: The options, with defaults filled in.
        signature: Inputs and outputs.
        plan: What will be done.
        opset: Opset of the user's model.
        model_bytes: Its bytes, external data included.
    """

    options: Options
    signature: Signature
    plan: PlanReport
    opset: int
    model_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NonFiniteTensor:
    """How many NaN and infinities were seen in a tensor; they enter no range.

    Attributes:
        batches: Sequence numbers of the batches that brought them, the first 64.
    """

    name: str
    nan: int
    positive_infinity: int
    negative_infinity: int
    batches: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFigures:
    """What calibration saw.

    Attributes:
        batches: Batches that ranges come from, without those held out for verification.
        held_out: Batches held out for verification; none where ranges come from an earlier job.
        rejected: Batches rejected.
        tensors: Tensors observed.
        non_finite: Those in which NaN or infinities were seen.
        convergence: How far the last batches moved the ranges, or those held out would: the same
            whatever their order. None where that is not known.
    """

    batches: int
    rejected: int
    tensors: int
    non_finite: tuple[NonFiniteTensor, ...] = ()
    convergence: Convergence | None = None
    held_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedBatches:
    """Batches that were left out for one reason.

    Attributes:
        reason: Machine-readable, UPPER_SNAKE.
        batches: How many.
        sequence: Number of the first of them.
        message: What was wrong with that one.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is to be said about a result.

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
        calibration: What calibration saw; None for dynamic quantization.
        rejected: Batches that were left out, by reason, the most frequent first.
        warnings: What the user should know.
        source_bytes: Bytes of the user's model, external data included.
        result_bytes: Bytes of the result, external data included.
        phases: Where the time went.
        accuracy: How it came to be good enough, or why it is not.
        histograms: What calibration saw of the nodes that lose most, those first.
    """

    verdict: Verdict = Verdict.UNVERIFIED
    conclusion: str = ""
    versions: Versions
    source_sha256: bytes
    digest: bytes
    options: Options
    signature: Signature
    plan: PlanReport
    verification: Verification
    calibration: CalibrationFigures | None
    warnings: tuple[Warning, ...]
    source_bytes: int
    result_bytes: int
    phases: tuple[PhaseTime, ...]
    rejected: tuple[RejectedBatches, ...] = ()
    accuracy: Accuracy | None = None
    histograms: tuple[Histogram, ...] = ()
