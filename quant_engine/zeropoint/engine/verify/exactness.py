"""The result against the model that was trained, code by code.

Both run as they are written, without ONNX Runtime's optimizations. First as they are: how far steps
add up from the inputs to the outputs. Then each node by itself: the result is cut open at every
pair, and reads there the codes that the trained model gave.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from zeropoint.engine.report import Exactness, KernelCount, TensorDifference
from zeropoint.engine.runtime import (
    RuntimeRefusal,
    Session,
    count_integer_kernels,
    weights_of_optimized,
)
from zeropoint.engine.settings import Batch
from zeropoint.engine.verify.exposed import expose, read_graph, written_beside

_BATCHES = 2
_TOLD = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePair:
    """The codes of one tensor in both models.

    Attributes:
        tensor: Name of the tensor, for the user.
        trained: Name of its integers in the trained model.
        written: Name of its integers in the result.
        shift: What the result's codes are greater by where both are the same.
        element_type: Type of the result's, a number of onnx.TensorProto.DataType.
    """

    tensor: str
    trained: str
    written: str
    shift: int
    element_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """What is to be proved.

    Attributes:
        trained: The trained model, with the names that the result has.
        codes: Its pairs.
        nodes: Operator type of each Conv, ConvTranspose, MatMul and Gemm of the user's own model.
    """

    trained: Path
    codes: tuple[CodePair, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)


def prove(
    request: ProofRequest, shipped: Path, batches: Sequence[Batch], threads: int
) -> Exactness:
    """Compare all codes and float outputs of both models.

    Args:
        request: What is compared.
        shipped: The result.
        batches: Samples.
        threads: Threads to use.

    Returns:
        The figures, `kernels_before` left empty.

    Raises:
        RuntimeRefusal: one of the models does not run so.
    """
    found = _Found(request.codes)
    samples = list(batches[:_BATCHES])
    outputs = [output.name for output in read_graph(shipped).graph.output]
    trained = [*(pair.trained for pair in request.codes), *outputs]
    written = [*(pair.written for pair in request.codes), *outputs]
    with _exposed(request.trained, trained) as model:
        expected = _run(model, threads, samples, trained)
    with _exposed(shipped, written) as model:
        for known, got in zip(expected, _run(model, threads, samples, written), strict=True):
            found.end_to_end(known, got)
    if not found.exact:
        feeds = [
            {**batch, **_given(request.codes, known)}
            for batch, known in zip(samples, expected, strict=True)
        ]
        with _exposed(shipped, written, cut=request.codes) as model:
            for known, got in zip(expected, _run(model, threads, feeds, written), strict=True):
                found.each_node(known, got)
    return found.result()


class _Found:
    """Gathers differences over batches."""

    def __init__(self, codes: tuple[CodePair, ...]) -> None:
        self._codes = codes
        self._apart = dict.fromkeys((pair.tensor for pair in codes), 0)
        self._summed = 0
        self._float = 0.0
        self._ulps = 0.0
        self._equal = True

    @property
    def exact(self) -> bool:
        """Whether nothing differed from end to end."""
        return self._equal and self._summed == 0

    def end_to_end(self, known: Sequence[Any], got: Sequence[Any]) -> None:
        """Compare codes and outputs of one batch."""
        for pair, one, other in zip(self._codes, known, got, strict=False):
            self._summed = max(self._summed, _steps(pair, one, other))
        for one, other in zip(known[len(self._codes) :], got[len(self._codes) :], strict=True):
            self._compare_outputs(np.asarray(one), np.asarray(other))

    def each_node(self, known: Sequence[Any], got: Sequence[Any]) -> None:
        """Compare codes that were computed from equal codes."""
        for pair, one, other in zip(self._codes, known, got, strict=False):
            self._apart[pair.tensor] = max(self._apart[pair.tensor], _steps(pair, one, other))

    def result(self) -> Exactness:
        """Return the figures, worst tensors first."""
        worst = sorted(self._apart.items(), key=lambda item: -item[1])
        return Exactness(
            tensors=len(self._apart),
            exact_tensors=sum(not steps for steps in self._apart.values()),
            node_steps=max(self._apart.values(), default=0),
            end_to_end_steps=self._summed,
            max_abs_difference=self._float,
            max_ulps=self._ulps,
            worst=tuple(TensorDifference(name=n, steps=s) for n, s in worst[:_TOLD] if s),
        )

    def _compare_outputs(self, one: NDArray[Any], other: NDArray[Any]) -> None:
        if one.shape != other.shape or one.dtype != other.dtype:
            self._equal, self._float, self._ulps = False, float("inf"), float("inf")
            return
        if one.dtype.kind not in "iuf" or not one.size:
            return
        difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
        difference[np.isnan(one) & np.isnan(other)] = 0.0
        difference[one == other] = 0.0
        peak = float(difference.max())
        self._float = max(self._float, peak)
        if peak and one.dtype.kind == "f":
            largest = np.abs(one[np.isfinite(one)]).max(initial=0.0)
            self._ulps = max(self._ulps, peak / float(np.spacing(largest.astype(one.dtype))))


def _steps(pair: CodePair, one: Any, other: Any) -> int:
    first, second = np.asarray(one).astype(np.int64), np.asarray(other).astype(np.int64)
    if first.shape != second.shape:
        return 1 << 16
    return int(np.abs(second - first - pair.shift).max(initial=0))


def _run(
    path: Path, threads: int, feeds: Sequence[Batch], outputs: Sequence[str]
) -> list[list[Any]]:
    session = Session(path, threads=threads, as_written=True)
    return [session.run(feed, outputs) for feed in feeds]


@contextmanager
def _exposed(path: Path, names: Sequence[str], cut: Sequence[CodePair] = ()) -> Iterator[Path]:
    """Write a copy of a model that gives further tensors, and takes codes where it is cut."""
    model = read_graph(path)
    expose(model, names)
    given = {pair.written: pair for pair in cut}
    for node in model.graph.node if cut else ():
        for index, name in enumerate(node.input):
            if name in given:
                node.input[index] = _given_name(given[name])
    for pair in given.values():
        info = model.graph.input.add(name=_given_name(pair))
        info.type.tensor_type.elem_type = pair.element_type
    with written_beside(path, model) as target:
        yield target


def _given_name(pair: CodePair) -> str:
    return f"zeropoint/given/{pair.written}"


def _given(codes: Sequence[CodePair], known: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Return the trained model's codes as those that the result would have."""
    feeds = {}
    for pair, array in zip(codes, known, strict=False):
        dtype = onnx.helper.tensor_dtype_to_np_dtype(pair.element_type)
        feeds[_given_name(pair)] = (np.asarray(array).astype(np.int64) + pair.shift).astype(dtype)
    return feeds


def kernels_before(request: ProofRequest, original: Path, scratch: Path) -> tuple[KernelCount, ...]:
    """Count the integer kernels that ONNX Runtime makes of the model as it was trained.

    Its optimizations may refuse that model, which gives none, and even abort the process.

    Args:
        request: What is proved.
        original: The user's model.
        scratch: A folder for temporary files.
    """
    optimized = scratch / "before.onnx"
    try:
        Session(original, optimized=optimized)
    except RuntimeRefusal:
        return ()  # its optimizations break the model
    kernels = count_integer_kernels(optimized, request.nodes)
    for file in (optimized, weights_of_optimized(optimized)):
        file.unlink(missing_ok=True)
    return kernels.counts
