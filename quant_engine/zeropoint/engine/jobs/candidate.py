"""A decided plan -> a result on disk, to be verified. The prepared model stays as it is.

So a job can make as many results as it has plans, and compare them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.engine.files import ONE_FILE_BYTES, save_model
from zeropoint.engine.graph import name_of
from zeropoint.engine.jobs.digest import result_digest
from zeropoint.engine.jobs.output_steps import output_steps
from zeropoint.engine.jobs.source import Manner
from zeropoint.engine.plan import fold_weights
from zeropoint.engine.prepare import narrow_weights
from zeropoint.engine.qat import forget_types
from zeropoint.engine.reasons import WarningCode
from zeropoint.engine.report import Warning
from zeropoint.engine.rewrite import lower
from zeropoint.engine.runtime import collector_paused
from zeropoint.engine.search import Decided
from zeropoint.engine.twins import build_twins, node_twins
from zeropoint.engine.verify import ReferenceRequest, TrialRequest, TwinModel, VerifyRequest

_DIGEST_KEY = "zeropoint.digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A result that was made.

    Attributes:
        decided: What it was made of.
        files: The ONNX file first, then its external data file where there is one.
        digest: SHA-256 of what it was made of, 32 bytes.
        twins: The model for the figures per node.
        kernels: Operator type of each node that may become an integer kernel, by its name.
        kept: Names of the nodes that shall stay float, with the user's.
        left: The user's names of the nodes that have no form with integer operators.
        steps: Distance of two codes, for each output that is rounded to codes.
    """

    decided: Decided
    files: tuple[Path, ...]
    digest: bytes
    twins: TwinModel | None
    kernels: Mapping[str, str]
    kept: Mapping[str, str]
    left: tuple[str, ...]
    steps: Mapping[str, float]

    @property
    def nbytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.files)

    def request(self, reference: ReferenceRequest, manner: Manner) -> VerifyRequest:
        """Return what is to be verified."""
        return VerifyRequest(
            reference=reference,
            shipped=self.files[0],
            twins=self.twins,
            nodes=self.kernels,
            kept=tuple(self.kept),
            proof=manner.proof,
            steps=self.steps,
        )

    @property
    def trial(self) -> TrialRequest:
        """What is to be measured of it where it is one of several."""
        return TrialRequest(
            shipped=self.files[0], steps=self.steps, nodes=self.kernels, kept=tuple(self.kept)
        )

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """What the user should know about its form."""
        if not self.left:
            return ()
        message = (
            f"{len(self.left)} nodes have no form with integer operators and stay float operators "
            "between pairs."
        )
        return (Warning(code=WarningCode.LEFT_QDQ, message=message, nodes=self.left),)


def twins_of(decided: Decided, manner: Manner, path: Path) -> TwinModel | None:
    """Write the float model with twins of the nodes that are quantized, where there is one."""
    if not manner.twins:
        return None
    planned = decided.planned
    model = planned.prepared.model
    with collector_paused():
        twins = node_twins(model, planned.plan, decided.parameters)
        return build_twins(model, twins, path, planned.user_name)


def make_candidate(
    decided: Decided, manner: Manner, twins: TwinModel | None, path: Path, *, external_data: bool
) -> Candidate:
    """Rewrite a copy of the prepared model, bring it into its form and save it.

    Args:
        decided: What is to be made.
        manner: How it is written.
        twins: The model for the figures per node.
        path: Where to write it.
        external_data: Put weights into a data file beside it, whatever its size.
    """
    planned = decided.planned
    names = {name_of(node): planned.user_name(node) for node in planned.graph.all_nodes()}
    with collector_paused():
        model = planned.prepared.model.clone()
        manner.rewrite(model, decided)
        fold_weights(
            model,
            planned.prepared.stored,
            planned.loaded.weights,
            contrib_qdq=planned.prepared.contrib_qdq,
        )
        left = lower(model, manner.form, planned.loaded.weights)
        if not manner.typed:
            forget_types(model.graph)
        narrow_weights(model.graph)
        digest = result_digest(
            planned.loaded.sha256,
            planned.options,
            planned.plan,
            decided.parameters,
            decided.changes,
            decided.edited,
        )
        model.metadata_props[_DIGEST_KEY] = digest.hex()
        files = save_model(
            model,
            path,
            declared=planned.loaded.declared,
            inline_limit=0 if external_data else ONE_FILE_BYTES,
        )
    kept = {name: names[name] for name in planned.plan.floats}
    return Candidate(
        decided=decided,
        files=files,
        digest=digest,
        twins=twins,
        kernels={
            name_of(node): node.op_type
            for node in planned.graph.all_nodes()
            if (node.domain, node.op_type) in manner.kernels
        },
        kept=kept,
        steps=output_steps(model.graph),
        left=tuple(dict.fromkeys(names[n] for n in left if n in names and n not in kept)),
    )
