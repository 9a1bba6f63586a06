"""What is asked about candidates of a search, and what is answered: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zeropoint.engine.report import KernelCount, OutputFigures


class TrialFailed(Exception):  # noqa: N818 - an outcome
    """A candidate could not be measured.

    Attributes:
        died: Whether the process that measures crashed or took too long; the next trial has
            another one.
    """

    def __init__(self, message: str, *, died: bool = False) -> None:
        super().__init__(message)
        self.died = died


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """A candidate that is to be compared with the original.

    Attributes:
        shipped: Its ONNX file, external data beside it.
        steps: Distance of two codes, for each output that it rounds to codes.
        nodes: Operator type of each Conv, ConvTranspose, MatMul and Gemm, by its name in it.
        kept: Names of the nodes that shall stay float.
    """

    shipped: Path
    steps: Mapping[str, float] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a candidate is worth.

    Attributes:
        outputs: Each output beside the original's; none where there is nothing to run on.
        sqnr_db: SQNR of the median sample in dB, of the worst; see `Verification.sqnr_db`.
        kernels: Integer kernels in ONNX Runtime's optimized graph.
        float_nodes: Those of `TrialRequest.nodes` that do not run as integer kernels.
        requantized: Those of `TrialRequest.kept` that do.
        integer_share: Share of the multiply-accumulates of Conv, ConvTranspose, MatMul and Gemm in
            integer kernels, 0..1; None where that is not known.
        nbytes: Bytes of its files.
    """

    outputs: tuple[OutputFigures, ...]
    sqnr_db: float | None
    kernels: tuple[KernelCount, ...] = ()
    float_nodes: tuple[str, ...] = ()
    requantized: tuple[str, ...] = ()
    integer_share: float | None = None
    nbytes: int = 0
