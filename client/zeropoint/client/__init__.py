"""Zeropoint's client: quantize ONNX models on a server, or on one that it starts for itself.

from zeropoint.client import quantize_static

result = quantize_static("model.onnx", "model.int8.onnx", reader)
print(result.report)
"""

from zeropoint.client.api import inspect, quantize_dynamic, quantize_qat, quantize_static
from zeropoint.client.batches import DataReader
from zeropoint.client.client import QuantizationClient, QuantizationResult
from zeropoint.client.config import (
    DynamicQuantConfig,
    QuantConfig,
    StaticQuantConfig,
    quantize,
)
from zeropoint.client.errors import (
    AuthenticationError,
    CancelledError,
    DataError,
    DeadlineError,
    EvaluationError,
    LimitError,
    ModelError,
    ModelFileError,
    OptionError,
    OutputError,
    QualityError,
    ServerError,
    UnavailableError,
    WorkerError,
    ZeropointError,
)
from zeropoint.client.evaluation import Evaluate
from zeropoint.client.options import (
    AccuracyMode,
    AccuracyOptions,
    CalibrationMethod,
    DynamicOptions,
    NodeSelection,
    Objective,
    QatOptions,
    QdqOptions,
    QuantFormat,
    QuantType,
    StatePair,
    StaticOptions,
    TensorQuantOverride,
    VerifyOptions,
    WeightOptions,
)
from zeropoint.client.page.errors import DependencyError
from zeropoint.client.progress import Convergence, Phase, Progress, ProgressCallback
from zeropoint.client.qdq_config import get_qdq_config
from zeropoint.client.quantization import Rejection
from zeropoint.client.reader import CalibrationDataReader
from zeropoint.client.report import Inspection, Report, ServerInfo

__all__ = [
    "AccuracyMode",
    "AccuracyOptions",
    "AuthenticationError",
    "CalibrationDataReader",
    "CalibrationMethod",
    "CancelledError",
    "Convergence",
    "DataError",
    "DataReader",
    "DeadlineError",
    "DependencyError",
    "DynamicOptions",
    "DynamicQuantConfig",
    "Evaluate",
    "EvaluationError",
    "Inspection",
    "LimitError",
    "ModelError",
    "ModelFileError",
    "NodeSelection",
    "Objective",
    "OptionError",
    "OutputError",
    "Phase",
    "Progress",
    "ProgressCallback",
    "QatOptions",
    "QualityError",
    "QuantConfig",
    "QdqOptions",
    "QuantFormat",
    "QuantType",
    "QuantizationClient",
    "QuantizationResult",
    "Rejection",
    "Report",
    "ServerError",
    "ServerInfo",
    "StaticOptions",
    "StaticQuantConfig",
    "TensorQuantOverride",
    "UnavailableError",
    "StatePair",
    "VerifyOptions",
    "WeightOptions",
    "WorkerError",
    "ZeropointError",
    "get_qdq_config",
    "inspect",
    "quantize",
    "quantize_dynamic",
    "quantize_qat",
    "quantize_static",
]
