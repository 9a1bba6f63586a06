"""A converted model against the one that was trained, without the engine's own proof.

Both run as they are written. What the trained model gives of each pair's codes is compared with the
result's from end to end, and, where a step is allowed, node by node: the result is then cut open at
every pair and reads there what the trained model gave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from support.engine import Array, Feeds, all_nodes, exposing, kernels, opened
from support.unverified import Unverified

from zeropoint.engine import JobSettings, QatOptions, open_job
from zeropoint.engine.report import Exactness
from zeropoint.engine.verify import CodePair, Verified, VerifyRequest, prove

INTEGER = frozenset(
    {"ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat"}
    | {"QGemm", "QLinearConv", "QLinearConvTranspose", "QLinearMatMul", "NhwcQLinearConv"}
)


@dataclass(frozen=True)
class Outcome:
    """A job's result, and what the engine says of it.

    Attributes:
        trained: The user's model.
        result: The converted one.
        codes: Its pairs, by name in both.
        warnings: Codes of the report's warnings.
        proof: The engine's own figures.
    """

    trained: onnx.ModelProto
    result: onnx.ModelProto
    codes: tuple[CodePair, ...]
    warnings: frozenset[str]
    proof: Exactness


def outcome(
    model: onnx.ModelProto, feeds: Sequence[Feeds], options: QatOptions, folder: Path
) -> Outcome:
    """Run a whole job in this process; its proof, too, which else runs in another."""
    source, workspace = folder / "model.onnx", folder / "job"
    onnx.save(model, source)
    workspace.mkdir()
    proofs: list[Exactness] = []
    codes: list[CodePair] = []  # names of tensors, which no report has

    class Proved(Unverified):
        def verify(self, request: VerifyRequest, timeout: float) -> Verified:
            assert request.proof is not None
            codes.extend(request.proof.codes)
            proofs.append(prove(request.proof, request.shipped, [*feeds][:2], 1))
            return super().verify(request, timeout)

    settings = JobSettings(workspace=workspace)
    with open_job(source, options, settings, verifier=Proved) as job:
        for batch in feeds:
            job.observe(batch)
        done = job.finish()
    warnings = frozenset(warning.code for warning in done.report.warnings)
    return Outcome(model, onnx.load(done.files[0]), tuple(codes), warnings, proofs[0])


def run(
    model: onnx.ModelProto, feeds: Feeds, names: Sequence[str], *, optimize: bool = False
) -> dict[str, Array]:
    """Return the outputs of a model and further tensors, by name."""
    session = opened(exposing(model, names), optimize=optimize)
    wanted = [output.name for output in session.get_outputs()]
    return dict(zip(wanted, session.run(wanted, dict(feeds)), strict=True))


def integer_layers(model: onnx.ModelProto, folder: Path) -> int:
    """Count the integer layers of what ONNX Runtime makes of a model."""
    return sum(count for op_type, count in kernels(model, folder).items() if op_type in INTEGER)


def end_to_end(found: Outcome, feeds: Mapping[str, Array]) -> tuple[int, float]:
    """Return the greatest difference of codes, and of float outputs in ULPs of the largest."""
    known = run(found.trained, feeds, [p.trained for p in found.codes])
    got = run(found.result, feeds, [p.written for p in found.codes])
    steps = _steps(found.codes, known, got)
    return max(steps.values(), default=0), _ulps(found.trained, known, got)


def each_node(found: Outcome, feeds: Mapping[str, Array]) -> dict[str, int]:
    """Return the greatest difference of each tensor's codes, computed from equal codes."""
    known = run(found.trained, feeds, [p.trained for p in found.codes])
    cut, given = onnx.ModelProto(), dict(feeds)
    cut.CopyFrom(found.result)
    by_name = {pair.written: pair for pair in found.codes}
    for node in all_nodes(cut.graph):
        for index, name in enumerate(node.input):
            if name in by_name:
                node.input[index] = f"given/{name}"
    for name, pair in by_name.items():
        kind = pair.element_type
        cut.graph.input.append(helper.make_tensor_value_info(f"given/{name}", kind, None))
        codes = known[pair.trained].astype(np.int64) + pair.shift
        given[f"given/{name}"] = codes.astype(helper.tensor_dtype_to_np_dtype(kind))
    got = run(cut, given, list(by_name))
    return _steps(found.codes, known, got)


def _steps(
    codes: Sequence[CodePair], known: Mapping[str, Array], got: Mapping[str, Array]
) -> dict[str, int]:
    found = {}
    for pair in codes:
        one, other = known[pair.trained].astype(int), got[pair.written].astype(int)
        assert one.shape == other.shape, pair
        found[pair.written] = int(np.abs(other - one - pair.shift).max(initial=0))
    return found


def _ulps(model: onnx.ModelProto, known: Mapping[str, Array], got: Mapping[str, Array]) -> float:
    worst = 0.0
    for output in model.graph.output:
        one, other = known[output.name], got[output.name]
        assert one.shape == other.shape, output.name
        assert one.dtype == other.dtype, output.name
        if one.dtype.kind != "f" or not one.size:
            continue  # codes, which are compared as such
        assert np.array_equal(np.isfinite(one), np.isfinite(other)), output.name
        apart = float(np.abs(one - other).max())
        worst = max(worst, apart / float(np.spacing(np.abs(one).max())) if apart else 0.0)
    return worst
