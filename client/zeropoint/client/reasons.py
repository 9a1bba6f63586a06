"""Why a node is not quantized, in words. Written by test_catalog_of_reasons.py."""

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "EXCLUDED": "`nodes_to_exclude` names it",
    "NOT_SELECTED": "other options of selection leave it out",
    "ALREADY_QUANTIZED": "it works on integers, or on what is quantized already",
    "NO_INTEGER_FORM": "no integer kernel does what it does",
    "NO_INTEGER_NEIGHBOUR": "no neighbour is on integers, so conversions would only cost time",
    "SLOWER": "its integer form takes longer than float; naming it has it all the same",
    "INACCURATE": "on integers it made the result less accurate than it must be",
    "OPSET_TOO_LOW": "it takes integers from a later opset on",
    "OPSET_TOO_HIGH": "ONNX Runtime has no conversions of this opset yet",
    "TYPE_NOT_SUPPORTED": "it computes with another type than FLOAT",
    "TYPE_UNKNOWN": "nothing tells the type of a tensor that it reads",
    "OVERRIDABLE": "it reads an input with a default, not a constant",
    "WEIGHT_NOT_FINITE": "a constant holds NaN or infinities",
    "WEIGHT_NOT_CONSTANT": "its weight is computed as the model runs",
    "BIAS_NOT_CONSTANT": "its bias is computed as the model runs",
    "SUM_TOO_LONG": "its sums of products may not fit into int32",
    "CONSTANT": "all that it reads is constant",
    "SPECTRUM": "its results, of which roots or logarithms are made, need more range",
    "RAW_SIGNAL": "it reads a raw signal, whose quiet parts need more range",
    "MASKED": "it joins data with a mask, as the batches show",
    "NEVER_RUN": "no batch reached a tensor whose range it needs",
    "IN_SUBGRAPH": "it stands in a body of an operator that is not known",
    "IN_SCAN": "it stands in a Scan, whose tensors are not observed",
    "LOOP_LENGTH_UNKNOWN": "its Loop has no constant trip count",
    "LOOP_SIZE_UNKNOWN": "the size of a tensor in its Loop is not known",
    "LOOP_TOO_LARGE": "its Loop has more tensors than can be observed",
    "LOOP_FEEDBACK": "its long Loop goes on from choices, which rounding changes",
    "NOT_TRAINED": "its operator was not trained with quantization",
    "WEIGHT_NOT_TRAINED": "its weight has no trained parameters",
    "INPUT_NOT_TRAINED": "a tensor that it reads has no trained parameters",
    "FOLDED": "it was computed once, or merged into another node, before",
}
"""A sentence for each reason; those of newer servers are not here."""
