"""The quantizer: a pure library that knows neither gRPC nor the service.

    from zeropoint.engine import JobSettings, StaticOptions, open_job

    with open_job(Path("model.onnx"), StaticOptions(), JobSettings(workspace=folder)) as job:
        for batch in batches:                   # {input name: array}
            job.submit(batch)                   # several at once; observe() waits for each
        result = job.finish()                   # result.files, result.report

With `JobSettings(keep_calibration=True)`, `result.calibration` is a file from which
`open_job(path, other_options, settings, calibration)` quantizes the same model again without data.

`inspect_model` plans without data.
"""

from zeropoint.engine.errors import (
    BatchError,
    CalibrationError,
    EngineError,
    ModelError,
    NothingToQuantize,
    OptionError,
    VerificationError,
)
from zeropoint.engine.jobs import Job, inspect_model, open_job, versions, warm
from zeropoint.engine.operators import dynamic_op_types, static_op_types
from zeropoint.engine.options import (
    CalibrationMethod,
    DynamicOptions,
    NodeSelection,
    Options,
    PostTrainingOptions,
    QatOptions,
    QdqOptions,
    QuantFormat,
    StaticOptions,
    VerifyOptions,
    WeightOptions,
)
from zeropoint.engine.progress import Convergence, Phase, Progress, ProgressCallback
from zeropoint.engine.report import (
    CalibrationFigures,
    Exactness,
    Inspection,
    KernelCount,
    NodeFigures,
    NodePlan,
    NodeState,
    NonFiniteTensor,
    OutputFigures,
    ParameterSource,
    PhaseTime,
    PlanReport,
    RangeAlternative,
    Report,
    Signature,
    Similarity,
    TensorDifference,
    TensorPlan,
    TensorSpec,
    Verification,
    VerificationState,
    Versions,
    Warning,
)
from zeropoint.engine.settings import Batch, JobResult, JobSettings
from zeropoint.engine.tensor_override import QuantType, TensorQuantOverride

__all__ = [
    # Jobs
    "Batch",
    "Convergence",
    "Job",
    "JobResult",
    "JobSettings",
    "Phase",
    "Progress",
    "ProgressCallback",
    "inspect_model",
    "open_job",
    "warm",
    # Options
    "CalibrationMethod",
    "DynamicOptions",
    "NodeSelection",
    "Options",
    "PostTrainingOptions",
    "QatOptions",
    "QdqOptions",
    "QuantFormat",
    "QuantType",
    "StaticOptions",
    "TensorQuantOverride",
    "VerifyOptions",
    "WeightOptions",
    # Reports
    "CalibrationFigures",
    "Exactness",
    "Inspection",
    "KernelCount",
    "NodeFigures",
    "NodePlan",
    "NodeState",
    "NonFiniteTensor",
    "OutputFigures",
    "ParameterSource",
    "PhaseTime",
    "PlanReport",
    "RangeAlternative",
    "Report",
    "Signature",
    "Similarity",
    "TensorDifference",
    "TensorPlan",
    "TensorSpec",
    "Verification",
    "VerificationState",
    "Versions",
    "Warning",
    # What is known
    "dynamic_op_types",
    "static_op_types",
    "versions",
    # Errors
    "BatchError",
    "CalibrationError",
    "EngineError",
    "ModelError",
    "NothingToQuantize",
    "OptionError",
    "VerificationError",
]
