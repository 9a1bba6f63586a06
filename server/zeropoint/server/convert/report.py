"""What the engine tells, as messages of the contract."""

import hashlib
from dataclasses import asdict
from pathlib import Path

from zeropoint import v1
from zeropoint.engine import report as told
from zeropoint.engine.options import Options, QatOptions, StaticOptions
from zeropoint.engine.progress import Progress
from zeropoint.server.convert import options as options_of

_STATES = options_of.numbers(told.NodeState, v1.NodeState, "NODE_STATE")
_SOURCES = options_of.numbers(told.ParameterSource, v1.ParameterSource, "PARAMETER_SOURCE")
_VERIFIED = options_of.numbers(told.VerificationState, v1.VerificationState, "VERIFICATION_STATE")


def signature(value: told.Signature) -> v1.ModelSignature:
    """Return the inputs and outputs of a model."""
    return v1.ModelSignature(
        inputs=[_tensor(spec) for spec in value.inputs],
        outputs=[_tensor(spec) for spec in value.outputs],
    )


def plan(value: told.PlanReport) -> v1.Plan:
    """Return a plan."""
    return v1.Plan(
        nodes=[_node(node) for node in value.nodes],
        tensors=[_tensor_plan(tensor) for tensor in value.tensors],
        opset=value.opset,
        warnings=_warnings(value.warnings),
    )


def progress(value: Progress) -> v1.Progress:
    """Return how far a job is."""
    message = v1.Progress(
        phase=f"PHASE_{value.phase.name}",
        done=value.done,
        total=value.total,
        message=value.message,
    )
    if value.convergence is not None:
        message.convergence.CopyFrom(v1.Convergence(**asdict(value.convergence)))
    return message


def inspection(value: told.Inspection) -> v1.InspectResponse:
    """Return the answer of an inspection."""
    return v1.InspectResponse(
        signature=signature(value.signature),
        plan=plan(value.plan),
        opset=value.opset,
        model_bytes=value.model_bytes,
    )


def result(
    value: told.Report, files: list[v1.ModelFile], calibration: v1.ModelFile | None
) -> v1.Result:
    """Return a result of `files`, with a calibration where one was kept."""
    return v1.Result(
        report=report(value), manifest=v1.ModelManifest(files=files), calibration=calibration
    )


def model_file(path: Path) -> v1.ModelFile:
    """Return the entry of one file of a result."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return v1.ModelFile(path=path.name, size=path.stat().st_size, sha256=digest)


def versions(value: told.Versions) -> v1.Versions:
    """Return the versions that an engine runs."""
    return v1.Versions(**asdict(value))


def report(value: told.Report) -> v1.Report:
    """Return everything that is said about a result."""
    message = v1.Report(
        versions=versions(value.versions),
        source_sha256=value.source_sha256,
        digest=value.digest,
        plan=plan(value.plan),
        verification=_verification(value.verification),
        calibration=_calibration(value.calibration) if value.calibration else None,
        warnings=_warnings(value.warnings),
        source_bytes=value.source_bytes,
        result_bytes=value.result_bytes,
        phases=[v1.PhaseTime(phase=time.phase, seconds=time.seconds) for time in value.phases],
        signature=signature(value.signature),
    )
    _set_options(message, value.options)
    return message


def _set_options(message: v1.Report, options: Options) -> None:
    if isinstance(options, StaticOptions):
        message.static_options.CopyFrom(options_of.static_message(options))
    elif isinstance(options, QatOptions):
        message.qat_options.CopyFrom(options_of.qat_message(options))
    else:
        message.dynamic_options.CopyFrom(options_of.dynamic_message(options))


def _tensor(spec: told.TensorSpec) -> v1.TensorSpec:
    message = v1.TensorSpec(name=spec.name, element_type=spec.element_type)
    if spec.shape is not None:
        message.shape.SetInParent()
        for axis in spec.shape:
            dimension = message.shape.dimensions.add()
            if isinstance(axis, int):
                dimension.size = axis
            elif axis is not None:
                dimension.symbol = axis
    return message


def _node(node: told.NodePlan) -> v1.NodePlan:
    return v1.NodePlan(
        name=node.name,
        op_type=node.op_type,
        state=_STATES[node.state],
        reason=node.reason,
        message=node.message,
    )


def _tensor_plan(tensor: told.TensorPlan) -> v1.TensorPlan:
    return v1.TensorPlan(
        name=tensor.name,
        element_type=tensor.element_type,
        axis=tensor.axis,
        symmetric=tensor.symmetric,
        source=_SOURCES[tensor.source],
        inherited_from=tensor.inherited_from,
        low=tensor.low,
        high=tensor.high,
        scale=tensor.scale,
        zero_point=tensor.zero_point,
        method=tensor.method,
        alternatives=[v1.RangeAlternative(**asdict(one)) for one in tensor.alternatives],
    )


def _warnings(values: tuple[told.Warning, ...]) -> list[v1.Warning]:
    return [v1.Warning(code=one.code, message=one.message, nodes=one.nodes) for one in values]


def _verification(value: told.Verification) -> v1.Verification:
    return v1.Verification(
        state=_VERIFIED[value.state],
        message=value.message,
        batches=value.batches,
        sqnr_db=value.sqnr_db,
        outputs=[_output(output) for output in value.outputs],
        nodes=[
            v1.NodeFigures(
                name=node.name, op_type=node.op_type, similarity=_similarity(node.similarity)
            )
            for node in value.nodes
        ],
        kernels=[v1.KernelCount(**asdict(count)) for count in value.kernels],
        exactness=None if value.exactness is None else v1.Exactness(**asdict(value.exactness)),
    )


def _output(output: told.OutputFigures) -> v1.OutputFigures:
    return v1.OutputFigures(
        name=output.name,
        similarity=_similarity(output.similarity),
        argmax_agreement=output.argmax_agreement,
    )


def _similarity(value: told.Similarity) -> v1.Similarity:
    return v1.Similarity(**asdict(value))


def _calibration(value: told.CalibrationFigures) -> v1.CalibrationFigures:
    return v1.CalibrationFigures(
        batches=value.batches,
        rejected=value.rejected,
        tensors=value.tensors,
        non_finite=[v1.NonFiniteTensor(**asdict(tensor)) for tensor in value.non_finite],
    )
