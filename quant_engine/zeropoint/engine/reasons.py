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
    NOT_SELECTED = (
        "NOT_SELECTED",
        "the other options of selection leave it out: `nodes_to_quantize`, "
        "`op_types_to_quantize`, `EnableSubgraph`",
    )
    ALREADY_QUANTIZED = (
        "ALREADY_QUANTIZED",
        "it works on integers, or what it reads, holds or gives is quantized already",
    )
    NO_INTEGER_FORM = "NO_INTEGER_FORM", "no integer kernel does what this node does"
    NO_INTEGER_NEIGHBOUR = (
        "NO_INTEGER_NEIGHBOUR",
        "it could be quantized, but between float neighbours that would only add conversions",
    )
    OPSET_TOO_LOW = (
        "OPSET_TOO_LOW",
        "its operator takes integers from a later opset on, and the model cannot be converted",
    )
    OPSET_TOO_HIGH = "OPSET_TOO_HIGH", "ONNX Runtime has no conversions of an opset this new"
    TYPE_NOT_SUPPORTED = "TYPE_NOT_SUPPORTED", "it computes with another type than FLOAT"
    TYPE_UNKNOWN = "TYPE_UNKNOWN", "nothing tells the type of a tensor that it reads"
    OVERRIDABLE = "OVERRIDABLE", "what it reads is an input with a default, not a constant"
    WEIGHT_NOT_FINITE = (
        "WEIGHT_NOT_FINITE",
        "a constant that it reads holds NaN or infinities, which no scale fits",
    )
    WEIGHT_NOT_CONSTANT = "WEIGHT_NOT_CONSTANT", "its weight is computed as the model runs"
    BIAS_NOT_CONSTANT = "BIAS_NOT_CONSTANT", "its bias is computed as the model runs"
    CONSTANT = "CONSTANT", "all that it reads is constant"
    SPECTRUM = (
        "SPECTRUM",
        "only squares, roots or logarithms are made of its results, which need more range"
        " than 8 bits have",
    )
    RAW_SIGNAL = (
        "RAW_SIGNAL",
        "it reads a signal of one channel as it comes in, whose quiet parts 8 bits do not hold",
    )
    MASKED = "MASKED", "it joins data with a mask, as the batches show: no range holds both"
    NEVER_RUN = "NEVER_RUN", "no batch reached a tensor whose range it needs"
    IN_SUBGRAPH = "IN_SUBGRAPH", "it stands in a body of an operator that is not known"
    IN_SCAN = "IN_SCAN", "it stands in a Scan, whose tensors are not observed"
    LOOP_LENGTH_UNKNOWN = "LOOP_LENGTH_UNKNOWN", "it stands in a Loop without a constant trip count"
    LOOP_SIZE_UNKNOWN = (
        "LOOP_SIZE_UNKNOWN",
        "it stands in a Loop, and the size of a tensor that would be observed is not known",
    )
    LOOP_TOO_LARGE = (
        "LOOP_TOO_LARGE",
        "it stands in a Loop whose tensors of all turns would take too much memory to observe",
    )
    NOT_TRAINED = "NOT_TRAINED", "its operator was not trained with quantization"
    WEIGHT_NOT_TRAINED = "WEIGHT_NOT_TRAINED", "its weight has no trained parameters"
    INPUT_NOT_TRAINED = "INPUT_NOT_TRAINED", "a tensor that it reads has no trained parameters"
    FOLDED = "FOLDED", "it is gone: computed once, or merged into another node, before quantization"


class WarningCode(_Word):
    """What a user should know about a result."""

    NOT_COMPARED = (
        "NOT_COMPARED",
        "the result loads, but was not compared with the original; the message says why",
    )
    SQNR_LOW = "SQNR_LOW", "an output differs from the original by more than `min_sqnr_db` allows"
    FLOAT_KERNELS = (
        "FLOAT_KERNELS",
        "ONNX Runtime runs some quantized nodes with float kernels: slower, not less accurate",
    )
    LEFT_QDQ = (
        "LEFT_QDQ",
        "some nodes have no form with integer operators and stay float operators between pairs",
    )
    WEIGHT_ONLY = (
        "WEIGHT_ONLY",
        "followed by a reason from above (`WEIGHT_ONLY_SPECTRUM`): nodes that stay float "
        "for it have their weights stored as integers",
    )
    WEIGHTS_STORED_TWICE = (
        "WEIGHTS_STORED_TWICE",
        "weights are stored as integers and as floats, because nodes that stay float read"
        " them, too",
    )
    WEIGHT_SCALE_GROWN = (
        "WEIGHT_SCALE_GROWN",
        "a bias is too large for int32, so that the scale of its weight was made larger",
    )
    WEIGHTS_WERE_INPUTS = (
        "WEIGHTS_WERE_INPUTS",
        "weights that the model lists as inputs are taken as constants",
    )
    DYNAMIC_CONV_SLOW = "DYNAMIC_CONV_SLOW", "dynamic convolutions are no faster than float ones"
    FLOAT16_WIDENED = (
        "FLOAT16_WIDENED",
        "a float16 model is computed in float32 where it is not quantized",
    )
    ALREADY_OPTIMIZED = (
        "ALREADY_OPTIMIZED",
        "the model holds operators that ONNX Runtime's optimizer makes, which hide what "
        "can be quantized",
    )
    ALREADY_QUANTIZED = (
        "ALREADY_QUANTIZED",
        "nodes are kept because the model has them quantized already",
    )
    TRAINING_INFO_LEFT_OUT = (
        "TRAINING_INFO_LEFT_OUT",
        "the training graph of the file is not in the result",
    )
    BATCH_NORMALIZATION_FOLDED = (
        "BATCH_NORMALIZATION_FOLDED",
        "what follows a trained layer channel by channel is now in its scales, to about "
        "one rounding",
    )
    BIASES_ROUNDED = "BIASES_ROUNDED", "biases of a trained model were rounded to int32"


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a node stays float: the reason, and the same for people, with names."""

    reason: Reason
    message: str
