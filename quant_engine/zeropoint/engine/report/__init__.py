"""What is told about a model, a plan, a result, its proof, and a search for a better one."""

from zeropoint.engine.report.accuracy import (
    Accuracy,
    Departure,
    Floor,
    OutputEffect,
    Remedy,
    Sensitivity,
    Trial,
)
from zeropoint.engine.report.distribution import Histogram, RangeAlternative
from zeropoint.engine.report.proof import (
    ComparedAs,
    DecisionKind,
    Decisions,
    Exactness,
    KernelCount,
    NodeFigures,
    OutputFigures,
    RollOut,
    RollOutFigures,
    SampleFigures,
    Similarity,
    Speed,
    TensorDifference,
    Verification,
    VerificationState,
)
from zeropoint.engine.report.report import (
    CalibrationFigures,
    Inspection,
    NodePlan,
    NodeState,
    NonFiniteTensor,
    ParameterSource,
    PhaseTime,
    PlanReport,
    RejectedBatches,
    Report,
    Signature,
    TensorPlan,
    TensorSpec,
    Verdict,
    Versions,
    Warning,
)
