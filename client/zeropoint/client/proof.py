"""The proof that a result works: frozen values that mirror the contract."""

from dataclasses import dataclass
from enum import StrEnum

from zeropoint.client.options import StatePair


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

    EQUAL is for outputs that are no floats, such as labels. SEQUENCE: labels in a row, by what must
    be edited. SELECTION: positions or boxes that are picked, whatever their order.
    """

    ARGMAX = "argmax"
    THRESHOLD = "threshold"
    EQUAL = "equal"
    SEQUENCE = "sequence"
    SELECTION = "selection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """How often the result decides as the original does.

    Attributes:
        kind: What is decided.
        agreement: Share of the decisions that are the same, 0..1.
        count: Decisions compared.
        minority_agreement: The same of those that are not of the most frequent class, such as
            background, which tell more; None where they are less than 100, or there are no classes.
        minority_count: How many these are, by both models on average.
        low: Lower end of the interval of 95 % that the samples allow for `minority_agreement`, or
            for `agreement` where that is None.
        high: Its upper end.
        whole: Share of the samples of which the whole sequence is the same; None where there are
            no sequences.
    """

    kind: DecisionKind
    agreement: float
    count: int
    minority_agreement: float | None
    minority_count: int
    low: float
    high: float
    whole: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFigures:
    """SQNR of one output, sample by sample, in dB.

    A sample is an entry along the batch axis where the model treats them apart, else a batch. Those
    of less than 8 values are taken together.

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
        shape_changed: Samples whose output has another shape than the original's.
        repeat_db: SQNR of the original against itself, where it does not repeat its output.
        is_float: Whether it holds floats: the SQNR of labels and positions says little.
    """

    name: str
    similarity: Similarity
    compared_as: ComparedAs
    by_sample: SampleFigures | None
    decisions: Decisions | None
    shape_changed: int
    repeat_db: float | None
    is_float: bool


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
    worst: tuple[TensorDifference, ...]
    kernels_before: tuple[KernelCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How long the result takes for a batch, beside the user's own model, on one thread.

    Attributes:
        float_ms: Milliseconds of the original, the median of all runs.
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
class RollOutFigures:
    """What becomes of one output while errors add up in the state.

    Attributes:
        name: Name of the output.
        first_db: SQNR of the median batch of the first third, in dB.
        middle_db: The same of the second third.
        last_db: The same of the last.
        growth_db: By how much the last is worse than the first.
    """

    name: str
    first_db: float
    middle_db: float
    last_db: float
    growth_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RollOut:
    """Batches in their order, run with the state that each model has itself; the first feeds one.

    Attributes:
        state: What a call gives to the next one.
        batches: How many batches in a row.
        outputs: Each output by position.
    """

    state: tuple[StatePair, ...]
    batches: int
    outputs: tuple[RollOutFigures, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The proof that the result works.

    Attributes:
        state: What was done.
        message: Why not more; empty when compared.
        batches: Batches compared.
        samples: Samples in them.
        held_out: Whether they took no part in choosing ranges.
        independent: Whether they took no part in choosing between candidates, either.
        sqnr_db: SQNR of the median sample in dB, of the worst output; None where nothing could be
            compared.
        outputs: Each output.
        non_finite_batches: Numbers of the batches on which the original gives NaN or infinities.
        not_run_batches: Numbers of the batches on which the original does not run.
        nodes: Quantized nodes, worst first.
        kernels: Integer kernels in ONNX Runtime's optimized graph of the result.
        integer_share: Share of the multiply-accumulates of Conv, ConvTranspose, MatMul and Gemm
            that these kernels do, 0..1; None where that is not known, or there is none of these.
        exactness: Whether what was learned survived, for a model trained with fake quantization.
        speed: How fast the result is; None where that was not measured.
        roll_out: For a model with a state, what becomes of its outputs; all figures are then of
            this sequence. None for others.
    """

    state: VerificationState
    message: str
    batches: int
    samples: int
    held_out: bool
    independent: bool
    sqnr_db: float | None
    outputs: tuple[OutputFigures, ...]
    non_finite_batches: tuple[int, ...]
    not_run_batches: tuple[int, ...]
    nodes: tuple[NodeFigures, ...]
    kernels: tuple[KernelCount, ...]
    integer_share: float | None
    exactness: Exactness | None
    speed: Speed | None
    roll_out: RollOut | None
