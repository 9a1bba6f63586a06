"""The catalog of what reports say in one word: why a node stays float, what to know of a result.

Code, documents (docs/reasons.md) and tests speak from here. Each word has the sentence that
explains it whatever the model; a report adds what is particular.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class _Word(StrEnum):
    """A word in UPPER_SNAKE, with its sentence."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    def __repr__(self) -> str:
        return repr(self.value)


class Reason(_Word):
    """Why a node of the user's model is not quantized."""

    EXCLUDED = "EXCLUDED", "`nodes_to_exclude` names it"
    NOT_SELECTED = "NOT_SELECTED", "other options of selection leave it out"
    ALREADY_QUANTIZED = "ALREADY_QUANTIZED", "it works on integers, or on what is quantized already"
    NO_INTEGER_FORM = "NO_INTEGER_FORM", "no integer kernel does what it does"
    NO_INTEGER_NEIGHBOUR = (
        "NO_INTEGER_NEIGHBOUR",
        "no neighbour is on integers, so conversions would only cost time",
    )
    SLOWER = "SLOWER", "its integer form takes longer than float; naming it has it all the same"
    INACCURATE = "INACCURATE", "on integers it made the result less accurate than it must be"
    OPSET_TOO_LOW = "OPSET_TOO_LOW", "it takes integers from a later opset on"
    OPSET_TOO_HIGH = "OPSET_TOO_HIGH", "ONNX Runtime has no conversions of this opset yet"
    TYPE_NOT_SUPPORTED = "TYPE_NOT_SUPPORTED", "it computes with another type than FLOAT"
    TYPE_UNKNOWN = "TYPE_UNKNOWN", "nothing tells the type of a tensor that it reads"
    OVERRIDABLE = "OVERRIDABLE", "it reads an input with a default, not a constant"
    WEIGHT_NOT_FINITE = "WEIGHT_NOT_FINITE", "a constant holds NaN or infinities"
    WEIGHT_NOT_CONSTANT = "WEIGHT_NOT_CONSTANT", "its weight is computed as the model runs"
    BIAS_NOT_CONSTANT = "BIAS_NOT_CONSTANT", "its bias is computed as the model runs"
    SUM_TOO_LONG = "SUM_TOO_LONG", "its sums of products may not fit into int32"
    CONSTANT = "CONSTANT", "all that it reads is constant"
    SPECTRUM = "SPECTRUM", "its results, of which roots or logarithms are made, need more range"
    RAW_SIGNAL = "RAW_SIGNAL", "it reads a raw signal, whose quiet parts need more range"
    MASKED = "MASKED", "it joins data with a mask, as the batches show"
    NEVER_RUN = "NEVER_RUN", "no batch reached a tensor whose range it needs"
    IN_SUBGRAPH = "IN_SUBGRAPH", "it stands in a body of an operator that is not known"
    IN_SCAN = "IN_SCAN", "it stands in a Scan, whose tensors are not observed"
    LOOP_LENGTH_UNKNOWN = "LOOP_LENGTH_UNKNOWN", "its Loop has no constant trip count"
    LOOP_SIZE_UNKNOWN = "LOOP_SIZE_UNKNOWN", "the size of a tensor in its Loop is not known"
    LOOP_TOO_LARGE = "LOOP_TOO_LARGE", "its Loop has more tensors than can be observed"
    LOOP_FEEDBACK = "LOOP_FEEDBACK", "its long Loop goes on from choices, which rounding changes"
    NOT_TRAINED = "NOT_TRAINED", "its operator was not trained with quantization"
    WEIGHT_NOT_TRAINED = "WEIGHT_NOT_TRAINED", "its weight has no trained parameters"
    INPUT_NOT_TRAINED = "INPUT_NOT_TRAINED", "a tensor that it reads has no trained parameters"
    FOLDED = "FOLDED", "it was computed once, or merged into another node, before"


class WarningCode(_Word):
    """What a user should know about a result."""

    NOT_COMPARED = "NOT_COMPARED", "the result loads, but was not compared with the original"
    SQNR_LOW = "SQNR_LOW", "an output differs by more than `min_sqnr_db` allows"
    METRIC_LOW = "METRIC_LOW", "the result loses more than `max_drop` by the caller's own figure"
    SAMPLES_LOW = "SAMPLES_LOW", "one sample in ten differs by much more than the median one"
    DECISIONS_DIFFER = "DECISIONS_DIFFER", "classes or masks often differ from the original's"
    SHAPES_DIFFER = "SHAPES_DIFFER", "an output has another shape for some samples"
    NOT_REPEATABLE = "NOT_REPEATABLE", "the original itself gives other outputs each time"
    NON_FINITE_BATCHES = "NON_FINITE_BATCHES", "batches with NaN or infinities are not compared"
    NOT_RUN_BATCHES = "NOT_RUN_BATCHES", "the original does not run on batches kept to verify with"
    RESULT_SLOWER = "RESULT_SLOWER", "the result takes longer than the original on this machine"
    RANGES_MOVING = "RANGES_MOVING", "the last batches still moved many ranges"
    FLOAT_KERNELS = "FLOAT_KERNELS", "quantized nodes run with float kernels: slower, as accurate"
    FLOAT_REQUANTIZED = "FLOAT_REQUANTIZED", "nodes that stay float by the plan run on integers"
    LEFT_QDQ = "LEFT_QDQ", "nodes have no integer operator and stay between pairs"
    WEIGHT_ONLY = "WEIGHT_ONLY", "and a reason: nodes that it keeps float have integer weights"
    WEIGHTS_STORED_TWICE = "WEIGHTS_STORED_TWICE", "weights are stored as integers and as floats"
    WEIGHT_SCALE_GROWN = "WEIGHT_SCALE_GROWN", "a scale grew so that the bias fits into int32"
    WRITTEN_UNSIGNED = (
        "WRITTEN_UNSIGNED",
        "int8 tensors are uint8, for integer kernels",
    )
    CODES_UNUSED = "CODES_UNUSED", "symmetric int8 ranges of one-sided tensors lose a bit"
    WEIGHTS_WERE_INPUTS = "WEIGHTS_WERE_INPUTS", "weights listed as inputs are constants"
    DYNAMIC_CONV_SLOW = "DYNAMIC_CONV_SLOW", "dynamic convolutions are no faster than float"
    FLOAT16_WIDENED = "FLOAT16_WIDENED", "what is not quantized is computed in float32"
    ALREADY_OPTIMIZED = "ALREADY_OPTIMIZED", "ONNX Runtime's own operators hide the rest"
    ALREADY_QUANTIZED = "ALREADY_QUANTIZED", "nodes are kept because they are quantized already"
    TRAINING_INFO_LEFT_OUT = "TRAINING_INFO_LEFT_OUT", "the training graph is not in the result"
    BATCH_NORMALIZATION_FOLDED = "BATCH_NORMALIZATION_FOLDED", "scales hold what followed"
    BIASES_ROUNDED = "BIASES_ROUNDED", "biases of a trained model were rounded to int32"


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a node stays float: the reason, and the same for people, with names."""

    reason: Reason
    message: str
