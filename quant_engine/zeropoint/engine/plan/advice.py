"""What would help where nothing of a model can be quantized: for each reason its own advice."""

from collections import Counter
from collections.abc import Iterable, Mapping

from zeropoint.engine.reasons import Kept, Reason

_MOST = 3  # pieces of advice

_LATER_OPSET = "Export the model with a later opset, from 13 on."
_UNSEEN = (
    "quantize_dynamic needs no ranges and quantizes what cannot be observed, in bodies of Scan and "
    "Loop, too."
)
_QAT = "quantize_qat with calibration data completes what was not trained."

_ADVICE: Mapping[Reason, str] = {
    Reason.EXCLUDED: "Take nodes out of nodes_to_exclude.",
    Reason.NOT_SELECTED: "Widen op_types_to_quantize or nodes_to_quantize, or leave them out.",
    Reason.ALREADY_QUANTIZED: (
        "What is quantized already stays as it is; quantize the model from before that, or give "
        "it to quantize_qat, which brings it into the form that gets integer kernels."
    ),
    Reason.NO_INTEGER_FORM: (
        "Integers pay for Conv, MatMul and Gemm, and for what stands between these; other "
        "operators are taken where the message says how."
    ),
    Reason.NO_INTEGER_NEIGHBOUR: (
        "op_types_to_quantize with these operator types quantizes them nevertheless, which makes "
        "the model slower."
    ),
    Reason.SLOWER: "quantize_static has integer kernels for these that are faster than float ones.",
    Reason.OPSET_TOO_LOW: _LATER_OPSET,
    Reason.OPSET_TOO_HIGH: "Export the model with an earlier opset.",
    Reason.TYPE_NOT_SUPPORTED: "Convert the model to float32 first.",
    Reason.TYPE_UNKNOWN: "Export the model with the types of its tensors (shape inference).",
    Reason.OVERRIDABLE: "Take the names of weights out of the inputs of the model.",
    Reason.WEIGHT_NOT_FINITE: "Repair the weights.",
    Reason.BIAS_NOT_CONSTANT: "Add a computed bias by an Add of its own behind the layer.",
    Reason.CONSTANT: "Fold the constants: there is nothing to compute as the model runs.",
    Reason.SUM_TOO_LONG: "Split the products into several shorter ones, and add these.",
    Reason.SPECTRUM: "nodes_to_quantize with exact names overrules this, at a cost in accuracy.",
    Reason.RAW_SIGNAL: "nodes_to_quantize with exact names overrules this, at a cost in accuracy.",
    Reason.NEVER_RUN: "Give batches that reach these nodes, with tensors that are not empty.",
    Reason.IN_SCAN: _UNSEEN,
    Reason.LOOP_LENGTH_UNKNOWN: _UNSEEN,
    Reason.LOOP_SIZE_UNKNOWN: _UNSEEN,
    Reason.LOOP_TOO_LARGE: _UNSEEN,
    Reason.LOOP_FEEDBACK: "op_types_to_quantize or exact names in nodes_to_quantize overrule this.",
    Reason.NOT_TRAINED: _QAT,
    Reason.WEIGHT_NOT_TRAINED: _QAT,
    Reason.INPUT_NOT_TRAINED: _QAT,
}


def advice(kept: Iterable[Kept], *, dynamic: bool) -> str:
    """Return what would help, for the most frequent reasons first; empty where nothing would.

    Args:
        kept: Why nodes stay float: those that could be worth it.
        dynamic: Whether data are quantized as the model runs.
    """
    known = {**_ADVICE, Reason.WEIGHT_NOT_CONSTANT: _computed(dynamic=dynamic)}
    counted = Counter(why.reason for why in kept)
    found = (known[reason] for reason, _ in counted.most_common() if reason in known)
    return " ".join(list(dict.fromkeys(found))[:_MOST])


def _computed(*, dynamic: bool) -> str:
    if dynamic:
        return (
            "quantize_static takes computed weights of Conv, MatMul and Gemm; here only MatMul "
            "does, with MatMulConstBOnly=False."
        )
    return "MatMulConstBOnly=False lets MatMul, and no other, have a computed weight."
