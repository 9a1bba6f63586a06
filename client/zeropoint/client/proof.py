"""The proof that a result works: frozen values that mirror the contract."""

from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFigures:
    """How close one output is to the original's.

    Attributes:
        name: Name of the output.
        similarity: Over all samples.
        argmax_agreement: Share of positions whose largest value along the last axis is in the
            same place, 0..1; None where that axis has fewer than two entries.
    """

    name: str
    similarity: Similarity
    argmax_agreement: float | None


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
class Verification:
    """The proof that the result works.

    Attributes:
        state: What was done.
        message: Why not more; empty when compared.
        batches: Batches compared.
        sqnr_db: Worst SQNR among the outputs in dB; None where nothing was compared.
        outputs: Each output.
        nodes: Quantized nodes, worst first.
        kernels: Integer kernels in ONNX Runtime's optimized graph of the result.
        exactness: Whether what was learned survived, for a model trained with fake quantization.
    """

    state: VerificationState
    message: str
    batches: int
    sqnr_db: float | None
    outputs: tuple[OutputFigures, ...]
    nodes: tuple[NodeFigures, ...]
    kernels: tuple[KernelCount, ...]
    exactness: Exactness | None
