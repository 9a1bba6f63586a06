"""What is told of a search for a result that is good enough: frozen values, without behaviour."""

from dataclasses import dataclass
from enum import StrEnum

from zeropoint.engine.accuracy_options import AccuracyMode


class Remedy(StrEnum):
    """What is done for the accuracy of a result, and not asked for."""

    RANGE_METHOD = "range_method"
    RANGE_CLIPPED = "range_clipped"
    PER_CHANNEL = "per_channel"
    EQUALIZED = "equalized"
    SMOOTHED = "smoothed"
    BIAS_CORRECTED = "bias_corrected"
    WEIGHTS_ROUNDED = "weights_rounded"
    OUTPUT_FLOAT = "output_float"
    DYNAMIC_INPUT = "dynamic_input"
    WEIGHT_ONLY = "weight_only"
    STAYS_FLOAT = "stays_float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What a result must keep, of every output.

    Attributes:
        min_sqnr_db: SQNR of the median sample, in dB.
        min_tenth_db: SQNR of the tenth percentile of the samples, in dB.
        min_agreement: Share of the decisions that are the original's, where there are enough.
        min_metric: Least value of the caller's own figure, which then counts alone.
        original_metric: The original's, by that figure.
    """

    min_sqnr_db: float
    min_tenth_db: float
    min_agreement: float
    min_metric: float | None = None
    original_metric: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Something that was done otherwise than asked for.

    Attributes:
        remedy: What.
        nodes: The user's names of the nodes concerned, in the order of the graph.
        reason: Why, for people.
        effect: What it did, for people.
    """

    remedy: Remedy
    nodes: tuple[str, ...]
    reason: str
    effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A candidate that was tried.

    Attributes:
        number: From 0, which is what was asked for.
        description: What is different in it.
        sqnr_db: SQNR of the median sample in dB, of the worst output; None where not compared.
        tenth_db: The same of the tenth percentile of the samples.
        agreement: Share of the decisions that are the original's; None where none are made.
        metric: The caller's own figure; None where it was not asked.
        latency_ratio: Time of a run beside the original's; None where not measured.
        integer_share: Share of the arithmetic of layers in integer kernels; None where not known.
        float_nodes: How many nodes stay float that were to be quantized.
        result_bytes: Bytes of it.
        held: Whether it keeps the floor.
        chosen: Whether it is the result.
    """

    number: int
    description: str
    sqnr_db: float | None = None
    tenth_db: float | None = None
    agreement: float | None = None
    metric: float | None = None
    latency_ratio: float | None = None
    integer_share: float | None = None
    float_nodes: int = 0
    result_bytes: int = 0
    held: bool = False
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputEffect:
    """What quantizing one node alone does to one output: SQNR of the median sample in dB."""

    output: str
    sqnr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """How much one node matters, quantized alone in the float model.

    Attributes:
        name: The user's name.
        op_type: Operator type.
        effects: What it does to each output.
        share: Share of the arithmetic of all layers, 0..1; None where not known.
        clipped_share: Share of its output's values outside of the range; None where it has none.
        weight_db: SQNR of its own output with only its weights quantized, in dB; None where not
            measured.
        activation_db: The same with only what it reads and gives quantized.
        tried: What was tried for it, and what that did, for people.
    """

    name: str
    op_type: str
    effects: tuple[OutputEffect, ...] = ()
    share: float | None = None
    clipped_share: float | None = None
    weight_db: float | None = None
    activation_db: float | None = None
    tried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How a result came to be good enough, or why it is not.

    Attributes:
        mode: What was to be done about a result that is not.
        floor: What must be kept.
        held: Whether the result keeps it, on the samples that it was verified with; None where
            nothing could be compared.
        message: The same for people, with what could not be checked.
        searched: Whether candidates were tried.
        choosing_samples: Samples that candidates were compared on.
        departures: What was done otherwise than asked for.
        trials: The candidates, in the order in which they were tried.
        sensitivities: Nodes, the one with the greatest effect first.
        decisions: What was decided, to be given to another job of the same model as `decisions`.
    """

    mode: AccuracyMode
    floor: Floor
    held: bool | None = None
    message: str = ""
    searched: bool = False
    choosing_samples: int = 0
    departures: tuple[Departure, ...] = ()
    trials: tuple[Trial, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    decisions: str = ""
