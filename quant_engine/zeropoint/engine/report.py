"""What is told about a model, a plan and a result: frozen values, without behaviour."""

from dataclasses import dataclass
from enum import StrEnum

from zeropoint.engine.options import Options


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
class RangeAlternative:
    """A range that was compared with others, in the tensor's own units.

    Attributes:
        method: What gives it: a calibration method, such as "MinMax" or "Percentile 99.99".
        expected_error: Mean squared error of rounding and clipping to be expected, in the
            tensor's units squared.
    """

    method: str
    low: float
    high: float
    expected_error: float


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
        method: What chose the range, for CALIBRATED: "MinMax", or "Percentile 99.99"; empty until
            data were seen.
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
    method: str = ""
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
        nodes: One entry for each node of the user's model, in its order.
        tensors: One entry for each quantized tensor.
        opset: Opset of the result.
    """

    nodes: tuple[NodePlan, ...]
    tensors: tuple[TensorPlan, ...]
    opset: int
    warnings: tuple[Warning, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What would be done with a model, of this opset and size, external data included."""

    signature: Signature
    plan: PlanReport
    opset: int
    model_bytes: int


class VerificationState(StrEnum):
    """How the result was checked."""

    COMPARED = "compared"
    GENERATED = "generated"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """How close two tensors are.

    Attributes:
        sqnr_db: 10 log10(sum x^2 / sum (x - y)^2) in dB; infinity where nothing differs.
        cosine: Cosine of the angle between both.
        max_abs_difference: Greatest absolute difference.
    """

    sqnr_db: float
    cosine: float
    max_abs_difference: float


class ComparedAs(StrEnum):
    """What of an output its SQNR is of: itself, or what a final operator that saturates was given.

    LOGITS: of Softmax, each distribution's mean taken off. LOG_ODDS: of Sigmoid. PRE_ACTIVATIONS:
    of Tanh and the like.
    """

    VALUES = "values"
    LOGITS = "logits"
    LOG_ODDS = "log_odds"
    PRE_ACTIVATIONS = "pre_activations"


class DecisionKind(StrEnum):
    """What a model decides: the largest along the class axis, scores above 0.5, or values as such.

    EQUAL is for outputs that are no floats, such as labels.
    """

    ARGMAX = "argmax"
    THRESHOLD = "threshold"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """How often the result decides as the original does.

    Attributes:
        kind: What is decided.
        agreement: Share of the decisions that are the same, 0..1.
        count: Decisions compared.
    """

    kind: DecisionKind
    agreement: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFigures:
    """SQNR of one output, sample by sample, in dB.

    A sample is an entry along the batch axis where the model treats them apart, else a batch. Those
    of less than 8 values are taken together. The signal of a sample counts as at least 60 dB below
    the mean of all, so that silence does not make it -infinity.

    Attributes:
        samples: Samples compared.
        median_db: Half of them are no better.
        tenth_db: The tenth percentile: one in ten is no better.
        least_db: The worst.
    """

    samples: int
    median_db: float
    tenth_db: float
    least_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFigures:
    """How close one output is to the original's.

    Attributes:
        name: Name of the output.
        similarity: Of its values, over all samples that can be compared.
        compared_as: What `by_sample` is the SQNR of.
        by_sample: SQNR by sample; None where no sample can be compared.
        decisions: Where the output decides something; None elsewhere.
        shape_changed: Samples whose output has another shape than the original's: no part of the
            figures.
        repeat_db: SQNR of the original against itself, run again, where it does not repeat its
            output, as with random numbers; None where it does.
    """

    name: str
    similarity: Similarity
    compared_as: ComparedAs = ComparedAs.VALUES
    by_sample: SampleFigures | None = None
    decisions: Decisions | None = None
    shape_changed: int = 0
    repeat_db: float | None = None

    @property
    def argmax_agreement(self) -> float | None:
        """Share of equal decisions, where there are any."""
        return None if self.decisions is None else self.decisions.agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFigures:
    """The error that quantizing one node causes by itself, given float inputs."""

    name: str
    op_type: str
    similarity: Similarity


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCount:
    """How many nodes of a type run as integer kernels in ONNX Runtime's optimized graph."""

    op_type: str
    nodes: int
    integer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDifference:
    """A quantized tensor whose codes differ, and by how many steps at most."""

    name: str
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exactness:
    """A model that was trained with fake quantization, against what became of it.

    Both run as they are written, without optimizations. A step is one quantization step, the
    difference of two neighbouring codes.

    Attributes:
        tensors: Quantized tensors that were compared, code by code.
        exact_tensors: Those without any difference, each computed from equal inputs.
        node_steps: Greatest difference of codes that were computed from equal inputs.
        end_to_end_steps: Greatest difference of codes where differences add up from the inputs.
        max_abs_difference: Greatest difference of the model's outputs, end to end.
        max_ulps: The same for float outputs, in units in the last place of the output's largest
            value.
        worst: Tensors that differ, given equal inputs; worst first, at most 16.
        kernels_before: Integer kernels that ONNX Runtime makes of the model as it was trained;
            empty where it does not load that with its optimizations.
    """

    tensors: int
    exact_tensors: int
    node_steps: int
    end_to_end_steps: int
    max_abs_difference: float
    max_ulps: float
    worst: tuple[TensorDifference, ...] = ()
    kernels_before: tuple[KernelCount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How long the result takes for a batch, beside the user's own model.

    Both are run in turns, on one thread, as ONNX Runtime optimizes them; times are those that the
    processor spent on that thread, the median of all runs.

    Attributes:
        float_ms: Milliseconds of the original.
        result_ms: Milliseconds of the result.
        ratio: result_ms / float_ms: above 1 the result is slower.
        runs: Runs of each.
        apart: Whether three of four runs of one took longer than three of four of the other: else
            the difference may be chance.
    """

    float_ms: float
    result_ms: float
    ratio: float
    runs: int
    apart: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The proof that the result works.

    Attributes:
        state: What was done.
        message: Why not more; empty when compared.
        batches: Batches compared.
        held_out: Whether they took no part in choosing ranges.
        sqnr_db: SQNR of the median sample in dB, of the worst among the float outputs, or among all
            where none is float; None where nothing could be compared.
        outputs: Each output.
        non_finite_batches: Numbers of the batches on which the original gives NaN or infinities:
            no part of the figures of that output.
        not_run_batches: Numbers of the batches on which the original does not run.
        nodes: Quantized nodes, worst first.
        kernels: Integer kernels in ONNX Runtime's optimized graph of the result.
        exactness: Whether what was learned survived, for a model trained with fake quantization.
        speed: How fast the result is; None where that was not measured.
    """

    state: VerificationState
    message: str = ""
    batches: int = 0
    held_out: bool = False
    sqnr_db: float | None = None
    outputs: tuple[OutputFigures, ...] = ()
    non_finite_batches: tuple[int, ...] = ()
    not_run_batches: tuple[int, ...] = ()
    nodes: tuple[NodeFigures, ...] = ()
    kernels: tuple[KernelCount, ...] = ()
    exactness: Exactness | None = None
    speed: Speed | None = None


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
    """What calibration saw: batches counted and rejected, tensors, and those not finite."""

    batches: int
    rejected: int
    tensors: int
    non_finite: tuple[NonFiniteTensor, ...] = ()


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

    phase: str
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
        options: The options.
        signature: Inputs and outputs.
        plan: What was done.
        verification: The proof.
        calibration: What calibration saw; None for dynamic quantization.
        rejected: Batches that were left out, by reason, the most frequent first.
        warnings: What the user should know.
        source_bytes: Bytes of the user's model, external data included.
        result_bytes: Bytes of the result, external data included.
        phases: Where the time went.
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
